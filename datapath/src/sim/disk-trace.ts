// What a disk was asked to do, in the order of completion, and every image that a power cut could leave of it.
// Recorded by SimDiskDevice (`device.trace = new DiskTrace(device)`), replayed by the power-cut tests of a store.
//
// A cut after `count` completions: writes that completed durable, or before a flush that completed, are whole on the disk.
// Any other write that had been submitted may be there whole, in part (cut at 512 bytes), or not at all.
import { assert } from '../base/assert.ts';
import { SECTOR_BYTES } from '../base/sizes.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SparseBytes } from './sparse-bytes.ts';

export interface TraceEntry {
  readonly kind: 'write' | 'flush' | 'discard';
  readonly offset: number;
  readonly length: number;
  /** Of a write; empty otherwise. */
  readonly bytes: Uint8Array;
  readonly isDurable: boolean;
  /** How many entries had completed when this one was submitted. */
  readonly submittedAt: number;
}

export class DiskTrace {
  readonly entries: TraceEntry[] = [];
  /** What was on the disk when recording began. */
  readonly base: SparseBytes;

  constructor(base: SparseBytes) {
    this.base = base.clone();
  }

  get length(): number {
    return this.entries.length;
  }

  record(entry: TraceEntry): void {
    this.entries.push(entry);
  }

  /** Every one of the first `count` entries, whole: what a reader saw at that time. */
  imageAfter(count: number): SparseBytes {
    const image = this.base.clone();
    for (const entry of this.#first(count)) applyWhole(image, entry);
    return image;
  }

  /** Only what must have survived a cut after `count` completions. */
  durableAt(count: number): SparseBytes {
    const image = this.base.clone();
    const flushed = this.#flushedBefore(count);
    this.#first(count).forEach((entry, index) => {
      if (entry.isDurable || index < flushed) applyWhole(image, entry);
    });
    return image;
  }

  /** One of the images that a cut after `count` completions can leave. */
  powerCutAt(count: number, random: SeededRandom): SparseBytes {
    const image = this.base.clone();
    const flushed = this.#flushedBefore(count);
    this.#first(count).forEach((entry, index) => {
      if (entry.isDurable || index < flushed) applyWhole(image, entry);
      else applySurvivors(image, entry, random);
    });
    for (const entry of this.entries.slice(count)) if (entry.submittedAt <= count) applySurvivors(image, entry, random);
    return image;
  }

  /** Entries with an index below this are covered by a flush that completed within the first `count`. */
  #flushedBefore(count: number): number {
    let flushed = 0;
    for (const entry of this.#first(count)) if (entry.kind === 'flush') flushed = Math.max(flushed, entry.submittedAt);
    return flushed;
  }

  #first(count: number): TraceEntry[] {
    assert(count >= 0 && count <= this.entries.length, `the trace has ${this.entries.length} entries, not ${count}`);
    return this.entries.slice(0, count);
  }
}

export function applyWhole(image: SparseBytes, entry: Pick<TraceEntry, 'kind' | 'offset' | 'length' | 'bytes'>): void {
  if (entry.kind === 'write') image.write(entry.offset, entry.bytes);
  else if (entry.kind === 'discard') image.zero(entry.offset, entry.length);
}

/** What is left of a write that nobody had made durable: nothing, all, the first sectors, or any set of sectors. */
export function applySurvivors(
  image: SparseBytes,
  entry: Pick<TraceEntry, 'kind' | 'offset' | 'length' | 'bytes'>,
  random: SeededRandom,
): void {
  const fate = random.below(10);
  if (entry.kind === 'flush' || fate < 3) return;
  if (fate < 6 || entry.kind === 'discard') {
    applyWhole(image, entry);
    return;
  }
  const sectors = Math.ceil(entry.length / SECTOR_BYTES);
  const whole = random.below(sectors + 1);
  for (let sector = 0; sector < sectors; sector += 1) {
    const survives = fate < 8 ? sector < whole : random.chance(0.5);
    if (!survives) continue;
    const start = sector * SECTOR_BYTES;
    image.write(entry.offset + start, entry.bytes.subarray(start, start + SECTOR_BYTES));
  }
}
