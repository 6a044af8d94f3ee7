import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../base/crc32c.ts';
import { Arena } from '../world/arena.ts';
import { EPERM } from '../world/completion.ts';
import { TurnQueue } from '../world/turn-queue.ts';
import { DEVICE_BYTES, DeviceDriver, runDeviceContract } from './device-contract.ts';
import { TRIM, WRITE, WRITE_ZEROES } from './device.ts';
import { MemoryDevice, createSharedContents } from './memory-device.ts';
import type { MemoryDeviceOptions } from './memory-device.ts';

const KiB = 1024;
const arena = (): Arena => new Arena(new ArrayBuffer(32 * 1024 * KiB), crc32c, new TurnQueue(() => {}));

function open(options: Partial<MemoryDeviceOptions> = {}) {
  const memory = arena();
  const device = new MemoryDevice(memory, { sizeBytes: DEVICE_BYTES, ...options });
  return { device, memory, close: () => device.close() };
}

runDeviceContract('a memory device', async () => open());
runDeviceContract('a shared memory device', async () => open({ shared: createSharedContents(DEVICE_BYTES) }));

test("devices over the same shared contents see each other's writes", async () => {
  const shared = createSharedContents(DEVICE_BYTES);
  const one = new DeviceDriver(open({ shared }));
  const other = new DeviceDriver(open({ shared }));
  await one.write(100, one.pattern(5000, 1));
  assert.is(Buffer.compare(await other.read(100, 5000), one.pattern(5000, 1)), 0);
  assert.is(await other.run(TRIM, 0, DEVICE_BYTES), 0);
  assert.is(
    (await one.read(100, 5000)).every((byte) => byte === 0),
    true,
  );
});

test('the map shows chunks of 256 KiB: taken on write, given back when trimmed whole', async () => {
  const driver = new DeviceDriver(open());
  const chunk = 256 * KiB;
  await driver.write(2 * chunk - 10, driver.pattern(20, 1));
  assert.equal(await driver.device.extents(0, 4 * chunk), [
    { length: chunk, isAllocated: false, isZero: true },
    { length: 2 * chunk, isAllocated: true, isZero: false },
    { length: chunk, isAllocated: false, isZero: true },
  ]);
  await driver.run(TRIM, chunk, chunk + 100);
  assert.equal(await driver.device.extents(0, 4 * chunk), [
    { length: 2 * chunk, isAllocated: false, isZero: true },
    { length: chunk, isAllocated: true, isZero: false },
    { length: chunk, isAllocated: false, isZero: true },
  ]);
});

test('a device of 100 TiB takes only the memory that is written', async () => {
  const driver = new DeviceDriver(open({ sizeBytes: 100 * 2 ** 40 }));
  await driver.write(99 * 2 ** 40 + 1, driver.pattern(3000, 2));
  assert.is(Buffer.compare(await driver.read(99 * 2 ** 40 + 1, 3000), driver.pattern(3000, 2)), 0);
});

test('a read-only device refuses every change', async () => {
  const driver = new DeviceDriver(open({ isReadOnly: true }));
  for (const operation of [WRITE, TRIM, WRITE_ZEROES] as const) assert.is(await driver.run(operation, 0, 512), EPERM);
  assert.is((await driver.read(0, 512))[0], 0);
});

test('a size that is no size is refused', () => {
  assert.throws(() => new MemoryDevice(arena(), { sizeBytes: 0 }), /0 bytes: a positive whole number is wanted/);
});

test.run();
