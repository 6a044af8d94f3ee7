// The extent table in memory: one 128-byte entry per physical extent, in segments that appear with their first use, plus what the
// running store must know of an extent: which blocks are busy and how often it changed. Word indexes are format 1's.
// Written by the writer and the trimmer (state changes when a record joins a batch) and by recovery; copied out by log and checkpoint.
// Invariants: a free entry has an empty bitmap; an unwritten block's checksum is 0; words 11, 28-30 stay 0; word 31 is only computed in copies.
import { assert } from '../../base/assert.ts';
import { ENTRIES_PER_PAGE, ENTRY_WORDS } from './layout.ts';

export const SEGMENT_EXTENTS = 1024;
const SEGMENT_SHIFT = 10;
const SEGMENT_MASK = SEGMENT_EXTENTS - 1;

/** Word offsets in an entry. */
export const VOLUME_LOW = 0;
export const VOLUME_HIGH = 1;
export const OBJECT_INDEX = 2;
/** Extent index in the object, and the state in the upper half. */
export const EXTENT_AND_STATE = 3;
export const SNAPSHOT = 4;
export const GENERATION = 5;
export const SEQUENCE_LOW = 6;
export const SEQUENCE_HIGH = 7;
export const BITMAP = 8;
export const LOG_LOW = 9;
export const LOG_HIGH = 10;
export const FIRST_CRC = 12;
export const ENTRY_CRC = 31;

export const STATE_IN_USE = 0x10000;
export const HEAD_SNAPSHOT = 0xffffffff;
const TWO_32 = 2 ** 32;

assert(
  new Uint8Array(Uint32Array.of(1).buffer)[0] === 1,
  'the disk format is little-endian and is copied as words: this processor is not',
);

export class ExtentSegment {
  readonly words = new Uint32Array(SEGMENT_EXTENTS * ENTRY_WORDS);
  /** Blocks with a write, trim or completing read under way. */
  readonly busy = new Uint16Array(SEGMENT_EXTENTS);
  /** Raised by every change; a read that meets a mismatch compares it to tell a race from damage. */
  readonly changes = new Uint32Array(SEGMENT_EXTENTS);
  /** One bit per table page (32 of 32 entries). */
  dirtyPages = 0;
}

/** What every copied entry's checksum starts with: a stale entry of another disk, format or place never validates. */
export function entrySeed(identity: number, physical: number): number {
  return (identity + physical) >>> 0;
}

export interface Checksum {
  crc32c(offset: number, length: number, seed: number): number;
}

export class ExtentTable {
  readonly extentCount: number;
  /** CRC32C of the disk's UUID. */
  readonly identity: number;
  readonly #segments: (ExtentSegment | undefined)[] = [];

  constructor(extentCount: number, identity: number) {
    this.extentCount = extentCount;
    this.identity = identity;
  }

  /** The segment of an extent that is or was in use. */
  at(physical: number): ExtentSegment {
    return this.#segments[physical >>> SEGMENT_SHIFT]!;
  }

  /** The segment of any extent; creates it. */
  open(physical: number): ExtentSegment {
    assert(physical >= 0 && physical < this.extentCount, `physical extent ${physical} is outside the disk's ${this.extentCount}`);
    const index = physical >>> SEGMENT_SHIFT;
    const segment = this.#segments[index];
    if (segment !== undefined) return segment;
    const created = new ExtentSegment();
    this.#segments[index] = created;
    return created;
  }

  has(physical: number): boolean {
    return this.#segments[physical >>> SEGMENT_SHIFT] !== undefined;
  }

  isInUse(physical: number): boolean {
    const segment = this.#segments[physical >>> SEGMENT_SHIFT];
    return segment !== undefined && segment.words[wordOf(physical) + EXTENT_AND_STATE]! >= STATE_IN_USE;
  }

  markDirty(segment: ExtentSegment, physical: number): void {
    segment.dirtyPages |= 1 << ((physical & SEGMENT_MASK) >>> 5);
  }

  /** All dirty table pages, in order; they are clean afterwards. */
  takeDirtyPages(): number[] {
    const pages: number[] = [];
    for (let index = 0; index < this.#segments.length; index += 1) {
      const segment = this.#segments[index];
      if (segment === undefined || segment.dirtyPages === 0) continue;
      for (let page = 0; page < 32; page += 1) if ((segment.dirtyPages >>> page) & 1) pages.push(index * 32 + page);
      segment.dirtyPages = 0;
    }
    return pages;
  }

