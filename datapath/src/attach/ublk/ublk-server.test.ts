// The ublk server against a scripted kernel: what it asks of the device, what it answers, and that it never answers twice or keeps a slot.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BlockDevice, BlockRequest } from '../../block/device.ts';
import { MemoryDevice } from '../../block/memory-device.ts';
import { MiB, ScriptedQueue } from './testing/scripted-queue.ts';

const [READ, WRITE, FLUSH, DISCARD, WRITE_SAME, WRITE_ZEROES] = [0, 1, 2, 3, 4, 5] as const;
const FUA = 0x2000;
const NOUNMAP = 0x8000;
const SECTORS = MiB / 512;

function open(options: { isReadOnly?: boolean } = {}): ScriptedQueue {
  return new ScriptedQueue((memory) => new MemoryDevice(memory, { sizeBytes: 2 * MiB, ...options }));
}

/** A device that answers when it is told to. */
function openSlow(): { queue: ScriptedQueue; slow: BlockRequest[] } {
  const slow: BlockRequest[] = [];
  const queue = new ScriptedQueue((memory) => {
    const device = new MemoryDevice(memory, { sizeBytes: 2 * MiB });
    device.submit = (request) => void slow.push(request);
    return device;
  });
  return { queue, slow };
}

function pattern(sectors: number, byte: number): Buffer {
  return Buffer.alloc(sectors * 512, byte);
}

test('what is written is read again', () => {
  const queue = open();
  const written = queue.ask({ operation: WRITE, startSector: 8, sectors: 16, payload: pattern(16, 0xa5) });
  assert.equal([written.result, queue.memory.takenSlots], [8192, 0]);
  const whole = queue.ask({ operation: WRITE, startSector: SECTORS, sectors: SECTORS, payload: pattern(SECTORS, 0x11) });
  assert.is(whole.result, MiB);
  assert.equal(queue.ask({ operation: READ, startSector: 8, sectors: 16 }).payload, pattern(16, 0xa5));
  assert.equal(queue.ask({ operation: READ, startSector: SECTORS, sectors: SECTORS }).payload, pattern(SECTORS, 0x11));
  assert.is(queue.ask({ operation: FLUSH, startSector: 0, sectors: 0 }).result, 0);
  assert.is(queue.memory.takenSlots, 0);
});

test('the device sees operation, range and flags', () => {
  const { queue, slow } = openSlow();
  const seen = (): readonly number[] => {
    const request = slow.shift()!;
    const { operation, offset, length, flags } = request;
    request.finish(0);
    queue.settle();
    return [operation, offset, length, flags];
  };
  queue.deliver(0, { operation: WRITE, flags: FUA, startSector: 8, sectors: 8, payload: pattern(8, 1) });
  assert.equal(seen(), [2, 4096, 4096, 1]);
  queue.deliver(0, { operation: FLUSH, startSector: 123, sectors: 0 });
  assert.equal(seen(), [3, 0, 0, 0]);
  queue.deliver(0, { operation: DISCARD, startSector: 16, sectors: 2 ** 21 });
  assert.equal(seen(), [4, 8192, 2 ** 30, 0]);
  queue.deliver(0, { operation: WRITE_ZEROES, flags: NOUNMAP | FUA, startSector: 0, sectors: 8 });
  assert.equal(seen(), [5, 0, 4096, 3]);
  queue.deliver(0, { operation: WRITE_ZEROES, startSector: 0, sectors: 8 });
  assert.equal(seen(), [5, 0, 4096, 0]);
  queue.deliver(0, { operation: READ, startSector: 1, startHigh: 2, sectors: 8 });
  assert.equal(seen(), [1, (2 ** 33 + 1) * 512, 4096, 0]);
});

