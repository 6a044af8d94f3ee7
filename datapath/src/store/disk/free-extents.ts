// Which physical extents are free: one bit each (1 = free). Allocation goes upwards from a cursor, so that what is written together
// lies together, and prefers the part of the disk that was used before (below `limit`) as long as an eighth of it is free: the table,
// the time to open and the memory in use grow with what was used, not with the disk.
// Invariants: a set bit was released or never used; take() clears it; giving a free extent back is a bug.
import { assert } from '../../base/assert.ts';

/** The used part grows in steps of this many extents (64 MiB). */
const LIMIT_STEP = 1024;

export class FreeExtents {
  readonly extentCount: number;
  readonly #bits: Uint32Array;
  #count: number;
  #cursor = 0;
  /** Extents below were used at some time, or may be. */
  #limit = 0;
  #freeBelowLimit = 0;

  constructor(extentCount: number) {
    this.extentCount = extentCount;
    this.#bits = new Uint32Array(Math.ceil(extentCount / 32)).fill(0xffffffff);
    this.#count = extentCount;
    const tail = extentCount % 32;
    if (tail !== 0) this.#bits[this.#bits.length - 1] = 2 ** tail - 1;
  }

  get count(): number {
    return this.#count;
  }

  isFree(physical: number): boolean {
    return ((this.#bits[physical >>> 5]! >>> (physical & 31)) & 1) !== 0;
  }

  /** Recovery: this extent is in use. */
  markUsed(physical: number): void {
    assert(this.isFree(physical), `physical extent ${physical} has two owners`);
    if (physical >= this.#limit) this.#grow(physical + 1);
    this.#clear(physical);
  }

  /** An extent, or -1. */
  take(): number {
    if (this.#count === 0) return -1;
    if (this.#freeBelowLimit === 0) this.#grow(this.#limit + 1);
    let at = this.#nextFree(this.#cursor);
    if (at < 0 && this.#freeBelowLimit * 8 < this.#limit && this.#limit < this.extentCount) {
      this.#grow(this.#limit + 1);
      at = this.#nextFree(this.#cursor);
    }
    if (at < 0) at = this.#nextFree(0);
    assert(at >= 0, `${this.#count} extents are counted as free, but none is found`);
    this.#clear(at);
    this.#cursor = at + 1;
    return at;
  }

  /** Moves the cursor to `wanted` free extents in a row if there are such within a short search above it. */
  preferRun(wanted: number): void {
    const end = Math.min(this.#limit, this.#cursor + LIMIT_STEP);
    let start = this.#cursor;
    let at = start;
    while (at < end && at - start < wanted) {
      const word = this.#bits[at >>> 5]!;
      if (word === 0) {
        at = start = ((at >>> 5) + 1) << 5;
        continue;
      }
      if (((word >>> (at & 31)) & 1) === 0) start = at + 1;
      at += 1;
    }
    if (at - start >= wanted) this.#cursor = start;
  }

  release(physical: number): void {
    assert(physical < this.extentCount && !this.isFree(physical), `physical extent ${physical} is released, but it is free`);
    this.#bits[physical >>> 5]! |= 1 << (physical & 31);
    this.#count += 1;
    this.#freeBelowLimit += 1;
  }

  #clear(physical: number): void {
    this.#bits[physical >>> 5]! &= ~(1 << (physical & 31));
    this.#count -= 1;
    this.#freeBelowLimit -= 1;
  }

  #grow(atLeast: number): void {
    const grown = Math.min(this.extentCount, Math.max(atLeast, Math.ceil(atLeast / LIMIT_STEP) * LIMIT_STEP));
    this.#freeBelowLimit += grown - this.#limit;
    this.#limit = grown;
  }

  #nextFree(from: number): number {
    if (from >= this.#limit) return -1;
    let index = from >>> 5;
    let word = this.#bits[index]! & (0xffffffff << (from & 31));
    const lastIndex = (this.#limit - 1) >>> 5;
    while (word === 0) {
      index += 1;
      if (index > lastIndex) return -1;
      word = this.#bits[index]!;
    }
    const found = index * 32 + (31 - Math.clz32(word & -word));
    return found < this.#limit ? found : -1;
  }
}
