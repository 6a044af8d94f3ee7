// What every block device keeps, as one suite: called by the tests of each device with a way to open a fresh one.
// The device must be writable, empty, and of DEVICE_BYTES.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EINVAL, ENOSPC } from '../world/completion.ts';
import type { IoMemory } from '../world/memory.ts';
import { BlockRequest, FLAG_FUA, FLAG_NO_HOLE, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES } from './device.ts';
import type { BlockDevice, BlockOperation } from './device.ts';

export const DEVICE_BYTES = 8 * 1024 * 1024;

export interface OpenedDevice {
  readonly device: BlockDevice;
  readonly memory: IoMemory;
  /** Closes the device and everything under it. */
  close(): Promise<void>;
}

export function runDeviceContract(name: string, open: () => Promise<OpenedDevice>): void {
  const contract = suite(`${name} keeps the contract of block devices`);

  async function withDevice(body: (driver: DeviceDriver) => Promise<void>): Promise<void> {
    const opened = await open();
    try {
      await body(new DeviceDriver(opened));
    } finally {
      await opened.close();
    }
  }

  contract('an empty device reads as zeros, and reads what was written', () =>
    withDevice(async (driver) => {
      assert.is(driver.device.sizeBytes, DEVICE_BYTES);
      assert.is(
        (await driver.read(0, 65536)).every((byte) => byte === 0),
        true,
      );
      const data = driver.pattern(65536, 1);
      assert.is(await driver.write(4096, data), 0);
      assert.is(Buffer.compare(await driver.read(4096, 65536), data), 0);
      assert.is(
        (await driver.read(0, 4096)).every((byte) => byte === 0),
        true,
      );
    }),
  );

  contract('the largest request passes, at the very end of the device too', () =>
    withDevice(async (driver) => {
      const { maximumIoBytes } = driver.device;
      const data = driver.pattern(maximumIoBytes, 2);
      assert.is(await driver.write(DEVICE_BYTES - maximumIoBytes, data), 0);
      assert.is(Buffer.compare(await driver.read(DEVICE_BYTES - maximumIoBytes, maximumIoBytes), data), 0);
    }),
  );

  contract('many requests in flight all finish, each exactly once', () =>
    withDevice(async (driver) => {
      const block = 4096;
      const results = await Promise.all(
        Array.from({ length: 128 }, (_, index) => driver.write(index * block, driver.pattern(block, index))),
      );
      assert.equal(new Set(results), new Set([0]));
      const reads = await Promise.all(Array.from({ length: 128 }, (_, index) => driver.read(index * block, block)));
      reads.forEach((bytes, index) => assert.is(Buffer.compare(bytes, driver.pattern(block, index)), 0, `block ${index}`));
    }),
  );

  contract('flush and FUA answer', () =>
    withDevice(async (driver) => {
      assert.is(await driver.run(FLUSH, 0, 0), 0);
      assert.is(await driver.write(0, driver.pattern(4096, 3), FLAG_FUA), 0);
      assert.is(await driver.run(WRITE_ZEROES, 0, 4096, FLAG_FUA), 0);
      assert.is(await driver.run(TRIM, 0, 4096, FLAG_FUA), 0);
    }),
  );

  contract('zeroed and trimmed ranges read as zeros, their neighbours stay', () =>
    withDevice(async (driver) => {
      const data = driver.pattern(1024 * 1024, 4);
      for (const [operation, flags] of [
        [WRITE_ZEROES, 0],
        [WRITE_ZEROES, FLAG_NO_HOLE],
        [TRIM, 0],
      ] as const) {
        await driver.write(0, data);
        assert.is(await driver.run(operation, 4096, 700 * 1024, flags), 0);
        const now = await driver.read(0, data.length);
        const expected = Buffer.from(data);
        expected.fill(0, 4096, 4096 + 700 * 1024);
        assert.is(Buffer.compare(now, expected), 0, `operation ${operation} flags ${flags}`);
      }
      assert.is(await driver.run(WRITE_ZEROES, 0, DEVICE_BYTES), 0);
      assert.is(
        (await driver.read(0, data.length)).every((byte) => byte === 0),
        true,
      );
    }),
  );

  contract('requests of length zero do nothing and succeed', () =>
    withDevice(async (driver) => {
      for (const operation of [READ, WRITE, TRIM, WRITE_ZEROES] as const) assert.is(await driver.run(operation, 0, 0), 0);
    }),
  );

  contract('requests beyond the end are refused: ENOSPC for what writes, EINVAL for the rest', () =>
    withDevice(async (driver) => {
      assert.is(await driver.run(READ, DEVICE_BYTES - 4096, 8192), EINVAL);
      assert.is(await driver.run(TRIM, DEVICE_BYTES, 4096), EINVAL);
      assert.is(await driver.run(WRITE, DEVICE_BYTES - 4096, 8192), ENOSPC);
      assert.is(await driver.run(WRITE_ZEROES, DEVICE_BYTES, 4096), ENOSPC);
    }),
  );

  contract('misaligned requests are refused, or work', () =>
    withDevice(async (driver) => {
      const { minimumIoBytes } = driver.device;
      if (minimumIoBytes === 1) return;
      assert.is(await driver.run(READ, 1, minimumIoBytes), EINVAL);
      assert.is(await driver.run(WRITE, 0, minimumIoBytes - 1), EINVAL);
      assert.is(await driver.run(TRIM, minimumIoBytes / 2, minimumIoBytes), EINVAL);
    }),
  );

  contract('the map covers exactly what was asked and calls no data zero', () =>
    withDevice(async (driver) => {
      await driver.write(2 * 1024 * 1024, driver.pattern(4096, 5));
      for (const [offset, length] of [
        [0, DEVICE_BYTES],
        [1024 * 1024, 2 * 1024 * 1024],
        [2 * 1024 * 1024, 4096],
      ] as const) {
        let at: number = offset;
        for (const extent of await driver.device.extents(offset, length)) {
          const holdsData = at < 2 * 1024 * 1024 + 4096 && at + extent.length > 2 * 1024 * 1024;
          if (holdsData) assert.is(extent.isZero, false);
          assert.ok(extent.length > 0);
          at += extent.length;
        }
        assert.is(at, offset + length);
      }
      let failure: unknown = null;
      await driver.device.extents(DEVICE_BYTES, 4096).catch((error: unknown) => (failure = error));
      assert.is((failure as { code?: string } | null)?.code, 'OUT_OF_RANGE');
    }),
  );

  contract('close() may be called twice', async () => {
    const opened = await open();
    await opened.device.close();
    await opened.device.close();
    await opened.close();
  });

  contract.run();
}