test('odd requests are refused: unknown ones, empty ones, too large ones, those beyond any device or beyond the end', () => {
  const queue = open();
  const result = (operation: number, sectors: number, startSector = 0, startHigh = 0): number =>
    queue.ask({ operation, sectors, startSector, startHigh }).result;
  for (const unknown of [WRITE_SAME, 6, 10, 13, 18, 0xff]) assert.is(result(unknown, 8), -95, String(unknown));
  for (const operation of [READ, DISCARD, WRITE_ZEROES]) assert.is(result(operation, 0), -22, String(operation));
  assert.is(result(READ, SECTORS + 8), -22);
  assert.is(result(READ, 0xffffffff), -22);
  assert.is(result(READ, 8, 2 * SECTORS), -22);
  assert.is(result(DISCARD, 0xffffffff), -22);
  assert.is(result(WRITE_ZEROES, 8, 2 * SECTORS), -28);
  assert.is(result(READ, 8, 0, 0x800), -22);
  assert.is(result(FLUSH, 0, 0xffffffff, 0xffffffff), 0);
  for (const sectors of [0, SECTORS + 8, 0xffffffff]) {
    assert.is(queue.ask({ operation: WRITE, startSector: 0, sectors, payload: Buffer.alloc(0) }).result, -22);
  }
  assert.is(queue.ask({ operation: WRITE, startSector: 2 * SECTORS, sectors: 8, payload: pattern(8, 1) }).result, -28);
  assert.is(queue.memory.takenSlots, 0);
});

test('random descriptors are answered once each, and take no memory for long', () => {
  const queue = open();
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 5000; round += 1) {
    const sectors = random(4) === 0 ? random(2 ** 32) : random(2 * SECTORS);
    const request = { operation: random(256), flags: random(2 ** 24) * 256, startSector: random(2 ** 14), startHigh: random(3) };
    const payload = pattern(Math.min(sectors, SECTORS), 1);
    const { result } = queue.ask({ ...request, sectors, payload });
    assert.ok(result <= MiB && result > -4096, String(result));
  }
  assert.is(queue.memory.takenSlots, 0);
});

test("a device's errors reach the kernel, and odd ones as EIO", () => {
  const { queue, slow } = openSlow();
  for (const [errno, result] of [
    [5, -5],
    [28, -28],
    [110, -110],
    [4096, -5],
  ] as const) {
    queue.answers.length = 0;
    queue.deliver(0, { operation: READ, startSector: 0, sectors: 8 });
    slow.shift()!.finish(errno);
    queue.settle();
    assert.equal(
      queue.answers.map((answer) => answer.result),
      [result],
    );
  }
  assert.is(queue.memory.takenSlots, 0);
});

test('a device that is read only, or cannot trim, refuses what it cannot', () => {
  assert.is(open({ isReadOnly: true }).ask({ operation: WRITE, startSector: 0, sectors: 8, payload: pattern(8, 1) }).result, -1);
  const queue = new ScriptedQueue((memory) => {
    const device: BlockDevice = new MemoryDevice(memory, { sizeBytes: MiB });
    return Object.defineProperty(device, 'canTrim', { value: false });
  });
  assert.is(queue.ask({ operation: DISCARD, startSector: 0, sectors: 8 }).result, -95);
});

test('a write of which the kernel could copy a part is done as far as that', () => {
  const queue = open();
  queue.copiesSectors = 8;
  assert.is(queue.ask({ operation: WRITE, startSector: 0, sectors: 24, payload: pattern(24, 7) }).result, 4096);
  const bytes = queue.ask({ operation: READ, startSector: 0, sectors: 24 }).payload;
  assert.equal([bytes[4095], bytes[4096]], [7, 0]);
  assert.is(queue.memory.takenSlots, 0);
});

test("a read's memory stays its own until the kernel has taken the answer", () => {
  const queue = open();
  queue.deliver(0, { operation: READ, startSector: 0, sectors: 8 });
  assert.is(queue.memory.takenSlots, 1);
  queue.settle();
  assert.is(queue.memory.takenSlots, 0);
});

