// The bytes of a log batch are fixed by the format: an image of version 1 is kept here, written out.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../base/crc32c.ts';
import { MiB } from '../../base/sizes.ts';
import { BITMAP, ExtentTable, FIRST_CRC, initEntry, setStamp, wordOf } from './extent-table.ts';
import { planGeometry } from './layout.ts';
import { encodeMeta, KIND_REDIRECT, KIND_UPDATE, LogBatch, NO_PREVIOUS } from './log-batch.ts';
import { LogReader } from './log-reader.ts';
import { placeBatch } from './redo-log.ts';
import { MemoryDisk } from './testing/memory-disk.ts';
import { pattern, testWorld } from './testing/store-bench.ts';
import { TestRandom } from './testing/test-random.ts';

const SECRET = 0x1_2345_6789_abcd;
const IDENTITY = 0xdeadbeef;

/** Batch 77: extent 3 redirected from 9 (now free), extent 40 updated, one payload block. Lies at the start of the log. */
function goldenBatch(): { disk: MemoryDisk; reader: LogReader; meta: Uint8Array; payload: Uint8Array } {
  const { memory } = testWorld();
  const disk = new MemoryDisk(memory, new Uint8Array(16 * MiB));
  const geometry = planGeometry(16 * MiB);
  const table = new ExtentTable(geometry.extentCount, IDENTITY);
  const payload = pattern(1, 4096);
  const batch = new LogBatch({ batchWritten() {} });
  batch.start(77);
  for (const [physical, kind, previous] of [
    [3, KIND_REDIRECT, 9],
    [9, KIND_UPDATE, NO_PREVIOUS],
    [40, KIND_UPDATE, NO_PREVIOUS],
  ] as const) {
    const { words } = table.open(physical);
    if (physical !== 9) initEntry(words, wordOf(physical), 0x12_4200_0000, 5, physical);
    if (physical !== 9) setStamp(words, wordOf(physical), 8, 2 ** 33 + 1);
    batch.touched[batch.touchedCount] = physical;
    batch.kinds[batch.touchedCount] = kind;
    batch.previous[batch.touchedCount] = previous;
    batch.touchedCount += 1;
  }
  table.at(40).words[wordOf(40) + BITMAP] = 4;
  table.at(40).words[wordOf(40) + FIRST_CRC + 2] = crc32c(payload, 0, 4096, 0);
  batch.payloadPhysical[0] = 40;
  batch.payloadBlock[0] = 2;
  batch.payloadCrc[0] = crc32c(payload, 0, 4096, 0);
  batch.payloadCount = 1;
  const at = memory.reserve(80 * 1024);
  const words = new Uint32Array(memory.buffer);
  const length = encodeMeta(batch, table, { secret: SECRET, completeThrough: 75, sectorBytes: 512 }, words, at, memory);
  const meta = memory.bytes.slice(at, at + length);
  disk.patch(geometry.logOffset, meta);
  disk.patch(geometry.logOffset + length, payload);
  return { disk, reader: new LogReader(disk, memory, geometry, SECRET, IDENTITY), meta, payload };
}

const hex = (bytes: Uint8Array, from: number, to: number): string => Buffer.from(bytes.subarray(from, to)).toString('hex');

test('a batch of format 1 is these bytes', () => {
  const { meta } = goldenBatch();
  assert.is(meta.length, 512);
  assert.is(hex(meta, 0, 32), '50464c4200020000' + 'cdab896745230100' + '4d00000000000000' + '4b00000000000000');
  assert.is(hex(meta, 32, 44), '02000000' + '01000000' + '01000000');
  assert.is(hex(meta, 64, 76), '03000000' + '01000000' + '09000000');
  assert.is(
    hex(meta, 76, 116),
    '0000004212000000' + '05000000' + '03000100' + 'ffffffff' + '08000000' + '0100000002000000' + '00000000' + '00000000',
  );
  assert.is(hex(meta, 204, 216), '28000000' + '00000000' + 'ffffffff');
  assert.is(hex(meta, 344, 348), '09000000');
  assert.is(hex(meta, 348, 356), '28000000' + '02000000');
  assert.is(crc32c(meta, 0, 512, 0).toString(16), '4d2d93');
});

test('a batch is read back as it was written', async () => {
  const { reader } = goldenBatch();
  const batch = (await reader.read(0, 77))!;
  assert.equal(
    [batch.sequence, batch.completeThrough, batch.images, batch.frees, batch.payloads, batch.endPosition],
    [77, 75, 2, 1, 1, 512 + 4096],
  );
  assert.is(batch.meta[batch.freeAt(0)], 9);
  assert.equal([...batch.meta.slice(batch.payloadAt(0), batch.payloadAt(0) + 2)], [40, 2]);
  assert.is(await reader.read(0, 78), null);
});

test('a batch with any bit turned over, in its meta part or payload, is no batch', async () => {
  const { disk, reader } = goldenBatch();
  const logOffset = MiB;
  const random = new TestRandom(3);
  const places = [...Array.from({ length: 512 }, (_, at) => at), ...Array.from({ length: 64 }, () => 512 + random.below(4096))];
  for (const at of places) {
    const original = disk.bytes[logOffset + at]!;
    disk.bytes[logOffset + at] = original ^ (1 << random.below(8));
    await reader.locate(3 * MiB, 512);
    assert.is(await reader.read(0, 77), null, `byte ${at}`);
    disk.bytes[logOffset + at] = original;
  }
});

test('random counts and lengths behind a right checksum are refused without reading outside', async () => {
  const { disk, reader, meta } = goldenBatch();
  const random = new TestRandom(4);
  let accepted = 0;
  for (let round = 0; round < 3000; round += 1) {
    const forged = meta.slice();
    const view = new DataView(forged.buffer);
    for (let change = 0; change <= random.below(3); change += 1)
      view.setUint32(4 * random.below(128), random.chance(0.5) ? random.below(64) : random.u32(), true);
    const length = view.getUint32(4, true);
    view.setUint32(44, 0, true);
    view.setUint32(44, length <= 512 ? crc32c(forged, 0, length, 0) : 0, true);
    disk.bytes.set(forged, MiB);
    await reader.locate(3 * MiB, 512);
    if ((await reader.read(0, 77)) !== null) accepted += 1;
  }
  assert.ok(accepted < 1500, `${accepted} of 3000 accepted: only changes of previous and padding may pass`);
});

test('a batch that might not fit before the end of the log begins at its start', () => {
  assert.is(placeBatch(0, 4 * MiB, 300_000), 0);
  assert.is(placeBatch(4 * MiB - 300_000, 4 * MiB, 300_000), 4 * MiB - 300_000);
  assert.is(placeBatch(4 * MiB - 299_999, 4 * MiB, 300_000), 4 * MiB);
  assert.is(placeBatch(9 * MiB - 512, MiB, 300_000), 9 * MiB);
});

test.run();
