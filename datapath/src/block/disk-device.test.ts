// ports: both
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../base/crc32c.ts';
import { KiB, MiB } from '../base/sizes.ts';
import { Arena } from '../world/arena.ts';
import { EIO, EPERM, type Completion } from '../world/completion.ts';
import type { Disk, IoVector } from '../world/disk.ts';
import { silentLogger } from '../world/log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import { TurnQueue } from '../world/turn-queue.ts';
import { DEVICE_BYTES, DeviceDriver, runDeviceContract, type OpenedDevice } from './device-contract.ts';
import { BlockRequest, FLAG_FUA, FLAG_NO_HOLE, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES, type BlockOperation } from './device.ts';
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

/** A disk that notes what it is asked for and answers when the test says so. */
class ScriptedDisk implements Disk {
  readonly path = 'scripted';
  readonly sizeBytes = DEVICE_BYTES;
  readonly blockSizeBytes = 512;
  readonly discardReadsZeros = true;
  inFlight = 0;
  #asked: string[] = [];
  #done: Completion | null = null;

  read(diskOffset: number, _memoryOffset: number, length: number, done: Completion): void {
    this.#ask(`read ${diskOffset}+${length}`, done);
  }
  write(diskOffset: number, _memoryOffset: number, length: number, isDurable: boolean, done: Completion): void {
    this.#ask(`${isDurable ? 'durable ' : ''}write ${diskOffset}+${length}`, done);
  }
  writeVector(diskOffset: number, vector: IoVector, isDurable: boolean, done: Completion): void {
    this.write(diskOffset, 0, vector.totalBytes, isDurable, done);
  }
  flush(done: Completion): void {
    this.#ask('flush', done);
  }
  discard(diskOffset: number, length: number, done: Completion): void {
    this.#ask(`discard ${diskOffset}+${length}`, done);
  }
  async close(): Promise<void> {}

  /** What was asked for since the last call. */
  takeAsked(): string[] {
    const asked = this.#asked;
    this.#asked = [];
    return asked;
  }

  answer(result: number): void {
    const done = this.#done!;
    this.#done = null;
    done.complete(result);
  }

  #ask(what: string, done: Completion): void {
    this.#asked.push(what);
    this.#done = done;
  }
}

/** A device over a scripted disk, and the answers to its requests in order. */
function openScripted(): { disk: ScriptedDisk; answers: number[]; submit: (...fields: Parameters<typeof requestOf>) => void } {
  const disk = new ScriptedDisk();
  const device = new DiskDevice(new Arena(new ArrayBuffer(16 * MiB), crc32c, new TurnQueue(() => {})), disk);
  const answers: number[] = [];
  const submit = (...fields: Parameters<typeof requestOf>): void => {
    const request = requestOf(...fields);
    request.owner = { requestDone: ({ result }) => answers.push(result) };
    device.submit(request);
  };
  return { disk, answers, submit };
}

function requestOf(operation: BlockOperation, flags: number): BlockRequest {
  const request = new BlockRequest({ requestDone() {} });
  return Object.assign(request, { operation, flags, offset: 8 * KiB, length: 4 * KiB, memory: 4 * KiB });
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

for (const [name, operation] of [
  ['TRIM', TRIM],
  ['WRITE_ZEROES', WRITE_ZEROES],
] as const) {
  test(`a ${name} with FUA is answered after the flush that follows its discard`, () => {
    const { disk, answers, submit } = openScripted();
    submit(operation, FLAG_FUA);
    assert.equal(disk.takeAsked(), ['discard 8192+4096']);
    disk.answer(0);
    assert.equal(disk.takeAsked(), ['flush']);
    assert.equal(answers, [], 'not durable yet');
    disk.answer(0);
    assert.equal(answers, [0]);
    submit(operation, FLAG_FUA);
    disk.answer(0);
    disk.answer(EIO);
    assert.equal(answers, [0, EIO], 'a flush that fails');
    submit(operation, FLAG_FUA);
    disk.answer(EIO);
    assert.equal(answers, [0, EIO, EIO], 'a discard that fails');
    assert.equal(disk.takeAsked(), ['discard 8192+4096', 'flush', 'discard 8192+4096']);
  });

  test(`a ${name} without FUA is followed by no flush`, () => {
    const { disk, answers, submit } = openScripted();
    submit(operation, FLAG_FUA);
    disk.answer(EIO);
    for (const next of [WRITE, operation] as const) {
      submit(next, 0);
      disk.answer(0);
    }
    assert.equal(answers, [EIO, 0, 0]);
    assert.equal(disk.takeAsked(), ['discard 8192+4096', 'write 8192+4096', 'discard 8192+4096']);
  });
}

test('FUA of what is written makes the writes durable, with no flush', () => {
  const { disk, answers, submit } = openScripted();
  for (const flags of [FLAG_FUA, 0]) {
    submit(WRITE, flags);
    disk.answer(0);
    submit(WRITE_ZEROES, flags | FLAG_NO_HOLE);
    disk.answer(0);
  }
  assert.equal(answers, [0, 0, 0, 0]);
  assert.equal(disk.takeAsked(), ['durable write 8192+4096', 'durable write 8192+4096', 'write 8192+4096', 'write 8192+4096']);
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
