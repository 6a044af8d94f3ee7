import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../base/crc32c.ts';
import { KiB, MiB } from '../../base/sizes.ts';
import { begin, formattedBench, pattern, read, reopened, trim, write, type Bench } from './testing/store-bench.ts';
import { DISK_READ, DISK_WRITE } from './disk-io.ts';
import { settleMicrotasks } from './testing/power-cut-run.ts';
import { TestRandom } from './testing/test-random.ts';

const V = 0x42000000;
const W = 0x43000000;

/** Sectors that differ from what is wanted, as a short text; '' = equal. */
function difference(actual: Uint8Array, expected: Uint8Array): string {
  if (Buffer.compare(actual, expected) === 0) return '';
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  return `first difference at byte ${at}: ${actual[at]} instead of ${expected[at]}`;
}

async function assertReads(bench: Bench, volumeId: number, offset: number, expected: Uint8Array): Promise<void> {
  const outcome = await read(bench, volumeId, offset, expected.length, { wantsCrc: true });
  assert.is(outcome.result, 0);
  assert.is(difference(outcome.bytes, expected), '');
  assert.is(outcome.crc, crc32c(expected, 0, expected.length, 0));
}

test('a place that was never written reads as zeros without touching the disk', async () => {
  const bench = await formattedBench();
  const before = bench.disk.reads;
  await assertReads(bench, V, 5 * 512, new Uint8Array(MiB));
  assert.is(bench.disk.reads, before);
});

test('what was written is read back, at any 512-byte alignment, now and after a crash and after a clean close', async () => {
  const bench = await formattedBench();
  for (const [offset, length] of [
    [0, 4096],
    [65536, 65536],
    [300 * KiB + 512, 1024],
    [1 * MiB - 512, 1 * MiB],
    [4 * MiB, MiB],
    [70 * MiB + 3584, 1024],
  ] as const) {
    const bytes = pattern(offset, length);
    assert.is((await write(bench, V, offset, bytes)).result, 0);
    await assertReads(bench, V, offset, bytes);
  }
  const crashed = await reopened(bench);
  crashed.store.checkInvariants();
  await assertReads(crashed, V, 4 * MiB, pattern(4 * MiB, MiB));
  await assertReads(crashed, V, 70 * MiB + 3584, pattern(70 * MiB + 3584, 1024));
  await bench.store.close();
  const clean = await reopened(bench);
  assert.is(clean.store.replay.batches, 0);
  await assertReads(clean, V, 1 * MiB - 512, pattern(1 * MiB - 512, 1 * MiB));
});

test('a write of part of a block keeps the rest of the block', async () => {
  const bench = await formattedBench();
  const whole = pattern(1, 16 * KiB);
  await write(bench, V, 0, whole);
  const patch = pattern(2, 5 * KiB);
  await write(bench, V, 3 * KiB, patch);
  whole.set(patch, 3 * KiB);
  await write(bench, V, 4608, patch.slice(0, 512));
  whole.set(patch.slice(0, 512), 4608);
  await assertReads(bench, V, 0, whole);
  await assertReads(bench, V, 4608, patch.slice(0, 512));
  await assertReads(await reopened(bench), V, 0, whole);
});

test('a trim reads as zeros, frees whole extents, and zeroes its edges inside blocks', async () => {
  const bench = await formattedBench();
  const total = bench.store.freeBytes;
  const expected = pattern(3, 256 * KiB);
  await write(bench, V, 0, expected);
  assert.is(bench.store.freeBytes, total - 256 * KiB);
  assert.is((await trim(bench, V, 62 * KiB + 512, 68 * KiB)).result, 0);
  expected.fill(0, 62 * KiB + 512, 130 * KiB + 512);
  await assertReads(bench, V, 0, expected);
  assert.is(bench.store.freeBytes, total - 192 * KiB);
  bench.store.checkInvariants();
  const again = await reopened(bench);
  await assertReads(again, V, 0, expected);
  assert.is(again.store.freeBytes, total - 192 * KiB);
});

test('more small trims in one turn than a batch holds are all done', async () => {
  const bench = await formattedBench();
  const expected = pattern(8, 40 * 64 * KiB);
  for (let offset = 0; offset < expected.length; offset += 512 * KiB)
    await write(bench, V, offset, expected.slice(offset, offset + 512 * KiB));
  const trims: Promise<unknown>[] = [];
  for (let block = 0; block < 640; block += 1) {
    if (block % 16 === 5) continue;
    trims.push(trim(bench, V, block * 4096, 4096));
    expected.fill(0, block * 4096, (block + 1) * 4096);
  }
  await Promise.all(trims);
  await bench.store.checkpoint();
  bench.store.checkInvariants();
  for (let offset = 0; offset < expected.length; offset += 512 * KiB)
    await assertReads(bench, V, offset, expected.slice(offset, offset + 512 * KiB));
});

