import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Simulator } from './simulator.ts';
import { installThrowingGlobals } from './throwing-globals.ts';

test('real time, chance and network throw and name the culprit, and come back afterwards', async () => {
  const before = { random: Math.random, setTimeout: globalThis.setTimeout, Date: globalThis.Date };
  const uninstall = installThrowingGlobals();
  const messages: string[] = [];
  let ranTo = 0;
  try {
    const sim = new Simulator(1);
    sim.machine('m').startProcess('p', async (world) => {
      for (const misdeed of [
        () => Math.random(),
        () => Date.now(),
        () => new Date(),
        () => setTimeout(() => undefined, 1),
        () => performance.now(),
        () => AbortSignal.timeout(5),
      ]) {
        try {
          misdeed();
        } catch (error) {
          messages.push((error as Error).message);
        }
      }
      assert.is(new Date(0).getTime(), 0);
      await world.clock.sleep(5);
      ranTo = world.clock.wallTimeMs();
    });
    await sim.run(10);
  } finally {
    uninstall();
    uninstall();
  }
  assert.equal(
    messages.map((message) => message.split(' ')[0]),
    ['Math.random', 'Date.now', 'Date', 'setTimeout', 'performance.now', 'AbortSignal.timeout'],
  );
  for (const message of messages) assert.match(message, /during a simulated run, at .*throwing-globals.test.ts:\d+.*; use /);
  assert.ok(ranTo > 0);
  assert.equal(
    [Math.random, globalThis.setTimeout, globalThis.Date].map((each, index) => each === Object.values(before)[index]),
    [true, true, true],
  );
  assert.type(Date.now(), 'number');
});

test.run();