test('requests wait for memory, and go on when there is some', () => {
  const queue = open();
  const hoard: number[] = [];
  for (let slot = queue.memory.acquireSlot(MiB); slot !== 0; slot = queue.memory.acquireSlot(MiB)) hoard.push(slot);
  queue.deliver(0, { operation: READ, startSector: 0, sectors: SECTORS });
  queue.deliver(1, { operation: WRITE, startSector: 0, sectors: SECTORS, payload: pattern(SECTORS, 9) });
  queue.settle();
  assert.is(queue.answers.length, 0);
  for (const slot of hoard) queue.memory.releaseSlot(slot);
  queue.settle();
  assert.equal(queue.answers.map(({ result }) => result).sort(), [MiB, MiB]);
  assert.is(queue.memory.takenSlots, 0);
});

test('answered() waits for the device, back() for the kernel', async () => {
  const { queue, slow } = openSlow();
  const done: string[] = [];
  queue.deliver(0, { operation: READ, startSector: 0, sectors: 8 });
  queue.deliver(1, { operation: READ, startSector: 8, sectors: 8 });
  void queue.server.answered().then(() => done.push('answered'));
  void queue.server.back().then(() => done.push('back'));
  slow.shift()!.finish(0);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(done, []);
  slow.shift()!.finish(0);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(done, ['answered']);
  queue.settle();
  queue.abort();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(done, ['answered', 'back']);
  queue.server.close();
  assert.ok(queue.isClosed);
  assert.is(queue.memory.takenSlots, 0);
});

test('after stop() nothing is answered: the kernel keeps it for the next process, and the memory comes back', () => {
  const { queue, slow } = openSlow();
  queue.deliver(0, { operation: READ, startSector: 0, sectors: 8 });
  queue.server.stop();
  queue.deliver(1, { operation: WRITE, startSector: 0, sectors: 8, payload: pattern(8, 1) });
  queue.abort();
  assert.ok(queue.server.isBack);
  queue.server.close();
  for (const request of slow.splice(0)) request.finish(0);
  queue.settle();
  assert.equal([queue.answers, queue.unanswered, queue.memory.takenSlots], [[], [0, 1], 0]);
});

test('abandon() answers with errors what the device does not, and a late answer changes nothing', () => {
  const { queue, slow } = openSlow();
  queue.deliver(2, { operation: READ, startSector: 0, sectors: 8 });
  queue.server.abandon();
  queue.settle();
  assert.equal(
    queue.answers.map(({ tag, result }) => [tag, result]),
    [[2, -5]],
  );
  assert.is(queue.memory.takenSlots, 1);
  slow.shift()!.finish(0);
  queue.settle();
  assert.equal([queue.answers.length, queue.memory.takenSlots], [1, 0]);
  queue.abort();
  queue.server.close();
});

test('abandon() has the payload of a write without memory copied before it answers: the kernel takes no error sooner', () => {
  const { queue } = openSlow();
  const hoard: number[] = [];
  for (let slot = queue.memory.acquireSlot(MiB); slot !== 0; slot = queue.memory.acquireSlot(MiB)) hoard.push(slot);
  queue.deliver(1, { operation: WRITE, startSector: 0, sectors: 2048, payload: pattern(2048, 1) });
  assert.equal([queue.copied, queue.answers], [[], []]);
  queue.server.abandon();
  queue.settle();
  assert.equal([queue.copied, queue.answers.map(({ tag, result }) => [tag, result])], [[1], [[1, -5]]]);
  for (const slot of hoard) queue.memory.releaseSlot(slot);
  queue.settle();
  assert.equal([queue.answers.length, queue.memory.takenSlots], [1, 0]);
  queue.abort();
  queue.server.close();
});

test('a command that the kernel refuses is told, one that it takes back is not', () => {
  const queue = open();
  queue.refuse(3);
  queue.abort();
  assert.equal(queue.refusals, [22]);
});

test.run();