test('a long trim is discarded on the disk, and its extents are used again only after the disk has answered', async () => {
  const bench = await formattedBench({ diskBytes: 16 * MiB });
  const total = bench.store.freeBytes;
  for (let offset = 0; offset < 4 * MiB; offset += MiB) await write(bench, V, offset, pattern(offset, MiB));
  await trim(bench, V, 2 * MiB, 64 * KiB);
  assert.is(bench.disk.discards, 0);
  await trim(bench, V, 0, 4 * MiB);
  assert.ok(bench.disk.discards >= 1);
  assert.is(bench.store.freeBytes, total);
  for (let offset = 0; offset + MiB <= total; offset += MiB) await write(bench, W, offset, pattern(offset, MiB));
  await bench.store.close();
  bench.store.checkInvariants();
  const again = await reopened(bench);
  for (let offset = 0; offset + MiB <= total; offset += MiB) await assertReads(again, W, offset, pattern(offset, MiB));
});

test('an extent that is used again shows nothing of its former owner', async () => {
  const bench = await formattedBench({ diskBytes: 16 * MiB });
  const total = bench.store.freeBytes;
  for (let offset = 0; offset + MiB <= total; offset += MiB) await write(bench, V, offset, pattern(7, MiB));
  for (let offset = 0; offset + MiB <= total; offset += MiB) await trim(bench, V, offset, MiB);
  assert.is(bench.store.freeBytes, total);
  for (let extent = 0; extent < 100; extent += 1) await write(bench, W, extent * 64 * KiB + 4608, pattern(extent, 512));
  for (let extent = 0; extent < 100; extent += 1) {
    const expected = new Uint8Array(64 * KiB);
    expected.set(pattern(extent, 512), 4608);
    await assertReads(bench, W, extent * 64 * KiB, expected);
  }
});

test('without space a write is refused whole, nothing changes, and after a trim it succeeds', async () => {
  const bench = await formattedBench({ diskBytes: 16 * MiB });
  let offset = 0;
  while (bench.store.canReserve(V, offset, MiB)) {
    assert.is((await write(bench, V, offset, pattern(offset, MiB))).result, 0);
    offset += MiB;
  }
  const left = bench.store.freeBytes;
  assert.ok(left < MiB);
  const before = bench.disk.writes;
  assert.is((await write(bench, V, offset, pattern(1, MiB))).result, 28);
  assert.is(bench.disk.writes, before);
  assert.is(bench.store.freeBytes, left);
  while (bench.store.canReserve(W, offset, 64 * KiB)) {
    await write(bench, W, offset, pattern(2, 64 * KiB));
    offset += 64 * KiB;
  }
  assert.is(bench.store.freeBytes, 0);
  assert.is((await write(bench, V, 0, pattern(3, MiB))).result, 0, 'what is backed is overwritten in place');
  await assertReads(bench, V, 0, pattern(3, MiB));
  assert.is((await write(bench, W, 0, pattern(1, 512))).result, 28);
  const trimming = begin(bench, 3, V, MiB, 64 * KiB);
  assert.ok(bench.store.canReserve(W, 0, 512), 'what a trim under way frees can be promised');
  assert.is((await write(bench, W, 0, pattern(1, 512))).result, 0);
  await trimming.settled;
  bench.store.checkInvariants();
  await assertReads(bench, W, 0, pattern(1, 512));
});

test('the larger stamp stays; a recovery write sets it exactly; a recovering replica keeps it', async () => {
  const bench = await formattedBench();
  const stampOf = (): string => {
    let text = 'none';
    bench.store.listExtents(
      V,
      0,
      MiB,
      (offset, generation, sequence, written) => (text = `${offset} ${generation}.${sequence} ${written.toString(2)}`),
    );
    return text;
  };
  await write(bench, V, 64 * KiB, pattern(1, 4096), { generation: 3, sequence: 2 ** 40 });
  assert.is(stampOf(), `65536 3.${2 ** 40} 1`);
  await write(bench, V, 72 * KiB, pattern(1, 4096), { generation: 3, sequence: 5 });
  assert.is(stampOf(), `65536 3.${2 ** 40} 101`);
  await write(bench, V, 64 * KiB, pattern(1, 64 * KiB), { generation: 4, sequence: 1, keepStamp: true });
  assert.is(stampOf(), `65536 3.${2 ** 40} 1111111111111111`);
  await write(bench, V, 64 * KiB, pattern(1, 64 * KiB), { generation: 2, sequence: 9, setsStampExactly: true });
  assert.is(stampOf(), '65536 2.9 1111111111111111');
  await trim(bench, V, 68 * KiB, 60 * KiB, { generation: 4, sequence: 2 });
  assert.is(stampOf(), '65536 4.2 1');
  const again = await reopened(bench);
  let text = '';
  again.store.listExtents(
    V,
    0,
    MiB,
    (offset, generation, sequence, written, crcs) =>
      (text = `${offset} ${generation}.${sequence} ${written} ${crcs[0]} ${crcs[1]}`),
  );
  assert.is(text, `65536 4.2 1 ${crc32c(pattern(1, 64 * KiB), 0, 4096, 0)} 0`);
});

