// Power-cut replay: a recorded run of random writes and trims (checkpoints and laps of the log included), then every moment of it at
// which the power could have failed. Each image is opened and compared with what the acknowledgements promised.
// PF_POWER_CUT=full takes every prefix and 2000 random subsets of both runs; the default takes a sample.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DiskStore } from './disk-store.ts';
import { MemoryDisk, type TraceEntry } from './testing/memory-disk.ts';
import { ExpectedContent, record, verify, type RecordedOperation, type Recording } from './testing/power-cut-run.ts';
import { testWorld, type TestWorld } from './testing/store-bench.ts';
import { TestRandom } from './testing/test-random.ts';

const isFull = process.env['PF_POWER_CUT'] === 'full';
const OPERATIONS = isFull ? 2000 : 400;
const PREFIX_STEP = isFull ? 1 : 41;
const SUBSETS = isFull ? 2000 : 80;

interface Cut {
  readonly at: number;
  readonly world: TestWorld;
  readonly disk: MemoryDisk;
  readonly expected: ExpectedContent;
  readonly unacknowledged: readonly RecordedOperation[];
}

async function openAndVerify(cut: Cut, what: string): Promise<void> {
  try {
    const store = await DiskStore.open(cut.world.world, cut.disk);
    store.checkInvariants();
    await verify(cut.world, store, cut.expected, cut.unacknowledged);
    await store.close();
  } catch (error) {
    throw new Error(`${what} after ${cut.at} completions: ${(error as Error).message}`, { cause: error });
  }
}

/** Opens the image, cuts the power again while it is being opened, and opens what that left. */
async function cutWhileOpening(cut: Cut, random: TestRandom): Promise<void> {
  const before = cut.disk.bytes.slice();
  cut.disk.trace = [];
  await openAndVerify(cut, 'first open');
  const trace = cut.disk.trace;
  const at = random.below(trace.length + 1);
  cut.disk.patch(0, before);
  for (const entry of survivors(trace, [], at, random)) cut.disk.patch(entry.offset, entry.bytes);
  cut.disk.trace = null;
  await openAndVerify(cut, `opening was cut after ${at} of ${trace.length} writes, second open`);
}

function flushedBefore(trace: readonly TraceEntry[], at: number): number {
  let flushed = 0;
  for (let index = 0; index < at; index += 1)
    if (trace[index]!.kind === 'flush') flushed = Math.max(flushed, trace[index]!.submittedAt);
  return flushed;
}

/** What a cut after `at` completions may have left: durable and flushed writes whole; the others whole, torn at 512 bytes, or not at all. */
function survivors(
  trace: readonly TraceEntry[],
  pending: readonly TraceEntry[],
  at: number,
  random: TestRandom,
): { offset: number; bytes: Uint8Array }[] {
  const flushed = flushedBefore(trace, at);
  const kept: { offset: number; bytes: Uint8Array }[] = [];
  const tear = (entry: TraceEntry): void => {
    const fate = random.below(10);
    if (fate < 3) return;
    const sectors = entry.bytes.length / 512;
    const whole = random.below(sectors + 1);
    for (let sector = 0; sector < sectors; sector += 1) {
      const isKept = fate < 6 || (fate < 8 ? sector < whole : random.chance(0.5));
      if (isKept)
        kept.push({ offset: entry.offset + sector * 512, bytes: entry.bytes.subarray(sector * 512, sector * 512 + 512) });
    }
  };
  for (let index = 0; index < at; index += 1) {
    const entry = trace[index]!;
    if (entry.isDurable || index < flushed) kept.push({ offset: entry.offset, bytes: entry.bytes });
    else tear(entry);
  }
  for (const entry of [...trace.slice(at), ...pending]) if (entry.submittedAt <= at) tear(entry);
  return kept;
}

async function everyPrefix(recording: Recording, seed: number, step: number): Promise<number> {
  const world = testWorld(seed);
  const disk = new MemoryDisk(world.memory, recording.base.slice());
  const expected = new ExpectedContent(recording.operations);
  let cuts = 0;
  for (let at = 0; at <= recording.trace.length; at += 1) {
    if (at > 0) disk.bytes.set(recording.trace[at - 1]!.bytes, recording.trace[at - 1]!.offset);
    if (at % step !== 0) continue;
    disk.startUndo();
    await openAndVerify({ at, world, disk, expected, unacknowledged: expected.advance(at) }, 'prefix');
    disk.undo();
    cuts += 1;
  }
  return cuts;
}

async function randomSubsets(recording: Recording, seed: number, count: number): Promise<void> {
  const random = new TestRandom(seed);
  const world = testWorld(seed);
  const disk = new MemoryDisk(world.memory, recording.base.slice());
  const expected = new ExpectedContent(recording.operations);
  const cuts = Array.from({ length: count }, () => random.below(recording.trace.length + 1)).sort((one, other) => one - other);
  // What is durable for good is applied once; each cut adds only what the last flush did not cover.
  let settled = 0;
  for (const [index, at] of cuts.entries()) {
    const flushed = flushedBefore(recording.trace, at);
    for (; settled < flushed; settled += 1) disk.bytes.set(recording.trace[settled]!.bytes, recording.trace[settled]!.offset);
    disk.startUndo();
    const recent = recording.trace.slice(flushed).map((entry) => ({ ...entry, submittedAt: entry.submittedAt - flushed }));
    const pending = recording.pending.map((entry) => ({ ...entry, submittedAt: entry.submittedAt - flushed }));
    for (const entry of survivors(recent, pending, at - flushed, random)) disk.patch(entry.offset, entry.bytes);
    const cut = { at, world, disk, expected, unacknowledged: expected.advance(at) };
    if (index % 5 === 0) await cutWhileOpening(cut, random);
    else await openAndVerify(cut, 'subset');
    disk.undo();
  }
}

for (const seed of [1, 4]) {
  test(`every power cut of run ${seed} leaves what was acknowledged, and of the rest whole blocks`, async () => {
    const recording = await record(seed, OPERATIONS);
    assert.ok(recording.checkpoints >= (isFull ? 10 : 3), `only ${recording.checkpoints} checkpoints: the run is too small`);
    assert.ok(recording.checkedReads >= 100, `only ${recording.checkedReads} reads were checked`);
    const cuts = await everyPrefix(recording, seed, PREFIX_STEP);
    await randomSubsets(recording, seed + 100, SUBSETS);
    if (isFull)
      console.log(
        `run ${seed}: ${recording.trace.length} disk writes, ${recording.checkpoints} checkpoints, ${cuts} prefixes, ${SUBSETS} subsets`,
      );
  });
}

test.run();
