// What every mapper has to do, on this machine's kernel: the suite registers its tests for one kind. Devices are used by programs that
// know nothing of us (fio, dd, cmp, blkdiscard, mkfs, mount). Called by the kinds' own test files, which say what they need.
import { constants, existsSync, readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import type { BlockDevice } from '../../block/device.ts';
import { MemoryDevice } from '../../block/memory-device.ts';
import { MapperRig, type FioResult } from './mapper-rig.ts';
import type { MapperKind } from './open-mapper.ts';

const SIZE = 64 * MiB;
const KILLS = Number(process.env['PF_KILLS'] ?? 5);
const VERIFY = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--iodepth=16'];

export function testMapper(kind: MapperKind): void {
  let rig: MapperRig;
  let count = 0;
  const newName = (): string => `${rig.prefix}${++count}`;

  test.before(async () => {
    rig = await MapperRig.open(kind);
    assert.is(await rig.mapper.unavailable(), null);
  });

  test.after(() => rig.close());

  test('what is written with O_DIRECT is read again, by other programs', async () => {
    const mapping = await rig.mapper.map({ name: newName(), device: new MemoryDevice(rig.world.memory, { sizeBytes: SIZE }) });
    const path = mapping.devicePath;
    assert.is(await rig.succeed('blockdev', '--getsize64', path), String(SIZE));
    assert.is(mapping.sizeBytes, SIZE);
    const mixed = await rig.fio(path, '--rw=randwrite', '--bsrange=4k-1m', '--size=64m', ...VERIFY);
    assert.is(mixed.errors, 0);
    await rig.succeed('dd', 'if=/dev/urandom', `of=${rig.path('random')}`, 'bs=1M', 'count=8');
    await rig.succeed('dd', `if=${rig.path('random')}`, `of=${path}`, 'bs=1M', 'oflag=direct', 'seek=5', 'conv=notrunc');
    await rig.succeed('dd', `if=${path}`, `of=${rig.path('back')}`, 'bs=64k', 'iflag=direct', 'skip=80', 'count=128');
    await rig.succeed('cmp', rig.path('random'), rig.path('back'));
    await mapping.unmap();
    assert.equal(rig.leftovers(), []);
  });

  test('what is discarded or zeroed reads as zeros, and what lies beside it stays', async () => {
    const mapping = await rig.mapper.map({ name: newName(), device: new MemoryDevice(rig.world.memory, { sizeBytes: SIZE }) });
    const path = mapping.devicePath;
    await rig.succeed('sh', '-c', `tr '\\0' '\\252' </dev/zero | dd of=${path} bs=1M count=16 iflag=fullblock oflag=direct`);
    await rig.succeed('blkdiscard', '--offset', String(2 * MiB), '--length', String(3 * MiB), path);
    await rig.succeed('blkdiscard', '--zeroout', '--offset', String(8 * MiB + 4096), '--length', '8192', path);
    await rig.succeed('cmp', '--bytes', String(3 * MiB), `--ignore-initial=${2 * MiB}:0`, path, '/dev/zero');
    await rig.succeed('cmp', '--bytes', '8192', `--ignore-initial=${8 * MiB + 4096}:0`, path, '/dev/zero');
    const beside = `dd if=${path} iflag=direct bs=4k | tr -d '\\0' | wc -c`;
    assert.is(Number(await rig.succeed('sh', '-c', beside)), 13 * MiB - 8192);
    await mapping.unmap();
  });

  test('resize() shows the new size to whoever looks', async () => {
    const device = new GrowingDevice(new MemoryDevice(rig.world.memory, { sizeBytes: 2 * SIZE }), SIZE);
    const mapping = await rig.mapper.map({ name: newName(), device });
    assert.is(await rig.succeed('blockdev', '--getsize64', mapping.devicePath), String(SIZE));
    device.sizeBytes = 2 * SIZE;
    await mapping.resize();
    assert.is(mapping.sizeBytes, 2 * SIZE);
    assert.is(await rig.succeed('blockdev', '--getsize64', mapping.devicePath), String(2 * SIZE));
    await rig.succeed('dd', 'if=/dev/urandom', `of=${mapping.devicePath}`, 'bs=1M', 'seek=127', 'count=1', 'oflag=direct');
    await mapping.unmap();
  });

  test('a device that is mounted is not unmapped, and works on; afterwards it goes', async () => {
    const mapping = await rig.mapper.map({ name: newName(), device: new MemoryDevice(rig.world.memory, { sizeBytes: SIZE }) });
    await rig.succeed('mkfs.ext4', '-q', mapping.devicePath);
    await rig.succeed('mount', mapping.devicePath, rig.mountPoint);
    assert.is(await codeOf(mapping.unmap()), 'INVALID_STATE');
    await rig.succeed('dd', 'if=/dev/zero', `of=${rig.mountPoint}/file`, 'bs=1M', 'count=8', 'conv=fsync');
    await rig.succeed('umount', rig.mountPoint);
    await rig.succeed('fsck.ext4', '-fn', mapping.devicePath);
    const other = await open(mapping.devicePath, constants.O_RDONLY | constants.O_EXCL);
    assert.is(await codeOf(mapping.unmap()), 'INVALID_STATE');
    await other.close();
    await mapping.unmap();
    await mapping.unmap();
    assert.equal(rig.leftovers(), []);
  });

  test('a name is mapped once; what is not there is not adopted; odd names are refused', async () => {
    const name = newName();
    const device = new MemoryDevice(rig.world.memory, { sizeBytes: SIZE });
    assert.is(await rig.mapper.adopt({ name, device }), null);
    const mapping = await rig.mapper.map({ name, device });
    assert.is(await codeOf(rig.mapper.map({ name, device })), 'ALREADY_EXISTS');
    await mapping.unmap();
    for (const odd of ['', 'a/b', '../x', 'x'.repeat(201), 'sp ace', '.', '..']) {
      assert.is(await codeOf(rig.mapper.map({ name: odd, device })), 'INVALID_ARGUMENT', odd);
    }
    assert.equal(await rig.mapper.reap(rig.prefix, new Set()), []);
  });

  test(`kill -9 of the serving process ${KILLS} times under load costs time, and no request`, async () => {
    const name = newName();
    let server = await rig.serve(name, SIZE);
    assert.is(server.how, 'mapped');
    const path = server.devicePath;
    const { errors, requests, longestMs } = await underLoad(rig, path, async () => {
      for (let kill = 0; kill < KILLS; kill += 1) {
        await rig.untilAnswered(path, 2000);
        await server.kill();
        server = await rig.serve(name, SIZE);
        assert.is(server.how, 'adopted');
        assert.is(server.devicePath, path);
      }
    });
    console.log(
      `${KILLS} kills under load: ${errors} errors in ${requests} requests, the longest took ${longestMs.toFixed(0)} ms`,
    );
    assert.is(errors, 0);
    await server.tell('unmap');
    assert.equal(rig.leftovers(), []);
  });

  test('handOver() and adopt() under load cost no request', async () => {
    const name = newName();
    let server = await rig.serve(name, SIZE);
    const { errors, requests, longestMs } = await underLoad(rig, server.devicePath, async () => {
      for (let change = 0; change < 3; change += 1) {
        await rig.untilAnswered(server.devicePath, 2000);
        await server.tell('handover');
        server = await rig.serve(name, SIZE);
        assert.is(server.how, 'adopted');
      }
    });
    console.log(`3 hand-overs under load: ${errors} errors in ${requests} requests, the longest took ${longestMs.toFixed(0)} ms`);
    assert.is(errors, 0);
    await server.tell('unmap');
  });

  test('reap() removes what nobody serves, and leaves what is known or in use', async () => {
    const [orphan, known, mounted] = [newName(), newName(), newName()] as const;
    for (const name of [orphan, known]) await (await rig.serve(name, SIZE)).kill();
    const server = await rig.serve(mounted, SIZE);
    await rig.succeed('mkfs.ext4', '-q', server.devicePath);
    await rig.succeed('mount', server.devicePath, rig.mountPoint);
    await server.kill();
    assert.equal(await rig.mapper.reap(rig.prefix, new Set([known])), [orphan]);
    if (kind !== 'nbd') {
      // Its users have got errors, so they can let go.
      await rig.succeed('umount', rig.mountPoint);
      assert.equal(await rig.mapper.reap(rig.prefix, new Set([known])), [mounted]);
    } else {
      const next = await rig.serve(mounted, SIZE);
      assert.is(next.how, 'adopted');
      await rig.succeed('umount', rig.mountPoint);
      await next.tell('unmap');
    }
    assert.equal(await rig.mapper.reap(rig.prefix, new Set()), [known]);
    assert.equal(rig.leftovers(), []);
    assert.equal(existsSync(rig.folder) ? readdirSync(rig.folder) : [], []);
  });

  test.run();
}

/** Writes, reads and verifies without pause until the action is over. */
async function underLoad(rig: MapperRig, path: string, action: () => Promise<void>): Promise<FioResult> {
  const load = ['--rw=randrw', '--bsrange=4k-64k', '--size=64m', '--verify_backlog=64', '--time_based', '--runtime=4'];
  let isOver = false;
  const acting = action().finally(() => (isOver = true));
  acting.catch(() => {}); // Told below.
  const total = { errors: 0, requests: 0, longestMs: 0 };
  while (!isOver && total.errors === 0) {
    const { errors, requests, longestMs } = await rig.fio(path, ...load, ...VERIFY);
    total.errors += errors;
    total.requests += requests;
    total.longestMs = Math.max(total.longestMs, longestMs);
  }
  await acting;
  return total;
}

/** A device that grows by saying so. */
class GrowingDevice implements BlockDevice {
  sizeBytes: number;
  readonly minimumIoBytes: number;
  readonly preferredIoBytes: number;
  readonly maximumIoBytes: number;
  readonly isReadOnly = false;
  readonly canTrim: boolean;
  readonly canMultiConnect: boolean;
  readonly #inner: BlockDevice;

  constructor(inner: BlockDevice, sizeBytes: number) {
    this.#inner = inner;
    this.sizeBytes = sizeBytes;
    this.minimumIoBytes = inner.minimumIoBytes;
    this.preferredIoBytes = inner.preferredIoBytes;
    this.maximumIoBytes = inner.maximumIoBytes;
    this.canTrim = inner.canTrim;
    this.canMultiConnect = inner.canMultiConnect;
  }

  submit(...request: Parameters<BlockDevice['submit']>): void {
    this.#inner.submit(...request);
  }

  extents(...range: Parameters<BlockDevice['extents']>): ReturnType<BlockDevice['extents']> {
    return this.#inner.extents(...range);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

async function codeOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
    return 'done';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
