import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../base/crc32c.ts';
import { Arena } from '../world/arena.ts';
import { EIO } from '../world/completion.ts';
import { TurnQueue } from '../world/turn-queue.ts';
import { DEVICE_BYTES, DeviceDriver, runDeviceContract } from './device-contract.ts';
import { TRIM, WRITE, WRITE_ZEROES } from './device.ts';
import type { BlockOperation, BlockRequest } from './device.ts';
import { MemoryDevice } from './memory-device.ts';
import { UnalignedDevice } from './unaligned-device.ts';

/** A memory device that insists on 512-byte blocks and finishes in an order of its own, later. */
class BlockyDevice extends MemoryDevice {
  override readonly minimumIoBytes = 512 as 1;
  #queue: BlockRequest[] = [];
  #state = 12345;
  isFailing = false;

  override submit(request: BlockRequest): void {
    assert.is(request.offset % 512, 0);
    assert.is(request.length % 512, 0);
    if (this.#queue.push(request) === 1) setImmediate(() => this.#release());
  }

  #release(): void {
    const queue = this.#queue;
    this.#queue = [];
    while (queue.length > 0) {
      this.#state = (this.#state * 1103515245 + 12345) % 2147483648;
      const [request] = queue.splice(this.#state % queue.length, 1);
      if (this.isFailing) request!.finish(EIO);
      else super.submit(request!);
    }
  }
}

function open() {
  const memory = new Arena(new ArrayBuffer(64 * 1024 * 1024), crc32c, new TurnQueue(() => {}));
  const inner = new BlockyDevice(memory, { sizeBytes: DEVICE_BYTES });
  const device = new UnalignedDevice(memory, inner);
  return { inner, device, memory, close: () => device.close() };
}

runDeviceContract('an unaligned device', async () => open());

test("changes side by side in the same blocks never lose each other's bytes", async () => {
  const opened = open();
  const driver = new DeviceDriver(opened);
  const expected = Buffer.alloc(64 * 1024);
  const work: Promise<number>[] = [];
  let state = 99;
  const below = (n: number): number => (state = (state * 1103515245 + 12345) % 2147483648) % n;
  for (let at = 0, index = 0; at < expected.length; index++) {
    const length = Math.min(1 + below(1500), expected.length - at);
    const kind = below(4);
    const data = driver.pattern(length, index);
    if (kind < 3) data.copy(expected, at);
    const operation: BlockOperation = below(2) === 0 ? TRIM : WRITE_ZEROES;
    work.push(kind < 3 ? driver.write(at, data) : driver.run(operation, at, length));
    at += length;
  }
  assert.equal(new Set(await Promise.all(work)), new Set([0]));
  assert.is(Buffer.compare(await driver.read(0, expected.length), expected), 0);
  assert.is(opened.memory.takenSlots, 0);
});

test('unaligned requests of every edge do what they say', async () => {
  const opened = open();
  const driver = new DeviceDriver(opened);
  const whole = driver.pattern(600_000, 1);
  await driver.write(0, whole);
  for (const [offset, length] of [
    [0, 1],
    [511, 2],
    [1, 511],
    [513, 130_000],
    [512, 131_073],
    [300_000, 262_145],
  ] as const) {
    assert.is(
      Buffer.compare(await driver.read(offset, length), whole.subarray(offset, offset + length)),
      0,
      `read ${offset}+${length}`,
    );
    const data = driver.pattern(length, offset);
    assert.is(await driver.write(offset, data), 0);
    data.copy(whole, offset);
    assert.is(await driver.run(WRITE_ZEROES, offset + 1, Math.max(0, length - 2)), 0);
    if (length > 2) whole.fill(0, offset + 1, offset + length - 1);
    assert.is(Buffer.compare(await driver.read(0, 600_000), whole), 0, `after ${offset}+${length}`);
  }
});

test('an error of the device is the answer, and later changes go on', async () => {
  const opened = open();
  const driver = new DeviceDriver(opened);
  opened.inner.isFailing = true;
  const results = await Promise.all([
    driver.write(10, Buffer.alloc(20)),
    driver.write(0, Buffer.alloc(512)),
    driver.run(WRITE, 700, 10),
  ]);
  assert.equal(results, [EIO, EIO, EIO]);
  opened.inner.isFailing = false;
  assert.is(await driver.write(10, Buffer.alloc(20)), 0);
  assert.is(opened.memory.takenSlots, 0);
});

test.run();
