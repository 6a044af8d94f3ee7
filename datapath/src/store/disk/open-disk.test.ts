// Opening: what is refused and why, what is healed, and what a log that was cut short brings back.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../../base/errors.ts';
import { diskUuid } from '../../base/ids.ts';
import { KiB, MiB } from '../../base/sizes.ts';
import { DISK_WRITE } from './disk-io.ts';
import { DiskStore } from './disk-store.ts';
import { decodeHead, encodeHead, type Head } from './head-page.ts';
import { MemoryDisk } from './testing/memory-disk.ts';
import { settleMicrotasks } from './testing/power-cut-run.ts';
import {
  TEST_STORE_UUID,
  begin,
  formattedBench,
  pattern,
  read,
  reopened,
  testWorld,
  trim,
  write,
  type Bench,
} from './testing/store-bench.ts';

const V = 0x42000000;

async function errorOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return `${(error as PfError).code}: ${(error as Error).message}`;
  }
  return 'no error';
}

function headOf(disk: MemoryDisk): Head {
  const decoded = decodeHead(disk.bytes);
  if (decoded.kind !== 'head') throw new Error(decoded.kind);
  return decoded.head;
}

async function assertHolds(bench: Bench, offset: number, bytes: Uint8Array): Promise<void> {
  const outcome = await read(bench, V, offset, bytes.length);
  assert.is(outcome.result, 0);
  assert.is(Buffer.compare(outcome.bytes, bytes), 0);
}

test('format makes a disk ours under the given or a random UUID', async () => {
  const bench = await formattedBench();
  assert.is(bench.store.storeUuid, TEST_STORE_UUID);
  assert.match(bench.store.diskUuid, /^[0-9a-f-]{36}$/);
  const { world, memory } = testWorld();
  const disk = new MemoryDisk(memory, new Uint8Array(16 * MiB));
  await DiskStore.format(world, disk, { storeUuid: TEST_STORE_UUID, diskUuid: diskUuid('01234567-89ab-4def-8123-456789abcdef') });
  assert.is((await DiskStore.open(world, disk)).diskUuid, '01234567-89ab-4def-8123-456789abcdef');
});