/** Runs single requests as promises. */
export class DeviceDriver {
  readonly device: BlockDevice;
  readonly #memory: IoMemory;

  constructor({ device, memory }: OpenedDevice) {
    this.device = device;
    this.#memory = memory;
  }

  pattern(length: number, seed: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at++) bytes[at] = (at * 7 + (at >> 8) * 13 + seed * 31) & 0xff;
    return bytes;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const slot = this.#memory.acquireSlot(length);
    this.#memory.bytes.fill(0xee, slot, slot + length);
    assert.is(await this.#submit(READ, offset, length, 0, slot), 0);
    const bytes = Buffer.from(this.#memory.bytes.slice(slot, slot + length));
    this.#memory.releaseSlot(slot);
    return bytes;
  }

  async write(offset: number, data: Uint8Array, flags = 0): Promise<number> {
    const slot = this.#memory.acquireSlot(data.length);
    this.#memory.bytes.set(data, slot);
    const result = await this.#submit(WRITE, offset, data.length, flags, slot);
    this.#memory.releaseSlot(slot);
    return result;
  }

  /** A request without a payload, or one that is refused before its payload matters. */
  async run(operation: BlockOperation, offset: number, length: number, flags = 0): Promise<number> {
    const slot = this.#memory.acquireSlot(65536);
    const result = await this.#submit(operation, offset, length, flags, slot);
    this.#memory.releaseSlot(slot);
    return result;
  }

  #submit(operation: BlockOperation, offset: number, length: number, flags: number, memory: number): Promise<number> {
    return new Promise((resolve) => {
      let answers = 0;
      const requestDone = (finished: BlockRequest): void => {
        answers += 1;
        if (answers > 1) throw new Error(`operation ${operation} at ${offset} was answered twice`);
        resolve(finished.result);
      };
      const request = new BlockRequest({ requestDone });
      Object.assign(request, { operation, offset, length, flags, memory });
      this.device.submit(request);
    });
  }
}