test('writtenBitmap tells every block that was written, from any block on', async () => {
  const bench = await formattedBench();
  await write(bench, V, 60 * KiB, pattern(1, 8 * KiB));
  await write(bench, V, 64 * KiB + 20 * KiB, pattern(1, 512));
  const memory = bench.memory.acquireSlot(4096);
  bench.store.writtenBitmap(V, 56 * KiB, 40 * KiB, memory);
  assert.equal(
    [...bench.memory.bytes.subarray(memory, memory + 2)].map((byte) => byte.toString(2)),
    ['10000110', '0'],
  );
});

test('a block that rots on the disk is reported, and never handed out', async () => {
  const bench = await formattedBench();
  await write(bench, V, 0, pattern(1, 128 * KiB));
  const at = bench.disk.bytes.indexOf(pattern(1, 128 * KiB)[70000]!, 0);
  assert.ok(at > 0);
  const needle = Buffer.from(pattern(1, 128 * KiB).subarray(68 * KiB, 69 * KiB));
  const place = Buffer.from(bench.disk.bytes.buffer).indexOf(needle);
  bench.disk.bytes[place + 5]! ^= 4;
  const outcome = await read(bench, V, 0, 128 * KiB);
  assert.is(outcome.result, 5);
  assert.is(outcome.isCorrupt, true);
  assert.is(difference(outcome.bytes.subarray(68 * KiB, 72 * KiB), new Uint8Array(4 * KiB)), '');
  const partial = await write(bench, V, 68 * KiB + 512, pattern(2, 512));
  assert.is(partial.result, 5);
  assert.is(partial.isCorrupt, true);
  assert.is((await write(bench, V, 68 * KiB, pattern(3, 4096))).result, 0, 'a whole new block heals it');
  await assertReads(bench, V, 68 * KiB, pattern(3, 4096));
  assert.is(bench.store.counters.corruptBlocks, 2);
  bench.store.checkInvariants();
});

test('an unreadable sector fails that read only', async () => {
  const bench = await formattedBench();
  await write(bench, V, 0, pattern(1, 4096));
  bench.disk.failReadsAt = () => true;
  const outcome = await read(bench, V, 0, 4096);
  assert.is(outcome.result, 5);
  assert.is(outcome.isCorrupt, false);
  bench.disk.failReadsAt = null;
  await assertReads(bench, V, 0, pattern(1, 4096));
});

test('checksums given by the caller are used, at every position of the payload', async () => {
  const bench = await formattedBench();
  const bytes = pattern(5, 200 * KiB);
  const crcs = new Uint32Array(50);
  for (let block = 0; block < 50; block += 1) crcs[block] = crc32c(bytes, block * 4096, 4096, 0);
  await write(bench, V, 8 * KiB, bytes, { payloadCrcs: crcs });
  await assertReads(bench, V, 8 * KiB, bytes);
  crcs[0] = 1;
  await write(bench, V, 8 * KiB, bytes, { payloadCrcs: crcs });
  assert.is((await read(bench, V, 8 * KiB, 4096)).isCorrupt, true, 'a wrong one is stored, and then the block does not match');
});

test('a write error ends the disk: everybody is answered EIO and later requests too', async () => {
  const bench = await formattedBench();
  await write(bench, V, 0, pattern(1, 4096));
  let told = '';
  bench.store.onFailure = (failure) => (told = failure.code);
  bench.disk.writeErrno = 5;
  const outcomes = await Promise.all([
    write(bench, V, 0, pattern(2, 4096)),
    write(bench, V, 0, pattern(3, 4096)),
    write(bench, V, MiB, pattern(3, MiB)),
    trim(bench, V, 0, MiB),
    read(bench, V, 0, 4096),
  ]);
  assert.equal(
    outcomes.map((outcome) => outcome.result),
    [5, 5, 5, 5, 5],
  );
  assert.is(told, 'IO_ERROR');
  assert.match(bench.store.failure!.message, /disk "\/dev\/test".*has failed.*errno 5/);
  bench.disk.writeErrno = 0;
  assert.is((await read(bench, V, 0, 4096)).result, 5);
  await bench.store.close();
  await assertReads(await reopened(bench), V, 0, pattern(1, 4096));
});

