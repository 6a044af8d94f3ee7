import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ManualClock, settle } from './testing/manual-clock.ts';
import { SeededRandom } from './testing/seeded-random.ts';
import { WorkQueue } from './work-queue.ts';

function open(): { clock: ManualClock; queue: WorkQueue } {
  const clock = new ManualClock();
  return { clock, queue: new WorkQueue(clock, new SeededRandom(1), { firstMs: 1_000, maxMs: 60_000 }) };
}

test('a key added many times is taken once, in order of the first add', async () => {
  const { queue } = open();
  for (const key of ['a', 'b', 'a', 'a', 'b']) queue.add(key);
  assert.is(queue.depth, 2);
  assert.is(await queue.take(), 'a');
  assert.is(await queue.take(), 'b');
  assert.is(queue.depth, 0);
});

test('a key that is being worked on comes again when it is done, once', async () => {
  const { queue } = open();
  queue.add('a');
  await queue.take();
  queue.add('a');
  queue.add('a');
  assert.is(queue.depth, 0);
  queue.done('a');
  assert.is(await queue.take(), 'a');
  queue.done('a');
  assert.is(queue.depth, 0);
});

test('who waits gets the next key; a closed queue gives null and takes nothing', async () => {
  const { queue } = open();
  const [first, second] = [queue.take(), queue.take()];
  queue.add('a');
  assert.is(await first, 'a');
  queue.close();
  assert.is(await second, null);
  queue.add('b');
  queue.addAfter('b', 0);
  assert.is(await queue.take(), null);
});

test('of several delays the earliest counts, and no timer is left', async () => {
  const { clock, queue } = open();
  queue.addAfter('a', 5_000);
  queue.addAfter('a', 1_000);
  queue.addAfter('a', 9_000);
  assert.is(queue.delayed, 1);
  await clock.advance(999);
  assert.is(queue.depth, 0);
  await clock.advance(1);
  assert.is(queue.depth, 1);
  assert.is(clock.pending, 0);
  queue.addAfter('b', 1_000);
  queue.close();
  assert.is(clock.pending, 0);
});

test('failures double the delay of their key up to the limit, with jitter, until it is forgotten', async () => {
  const { clock, queue } = open();
  const delays: number[] = [];
  for (let failure = 0; failure < 10; failure += 1) {
    delays.push(queue.addAfterFailure('a'));
    await clock.advance(60_000);
    queue.done((await queue.take())!);
  }
  const full = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000];
  delays.forEach((delay, index) => assert.ok(delay >= full[index]! / 2 && delay <= full[index]!, `delay ${index}: ${delay}`));
  assert.ok(new Set(delays.slice(6)).size > 1, 'jitter');
  queue.forget('a');
  assert.ok(queue.addAfterFailure('a') <= 1_000);
  assert.is(queue.failuresOf('b'), 0);
  assert.is(queue.addAfterFailure('b', 7_000), 7_000);
});

test('what nobody took cannot be done', () => {
  assert.throws(() => open().queue.done('a'), /nobody took it/);
});

test('random operations: never two workers on a key, and no add is forgotten', async () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const { clock, queue } = open();
    const random = new SeededRandom(seed);
    const working = new Set<string>();
    const owed = new Set<string>();
    for (let step = 0; step < 400; step += 1) {
      const key = `k${random.below(5)}`;
      const choice = random.below(5);
      if (choice < 2) {
        queue.add(key);
        owed.add(key);
      } else if (choice === 2) {
        queue.addAfter(key, random.below(3_000));
        owed.add(key);
      } else if (choice === 3 && queue.depth > 0) {
        const taken = (await queue.take())!;
        assert.not(working.has(taken), `seed ${seed}`);
        working.add(taken);
        owed.delete(taken);
      } else if (working.has(key)) {
        working.delete(key);
        queue.done(key);
      }
    }
    for (const key of working) queue.done(key);
    await clock.advance(5_000);
    while (queue.depth > 0) {
      const taken = (await queue.take())!;
      owed.delete(taken);
      queue.done(taken);
    }
    await settle();
    assert.equal([...owed], [], `seed ${seed}`);
  }
});

test.run();