  /** Writes the entry's image and its checksum to arena words; returns nothing to keep the caller honest about sizes: 32 words. */
  copyEntry(physical: number, arenaWords: Uint32Array, toWord: number, checksum: Checksum): void {
    const segment = this.#segments[physical >>> SEGMENT_SHIFT];
    const from = wordOf(physical);
    if (segment === undefined) {
      for (let word = 0; word < ENTRY_CRC; word += 1) arenaWords[toWord + word] = 0;
    } else if (segment.words[from + EXTENT_AND_STATE]! >= STATE_IN_USE) {
      const { words } = segment;
      for (let word = 0; word < ENTRY_CRC; word += 1) arenaWords[toWord + word] = words[from + word]!;
    } else {
      for (let word = 0; word < ENTRY_CRC; word += 1) arenaWords[toWord + word] = 0;
      arenaWords[toWord + LOG_LOW] = segment.words[from + LOG_LOW]!;
      arenaWords[toWord + LOG_HIGH] = segment.words[from + LOG_HIGH]!;
    }
    arenaWords[toWord + ENTRY_CRC] = checksum.crc32c(toWord * 4, ENTRY_CRC * 4, entrySeed(this.identity, physical));
  }

  /** A table page as it goes to disk, into arena words. */
  copyPage(page: number, arenaWords: Uint32Array, toWord: number, checksum: Checksum): void {
    const first = page * ENTRIES_PER_PAGE;
    for (let index = 0; index < ENTRIES_PER_PAGE; index += 1)
      this.copyEntry(first + index, arenaWords, toWord + index * ENTRY_WORDS, checksum);
  }

  /** Takes an image from arena words over (loading and replay). */
  loadEntry(physical: number, arenaWords: Uint32Array, fromWord: number): void {
    const { words } = this.open(physical);
    const to = wordOf(physical);
    for (let word = 0; word < ENTRY_CRC; word += 1) words[to + word] = arenaWords[fromWord + word]!;
  }
}

/** Where an extent's entry begins in its segment's words. */
export const wordOf = (physical: number): number => (physical & SEGMENT_MASK) * ENTRY_WORDS;
/** An extent's place in its segment's busy and changes arrays. */
export const slotOf = (physical: number): number => physical & SEGMENT_MASK;

export const volumeOf = (words: Uint32Array, at: number): number => words[at + VOLUME_HIGH]! * TWO_32 + words[at + VOLUME_LOW]!;
export const sequenceOf = (words: Uint32Array, at: number): number =>
  words[at + SEQUENCE_HIGH]! * TWO_32 + words[at + SEQUENCE_LOW]!;
export const logSequenceOf = (words: Uint32Array, at: number): number => words[at + LOG_HIGH]! * TWO_32 + words[at + LOG_LOW]!;

/** Makes a fresh entry: owner set, nothing written, stamp (0, 0). */
export function initEntry(words: Uint32Array, at: number, volumeId: number, objectIndex: number, extentIndex: number): void {
  words[at + VOLUME_LOW] = volumeId >>> 0;
  words[at + VOLUME_HIGH] = Math.floor(volumeId / TWO_32);
  words[at + OBJECT_INDEX] = objectIndex;
  words[at + EXTENT_AND_STATE] = STATE_IN_USE | extentIndex;
  words[at + SNAPSHOT] = HEAD_SNAPSHOT;
  words[at + GENERATION] = 0;
  words[at + SEQUENCE_LOW] = 0;
  words[at + SEQUENCE_HIGH] = 0;
  words[at + BITMAP] = 0;
  for (let word = FIRST_CRC; word < FIRST_CRC + 16; word += 1) words[at + word] = 0;
}

export function setStamp(words: Uint32Array, at: number, generation: number, sequence: number): void {
  words[at + GENERATION] = generation;
  words[at + SEQUENCE_LOW] = sequence >>> 0;
  words[at + SEQUENCE_HIGH] = Math.floor(sequence / TWO_32);
}

/** The larger stamp by (generation, sequence) stays. */
export function raiseStamp(words: Uint32Array, at: number, generation: number, sequence: number): void {
  const held = words[at + GENERATION]!;
  if (generation > held || (generation === held && sequence > sequenceOf(words, at))) setStamp(words, at, generation, sequence);
}
