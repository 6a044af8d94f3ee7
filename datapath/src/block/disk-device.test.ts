// ports: both
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLogger } from '../world/log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import { EPERM } from '../world/completion.ts';
import { DEVICE_BYTES, DeviceDriver, runDeviceContract, type OpenedDevice } from './device-contract.ts';
import { FLAG_FUA, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES } from './device.ts';
import { DiskDevice } from './disk-device.ts';
import { UnalignedDevice } from './unaligned-device.ts';

async function open(options: { isUnaligned?: boolean; isReadOnly?: boolean } = {}): Promise<OpenedDevice & { path: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'disk-device-'));
  const world = await openNodeWorld({ log: silentLogger, memoryBytes: 48 * 1024 * 1024 });
  const path = join(folder, 'disk.img');
  const disk = await world.disks.open(path, { createSizeBytes: DEVICE_BYTES });
  const inner = new DiskDevice(world.memory, disk, { isReadOnly: options.isReadOnly ?? false });
  const device = options.isUnaligned === true ? new UnalignedDevice(world.memory, inner) : inner;
  const close = async (): Promise<void> => {
    await device.close();
    await world.close();
    rmSync(folder, { recursive: true });
  };
  return { device, memory: world.memory, close, path };
}

runDeviceContract('a disk device', () => open());
runDeviceContract('an unaligned disk device', () => open({ isUnaligned: true }));

test('a read-only disk device refuses every change', async () => {
  const opened = await open({ isReadOnly: true });
  const driver = new DeviceDriver(opened);
  for (const operation of [WRITE, TRIM, WRITE_ZEROES] as const) assert.is(await driver.run(operation, 0, 4096), EPERM);
  await opened.close();
});

test('trimmed and zeroed ranges of a file take no space where the world can punch holes', async () => {
  const opened = await open();
  const driver = new DeviceDriver(opened);
  await driver.write(0, driver.pattern(1024 * 1024, 1));
  await driver.run(FLUSH, 0, 0);
  const before = statSync(opened.path).blocks;
  assert.is(await driver.run(TRIM, 0, 512 * 1024, FLAG_FUA), 0);
  assert.is(await driver.run(WRITE_ZEROES, 512 * 1024, 512 * 1024), 0);
  const after = statSync(opened.path).blocks;
  assert.ok(before >= 2048, `${before} sectors`);
  if (opened.device.canTrim) assert.ok(after < 100, `${after} sectors are left`);
  assert.is(
    (await driver.read(0, 1024 * 1024)).every((byte) => byte === 0),
    true,
  );
  await opened.close();
});

test('an unaligned device over a disk takes single bytes', async () => {
  const opened = await open({ isUnaligned: true });
  const driver = new DeviceDriver(opened);
  await driver.write(0, driver.pattern(300_000, 1));
  await driver.write(4095, Buffer.from([1, 2, 3]));
  const expected = driver.pattern(300_000, 1);
  expected.set([1, 2, 3], 4095);
  assert.is(Buffer.compare(await driver.read(0, 300_000), expected), 0);
  assert.is(await driver.run(READ, DEVICE_BYTES - 1, 1), 0);
  await opened.close();
});

test.run();
