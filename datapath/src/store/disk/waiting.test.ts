// Who waits for whom: blocks under way, extents being freed, scratch memory; and that nobody's write or space is lost meanwhile.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../base/sizes.ts';
import { DISK_READ, DISK_TRIM, DISK_WRITE } from './disk-io.ts';
import { SCRATCH_BLOCKS } from './scratch-blocks.ts';
import { settleMicrotasks } from './testing/power-cut-run.ts';
import { begin, formattedBench, pattern, read, write, type Bench, type PendingIo } from './testing/store-bench.ts';
import type { TestRandom } from './testing/test-random.ts';

const V = 0x42000000;
const W = 0x43000000;

/** From now on the disk completes one request per step, the oldest first. */
function slowDown(bench: Bench): void {
  bench.disk.random = { below: () => 0 } as unknown as TestRandom;
}

async function runAll(bench: Bench, pending: readonly PendingIo[]): Promise<number[]> {
  for (let steps = 0; pending.some((each) => !each.isSettled); steps += 1) {
    assert.ok(steps < 20_000, 'somebody waits for ever');
    await settleMicrotasks();
    bench.disk.step();
  }
  return pending.map((each) => each.io.result);
}

async function assertHolds(bench: Bench, volumeId: number, offset: number, bytes: Uint8Array): Promise<void> {
  bench.disk.random = null;
  const pending = begin(bench, DISK_READ, volumeId, offset, bytes.length);
  await runAll(bench, [pending]);
  const outcome = await pending.settled;
  assert.is(outcome.result, 0);
  assert.is(Buffer.compare(outcome.bytes, bytes), 0);
}

test('eight writers of one sector each in one block all keep their sector', async () => {
  const bench = await formattedBench();
  const block = pattern(1, 4096);
  await write(bench, V, 0, block);
  slowDown(bench);
  const writes = Array.from({ length: 8 }, (_, sector) => {
    const bytes = pattern(10 + sector, 512);
    block.set(bytes, sector * 512);
    return begin(bench, DISK_WRITE, V, sector * 512, bytes);
  });
  assert.equal(await runAll(bench, writes), [0, 0, 0, 0, 0, 0, 0, 0]);
  await assertHolds(bench, V, 0, block);
});

test('the first writers of a block that was never written keep their sectors too', async () => {
  const bench = await formattedBench();
  const block = new Uint8Array(4096);
  slowDown(bench);
  const writes = [1, 3, 6].map((sector) => {
    const bytes = pattern(10 + sector, 512);
    block.set(bytes, sector * 512);
    return begin(bench, DISK_WRITE, V, sector * 512, bytes);
  });
  assert.equal(await runAll(bench, writes), [0, 0, 0]);
  await assertHolds(bench, V, 0, block);
});

test('nobody reads the zeros of a trim, or the bytes of a write, that a power cut could still undo', async () => {
  for (const length of [4096, 64 * KiB]) {
    const bench = await formattedBench();
    await write(bench, V, 0, pattern(1, 64 * KiB));
    slowDown(bench);
    const trimming = begin(bench, DISK_TRIM, V, 0, length);
    const reading = begin(bench, DISK_READ, V, 0, 4096);
    const writing = begin(bench, DISK_WRITE, V, 0, pattern(2, 4096));
    const last = begin(bench, DISK_READ, V, 0, 4096);
    assert.is(reading.isDurable, false);
    await runAll(bench, [trimming]);
    await runAll(bench, [reading, writing, last]);
    assert.is(Buffer.compare((await reading.durable).bytes, new Uint8Array(4096)), 0);
    assert.is(Buffer.compare((await last.durable).bytes, pattern(2, 4096)), 0);
    bench.disk.random = null;
    bench.store.checkInvariants();
  }
});

test('a write that waits keeps the extent it counts on, even if a trim empties it and the disk is full', async () => {
  const bench = await formattedBench({ diskBytes: 16 * MiB });
  await write(bench, W, 0, pattern(1, 4096));
  let offset = 0;
  for (; bench.store.canReserve(V, offset, 64 * KiB); offset += 64 * KiB) await write(bench, V, offset, pattern(2, 64 * KiB));
  assert.is(bench.store.freeBytes, 0);
  slowDown(bench);
  const holders = Array.from({ length: SCRATCH_BLOCKS }, (_, index) =>
    begin(bench, DISK_WRITE, V, index * 64 * KiB + 512, pattern(3, 512)),
  );
  const waiting = begin(bench, DISK_WRITE, W, 12 * KiB + 512, pattern(4, 512));
  const trimming = begin(bench, DISK_TRIM, W, 0, 4096);
  const other = begin(bench, DISK_WRITE, V, offset, pattern(5, 4096));
  assert.is(other.io.result, 28, 'the extent is promised to the write that waits');
  assert.equal(await runAll(bench, [waiting, trimming, other]), [0, 0, 28]);
  await runAll(bench, holders);
  const expected = new Uint8Array(16 * KiB);
  expected.set(pattern(4, 512), 12 * KiB + 512);
  await assertHolds(bench, W, 0, expected);
  bench.store.checkInvariants();
});

test('an overwritten whole extent stays untouched until its successor is durable', async () => {
  const bench = await formattedBench({ diskBytes: 16 * MiB });
  await write(bench, V, 0, pattern(1, 64 * KiB));
  slowDown(bench);
  const before = bench.disk.bytes.slice();
  const place = Buffer.from(before.buffer).indexOf(Buffer.from(pattern(1, 64 * KiB)));
  const overwriting = begin(bench, DISK_WRITE, V, 0, pattern(2, 64 * KiB));
  await settleMicrotasks();
  const others = Array.from({ length: 40 }, (_, index) => begin(bench, DISK_WRITE, W, index * 64 * KiB, pattern(3, 64 * KiB)));
  while (!overwriting.isDurable) {
    assert.is(Buffer.compare(bench.disk.bytes.subarray(place, place + 64 * KiB), pattern(1, 64 * KiB)), 0);
    await settleMicrotasks();
    bench.disk.step();
  }
  await runAll(bench, [overwriting, ...others]);
  await assertHolds(bench, V, 0, pattern(2, 64 * KiB));
});

test('a request gets its memory back only when its blocks are in place', async () => {
  const bench = await formattedBench();
  slowDown(bench);
  const writing = begin(bench, DISK_WRITE, V, 0, pattern(1, 4096));
  await settleMicrotasks();
  bench.disk.step();
  await settleMicrotasks();
  assert.ok(writing.isDurable && !writing.isSettled, 'acknowledged when the log is durable, settled later');
  bench.disk.step();
  assert.ok(writing.isSettled);
  bench.disk.random = null;
  assert.is(Buffer.compare((await read(bench, V, 0, 4096)).bytes, pattern(1, 4096)), 0);
});

test.run();