test('format refuses a disk that holds something, by name, unless told', async () => {
  const { world, memory } = testWorld();
  const cases: [number, number[], RegExp][] = [
    [1080, [0x53, 0xef], /it holds ext2;/],
    [0, [0x58, 0x46, 0x53, 0x42], /it holds XFS;/],
    [510, [0x55, 0xaa], /it holds MBR without partitions, or a boot sector;/],
    [512, [0x45, 0x46, 0x49, 0x20, 0x50, 0x41, 0x52, 0x54], /it holds GPT with a damaged header;/],
    [700_000, [1], /unknown data in its first MiB/],
    [8 * MiB + 100, [1], /unknown data at offset 8388608/],
    [16 * MiB - 1, [1], /unknown data in its last MiB/],
  ];
  for (const [at, bytes, wanted] of cases) {
    const disk = new MemoryDisk(memory, new Uint8Array(16 * MiB));
    disk.bytes.set(bytes, at);
    const error = await errorOf(DiskStore.format(world, disk, { storeUuid: TEST_STORE_UUID }));
    assert.match(error, /^ALREADY_EXISTS: cannot format disk "\/dev\/test": it holds /);
    assert.match(error, wanted);
    await DiskStore.format(world, disk, { storeUuid: TEST_STORE_UUID, isForced: true });
    assert.is((await DiskStore.open(world, disk)).volumes().length, 0);
  }
  const used = await formattedBench();
  assert.match(
    await errorOf(DiskStore.format(used.world, used.disk, { storeUuid: TEST_STORE_UUID })),
    /it holds a PureFlash disk \(disk UUID/,
  );
});

test('a disk that was formatted again shows nothing of its former life', async () => {
  const bench = await formattedBench();
  await write(bench, V, 0, pattern(1, MiB));
  await bench.store.checkpoint();
  await write(bench, V, MiB, pattern(1, 4096));
  await DiskStore.format(bench.world, bench.disk, { storeUuid: TEST_STORE_UUID, isForced: true });
  const again = await reopened(bench);
  assert.equal(again.store.volumes(), []);
  await write(again, V, 4096, pattern(2, 4096));
  await assertHolds(again, 0, new Uint8Array(4096));
});

test('what is not an intact disk of this format is refused with a reason', async () => {
  const bench = await formattedBench();
  await bench.store.close();
  const open = async (change: (disk: MemoryDisk) => void): Promise<string> => {
    const { world, memory } = testWorld();
    const disk = new MemoryDisk(memory, bench.disk.bytes.slice());
    change(disk);
    return errorOf(DiskStore.open(world, disk));
  };
  assert.match(await open((disk) => disk.bytes.fill(0)), /^NOT_FOUND: .*not a PureFlash disk \(blank\); format it first/);
  assert.match(await open((disk) => disk.bytes.fill(9)), /^NOT_FOUND: .*not a PureFlash disk \(foreign data\)/);
  assert.match(
    await open((disk) => ((disk.bytes[100]! ^= 1), (disk.bytes[4196]! ^= 1))),
    /^CORRUPT: .*both head pages are damaged/,
  );
  assert.is(await open((disk) => (disk.bytes[100]! ^= 1)), 'no error');
  assert.is(await open((disk) => (disk.bytes[4196]! ^= 1)), 'no error');
  assert.match(
    await open((disk) => (disk.bytes = disk.bytes.slice(0, 63 * MiB))),
    /^INVALID_STATE: .*it has 63 MiB, but was formatted with 64 MiB/,
  );
  const setVersion = (disk: MemoryDisk): void => {
    for (const page of [0, 4096]) disk.bytes.set(withVersion(disk.bytes.slice(page, page + 512), 2), page);
  };
  assert.match(await open(setVersion), /^UNSUPPORTED: .*its format is version 2, this program knows version 1/);
});

function withVersion(sector: Uint8Array, version: number): Uint8Array {
  const { memory } = testWorld();
  new DataView(sector.buffer).setUint32(8, version, true);
  memory.bytes.set(sector, 4096);
  new DataView(sector.buffer).setUint32(508, memory.crc32c(4096, 508, 0), true);
  return sector;
}

test('a table entry damaged in one copy is healed from the other; in both, opening is refused unless the log has it', async () => {
  const bench = await formattedBench();
  await write(bench, V, 0, pattern(1, MiB));
  await bench.store.checkpoint();
  const { tableOffsetA, tableOffsetB } = headOf(bench.disk).geometry;
  bench.disk.bytes[tableOffsetA + 3 * 128 + 17]! ^= 1;
  bench.disk.bytes[tableOffsetB + 5 * 128 + 60]! ^= 1;
  const healed = await reopened(bench);
  assert.is(healed.store.counters.healedEntries, 2);
  await assertHolds(healed, 0, pattern(1, MiB));
  assert.is((await reopened(healed)).store.counters.healedEntries, 0);
  bench.disk.bytes[tableOffsetB + 3 * 128 + 17]! ^= 1;
  assert.match(
    await errorOf(reopened(bench)),
    /^CORRUPT: .*1 entries of the extent table are damaged in both copies \(the first is of physical extent 3\)/,
  );
  await write(bench, V, 3 * 64 * KiB + 4096, pattern(2, 4096));
  const fromLog = await reopened(bench);
  assert.is(fromLog.store.counters.healedEntries, 2);
  await assertHolds(fromLog, 3 * 64 * KiB, pattern(1, MiB).slice(3 * 64 * KiB, 3 * 64 * KiB + 4096));
});

test('a write that a disk lost in one copy of the table is noticed by its log sequence', async () => {
  const bench = await formattedBench();
  await write(bench, V, 0, pattern(1, 64 * KiB));
  await bench.store.checkpoint();
  const { tableOffsetB } = headOf(bench.disk).geometry;
  const before = bench.disk.bytes.slice(tableOffsetB, tableOffsetB + 4096);
  await write(bench, V, 0, pattern(2, 64 * KiB));
  await bench.store.checkpoint();
  bench.disk.bytes.set(before, tableOffsetB);
  const again = await reopened(bench);
  again.store.checkInvariants();
  await assertHolds(again, 0, pattern(2, 64 * KiB));
});

test('a log that lost an acknowledged batch is refused, a torn last one is not', async () => {
  const bench = await formattedBench();
  for (let index = 0; index < 6; index += 1) await write(bench, V, index * 64 * KiB, pattern(index, 4096));
  const { logOffset } = headOf(bench.disk).geometry;
  const batchBytes = 512 + 4096;
  bench.disk.bytes[logOffset + 5 * batchBytes + 1000]! ^= 1;
  const torn = await reopened(bench);
  assert.is(torn.store.replay.batches, 5);
  bench.disk.bytes[logOffset + 2 * batchBytes + 1000]! ^= 1;
  assert.match(await errorOf(reopened(bench)), /^CORRUPT: .*log batch 3 is damaged, but later ones are there/);
});

test('a lost batch is noticed by the one batch behind it when that says that the lost one was complete', async () => {
  const bench = await formattedBench();
  for (let index = 0; index < 3; index += 1) await write(bench, V, index * 64 * KiB, pattern(index, 4096));
  const { logOffset } = headOf(bench.disk).geometry;
  const batchBytes = 512 + 4096;
  bench.disk.bytes[logOffset + 1 * batchBytes + 1000]! ^= 1;
  assert.match(await errorOf(reopened(bench)), /^CORRUPT: .*log batch 2 is damaged, but later ones are there/);
});

test('an old head with a table that is ahead of it is refused', async () => {
  const bench = await formattedBench({ diskBytes: 32 * MiB, logBytes: MiB });
  await write(bench, V, 0, pattern(1, 4096));
  const oldHead = bench.disk.bytes.slice(0, 8192);
  for (let index = 0; index < 400; index += 1) await write(bench, V, (index % 60) * 4096, pattern(index, 4096));
  await bench.store.checkpoint();
  bench.disk.bytes.set(oldHead, 0);
  assert.match(await errorOf(reopened(bench)), /^CORRUPT: /);
});

test('a batch behind a torn one never comes back, even when a later log ends right before it', async () => {
  const bench = await formattedBench();
  await write(bench, V, 0, pattern(1, 4096));
  const { logOffset } = headOf(bench.disk).geometry;
  bench.disk.random = { below: (n: number) => n - 1 } as never;
  const first = begin(bench, DISK_WRITE, V, 0, pattern(2, 4096));
  await settleMicrotasks();
  const second = begin(bench, DISK_WRITE, V, 64 * KiB, pattern(3, 4096));
  await settleMicrotasks();
  assert.is(bench.disk.inFlight, 2, 'two batches are in flight');
  bench.disk.step();
  await settleMicrotasks();
  assert.ok(!first.isDurable && !second.isDurable, 'the later batch is durable, but nobody is told before the earlier one');
  const cut = await reopened(bench);
  assert.is(cut.store.replay.batches, 1);
  await write(cut, V, 0, pattern(4, 4096));
  assert.is(
    Buffer.compare(
      cut.disk.bytes.subarray(logOffset + 2 * 4608, logOffset + 3 * 4608),
      bench.disk.bytes.subarray(logOffset + 2 * 4608, logOffset + 3 * 4608),
    ),
    0,
  );
  const again = await reopened(cut, 8);
  assert.is(again.store.replay.batches, 1);
  await assertHolds(again, 0, pattern(4, 4096));
  await assertHolds(again, 64 * KiB, new Uint8Array(4096));
});

test('the log laps and checkpoints under load, and everything is there after a crash at the end', async () => {
  for (const blockSizeBytes of [512, 4096]) {
    const bench = await formattedBench({ diskBytes: 32 * MiB, logBytes: MiB, blockSizeBytes });
    const expected = new Uint8Array(4 * MiB);
    const work: Promise<unknown>[] = [];
    for (let index = 0; index < 1500; index += 1) {
      const offset = ((index * 7919) % 1024) * 4096;
      const bytes = pattern(index, 4096);
      expected.set(bytes, offset);
      work.push(write(bench, V, offset, bytes));
      if (index % 40 === 39) await Promise.all(work.splice(0));
    }
    await Promise.all(work);
    assert.ok(bench.store.counters.checkpoints >= 5, `${bench.store.counters.checkpoints} checkpoints`);
    const again = await reopened(bench);
    for (let offset = 0; offset < 4 * MiB; offset += MiB) await assertHolds(again, offset, expected.slice(offset, offset + MiB));
    await trim(again, V, 0, 4 * MiB);
    await again.store.close();
    again.store.checkInvariants();
    assert.equal((await reopened(again)).store.volumes(), []);
  }
});

test('the written head tells a clean close from a crash', async () => {
  const bench = await formattedBench();
  assert.is(headOf(bench.disk).isClean, false);
  await bench.store.close();
  assert.is(headOf(bench.disk).isClean, true);
  assert.equal(encodeHead(headOf(bench.disk)), bench.disk.bytes.slice(4096, 4608), 'both pages hold the newest head');
  assert.is(bench.memory.takenSlots, 0);
});

test.run();
