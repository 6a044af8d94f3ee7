import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Simulator } from '../simulator.ts';
import { checkAllQuiet, checkQuiet, leftovers } from './quiet.ts';

test('everything that a program opens is named until it is closed', async () => {
  const sim = new Simulator(1);
  const process = sim.machine('m').startProcess('p', async (world) => {
    world.clock.after(1000, () => undefined);
    world.clock.every(7, () => undefined);
    await world.disks.open('/disk', { createSizeBytes: 1 << 20 });
    await world.files.openAppend('/log');
    await world.files.lock('/lock');
    await world.http.serve('127.0.0.1', 80, async () => ({ status: 200, contentType: '', body: new Uint8Array(0) }));
    await world.network.listen(
      { kind: 'unix', path: '/run/s' },
      (stream) => (stream.handler = { onBytes() {}, onDirect() {}, onClosed() {} }),
    );
    const stream = await world.network.connect({ kind: 'unix', path: '/run/s' }, 100);
    stream.handler = { onBytes() {}, onDirect() {}, onClosed() {} };
    world.memory.acquireSlot(100);
  });
  await sim.settle(process.started);
  await sim.run(sim.now + 5);
  assert.equal(
    leftovers(process)
      .map((line) => line.replace(/[\d.]+/g, 'N'))
      .sort(),
    [
      'HTTP server on N:N',
      'N slots of I/O memory',
      'append file /log',
      'disk /disk',
      'listener on unix:/run/s',
      'lock on /lock',
      'stream with unix:/run/s',
      'stream with unix:p',
      'timer due at N ms',
      'timer every N ms',
    ],
  );
  assert.throws(() => checkQuiet(process), /not quiet after closing; it holds 10 things: .*timer every 7 ms/);
  await process.perform((world) => world.close());
  await sim.run(sim.now + 100);
  assert.equal(leftovers(process), ['1 slots of I/O memory']);
  assert.throws(() => checkAllQuiet(sim), /1 slots/);
});

test('a program that closed what it opened is quiet, and its world refuses new work', async () => {
  const sim = new Simulator(2);
  const process = sim.machine('m').startProcess('p', async (world) => {
    const timer = world.clock.every(5, () => timer.cancel());
    const disk = await world.disks.open('/disk', { createSizeBytes: 1 << 20 });
    await disk.close();
  });
  await sim.run(100);
  checkAllQuiet(sim);
  await process.perform((world) => world.close());
  const code = await process.perform((world) => world.disks.open('/disk', {})).catch((error: { code: string }) => error.code);
  assert.is(code, 'INVALID_STATE');
});

test.run();