test('requests out of bounds are refused, and new ones after close began', async () => {
  const bench = await formattedBench();
  for (const [operation, offset, length] of [
    [2, 100, 512],
    [2, 0, 100],
    [2, 0, 0],
    [2, -512, 512],
    [1, 0, 2 * MiB],
    [3, 0, 2 ** 31],
  ] as const) {
    assert.is((await begin(bench, operation, V, offset, length).settled).result, 22);
  }
  const closing = bench.store.close();
  assert.is((await read(bench, V, 0, 512)).result, 125);
  await closing;
});

test('drop deletes a volume, drain waits for the writes of a range, volumes() lists what is there', async () => {
  const bench = await formattedBench();
  const total = bench.store.freeBytes;
  const writing = begin(bench, DISK_WRITE, V, 0, pattern(1, 4096));
  await bench.store.drain(V, 0, 512);
  assert.ok(writing.isSettled);
  await write(bench, V, 900 * 1024 * MiB, pattern(1, MiB));
  await write(bench, W, 0, pattern(2, MiB));
  assert.equal(bench.store.volumes(), [V, W]);
  assert.is(bench.store.usedBytes(V), MiB + 64 * KiB);
  await bench.store.drop(V, 0, 1024 * 1024 * MiB);
  assert.equal(bench.store.volumes(), [W]);
  assert.is(bench.store.freeBytes, total - MiB);
  bench.store.checkInvariants();
  const again = await reopened(bench);
  assert.equal(again.store.volumes(), [W]);
});

test('a read that overlaps a write under way sees the old or the new block, never a mixture and never an error', async () => {
  const bench = await formattedBench({ logBytes: 2 * MiB });
  bench.disk.random = new TestRandom(9);
  const versions = Array.from({ length: 60 }, (_, version) => pattern(version, 128 * KiB));
  const first = begin(bench, DISK_WRITE, V, 0, versions[0]!);
  while (!first.isSettled) await stepOnce(bench);
  let reads = 0;
  for (let version = 1; version < versions.length; version += 1) {
    const isWhole = version % 2 === 0;
    const offset = isWhole ? 0 : 4096 * (version % 32);
    const end = isWhole ? 128 * KiB : offset + 4096;
    const early = begin(bench, DISK_READ, V, offset, end - offset);
    const writing = begin(bench, DISK_WRITE, V, offset, versions[version]!.slice(offset, end));
    const late = begin(bench, DISK_READ, V, offset, end - offset);
    const before = (await finish(bench, early)).bytes;
    const after = (await finish(bench, late)).bytes;
    await finish(bench, writing);
    for (let at = 0; at < end - offset; at += 4096) {
      const now = Buffer.compare(after.subarray(at, at + 4096), versions[version]!.subarray(offset + at, offset + at + 4096));
      assert.is(now, 0, `version ${version}: a read after the write began must wait for it`);
      const block = before.subarray(at, at + 4096);
      assert.ok(versions.some((each) => Buffer.compare(block, each.subarray(offset + at, offset + at + 4096)) === 0));
    }
    reads += 2;
  }
  assert.is(reads, 118);
  assert.ok(bench.store.counters.readRetries > 0, 'some read must have been overtaken');
  bench.store.checkInvariants();
});

test('writers who fill the log behind a slow checkpoint get the next one', async () => {
  const bench = await formattedBench({ diskBytes: 32 * MiB, logBytes: MiB });
  await write(bench, V, 0, pattern(1, 4096));
  bench.disk.random = new TestRandom(3);
  const slow = bench.store.checkpoint();
  const writes = Array.from({ length: 400 }, (_, index) => begin(bench, DISK_WRITE, V, index * 4096, pattern(index, 4096)));
  do await settleMicrotasks();
  while (bench.disk.step(true));
  const acknowledged = writes.filter((each) => each.isDurable).length;
  assert.ok(acknowledged > 50 && acknowledged < 400, `${acknowledged} writes fit the log: the others must stall`);
  for (const each of writes) await finish(bench, each);
  bench.disk.random = null;
  while (bench.disk.step()) await settleMicrotasks();
  await slow;
  await assertReads(bench, V, 399 * 4096, pattern(399, 4096));
});

async function stepOnce(bench: Bench): Promise<void> {
  await settleMicrotasks();
  bench.disk.step();
}

async function finish(bench: Bench, pending: ReturnType<typeof begin>): Promise<{ result: number; bytes: Uint8Array }> {
  for (let steps = 0; !pending.isSettled; steps += 1) {
    assert.ok(steps < 100_000, 'the request does not end');
    await stepOnce(bench);
  }
  const outcome = await pending.settled;
  assert.is(outcome.result, 0);
  return outcome;
}

test.run();
