import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StoreCommand } from './command.ts';
import { CommandQueue } from './command-queue.ts';
import { CommandSlots } from './command-slots.ts';
import { STATUS_CONNECTION_LOST, STATUS_OK } from './status.ts';

const owner = { commandDone: () => {} };

function slotsWith(depth: number): { slots: CommandSlots; done: [StoreCommand, number][] } {
  const done: [StoreCommand, number][] = [];
  return { done, slots: new CommandSlots(depth, { slotDone: (command, status) => void done.push([command, status]) }) };
}

test('a command whose payload is still being sent is not over with its reply', () => {
  const { slots, done } = slotsWith(2);
  const command = new StoreCommand(owner);
  const id = slots.take(command);
  const sent = slots.sendCompletion(id);
  slots.finish(id, STATUS_OK);
  assert.equal([done.length, slots.inUse, slots.waiting(id)], [0, 1, null]);
  sent.complete(0);
  assert.equal([done, slots.inUse], [[[command, STATUS_OK]], 0]);
});

test('a command whose payload has left is over with its reply', () => {
  const { slots, done } = slotsWith(2);
  const id = slots.take(new StoreCommand(owner));
  slots.sendCompletion(id).complete(0);
  assert.is(done.length, 0);
  slots.finish(id, STATUS_OK);
  assert.is(done.length, 1);
});

test('finishAll() ends what has no reply, and keeps the status of what has', () => {
  const { slots, done } = slotsWith(3);
  const ids = [0, 1, 2].map(() => slots.take(new StoreCommand(owner)));
  assert.not(slots.hasFree);
  const sending = slots.sendCompletion(ids[0]!);
  slots.finish(ids[0]!, STATUS_OK);
  slots.finishAll(STATUS_CONNECTION_LOST);
  sending.complete(125);
  assert.equal(
    done.map(([, status]) => status),
    [STATUS_CONNECTION_LOST, STATUS_CONNECTION_LOST, STATUS_OK],
  );
  assert.is(slots.inUse, 0);
});

test('ids outside the table wait for nothing', () => {
  const { slots } = slotsWith(2);
  assert.equal([slots.waiting(0), slots.waiting(2), slots.waiting(0xfffe)], [null, null, null]);
});

test('the queue keeps its order while it grows, and refuses more than its limit', () => {
  const queue = new CommandQueue(40);
  const next = (): unknown => queue.shift()?.tag ?? null;
  const commands = Array.from({ length: 41 }, (_, tag) => Object.assign(new StoreCommand(owner), { tag }));
  for (const command of commands.slice(0, 10)) queue.push(command);
  for (let count = 0; count < 10; count += 1) assert.is(next(), count);
  for (const command of commands.slice(0, 40)) assert.ok(queue.push(command));
  assert.not(queue.push(commands[40]!));
  for (let count = 0; count < 40; count += 1) assert.is(next(), count);
  assert.equal([next(), queue.count], [null, 0]);
});

test.run();
