import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { TurnTask } from './clock.ts';
import { TurnQueue } from './turn-queue.ts';

const task = (run: () => void): TurnTask => ({ runAtTurnEnd: run });

test('tasks run in the order of registration; the loop is woken once a turn', () => {
  const order: string[] = [];
  let wakes = 0;
  const queue = new TurnQueue(() => (wakes += 1));
  for (const name of ['a', 'b', 'a']) queue.atEnd(task(() => order.push(name)));
  assert.is(wakes, 1);
  queue.run();
  assert.equal(order, ['a', 'b', 'a']);
  assert.ok(queue.isEmpty);
  queue.atEnd(task(() => {}));
  assert.is(wakes, 2);
});

test('a task that registers another has it run in the same turn, after those before it', () => {
  const order: string[] = [];
  let wakes = 0;
  const queue = new TurnQueue(() => (wakes += 1));
  queue.atEnd(
    task(() => {
      order.push('first');
      queue.atEnd(task(() => order.push('third')));
    }),
  );
  queue.atEnd(task(() => order.push('second')));
  queue.run();
  assert.equal(order, ['first', 'second', 'third']);
  assert.is(wakes, 1);
});

test('tasks that register for ever give the loop its turn, and are woken again', () => {
  let runs = 0;
  let wakes = 0;
  const queue = new TurnQueue(() => (wakes += 1));
  const endless: TurnTask = {
    runAtTurnEnd() {
      runs += 1;
      queue.atEnd(endless);
    },
  };
  queue.atEnd(endless);
  queue.run();
  assert.is(runs, 16);
  assert.is(wakes, 2);
  assert.not.ok(queue.isEmpty);
});

test('a task that throws does not leave the queue stuck', () => {
  const order: string[] = [];
  const queue = new TurnQueue(() => {});
  queue.atEnd(
    task(() => {
      throw new Error('a bug');
    }),
  );
  assert.throws(() => queue.run(), /a bug/);
  queue.atEnd(task(() => order.push('later')));
  queue.run();
  assert.equal(order, ['later']);
});

test.run();
