// One batch of the redo log while it is filled, written and until its blocks are in place; and its encoding (disk-format.md, "Log batch").
// Filled by the writer and the trimmer through RedoLog; encoded when it leaves, with the entries' state of that moment: images are
// absolute, so an extent that several requests changed is recorded once.
import type { Completion } from '../../world/completion.ts';
import { alignUp } from '../../base/sizes.ts';
import { type ExtentTable, EXTENT_AND_STATE, STATE_IN_USE, wordOf, type Checksum } from './extent-table.ts';
import { ENTRY_WORDS } from './layout.ts';

export const BATCH_MAGIC = 0x424c4650;
export const BATCH_HEADER_BYTES = 64;
export const IMAGE_RECORD_BYTES = 140;
export const FREE_RECORD_BYTES = 4;
export const PAYLOAD_RECORD_BYTES = 12;
export const MAX_TOUCHED = 512;
export const MAX_PAYLOAD_BLOCKS = 256;

export const KIND_UPDATE = 0;
export const KIND_REDIRECT = 1;
export const NO_PREVIOUS = 0xffffffff;

/** In `held`: the extent was freed and is given back when the batch is complete. */
export const HELD_FREED = 0x10000;
/** The same, by a trim: the disk may be told that its content does not matter. */
export const HELD_TRIMMED = 0x20000;

/** A piece of a request that waits for its batch: told when the batch and all before it are durable. */
export interface BatchPart {
  logDurable(batch: LogBatch): void;
}

/** RedoLog, as a batch sees it. */
export interface BatchOwner {
  batchWritten(batch: LogBatch, result: number): void;
}

export class LogBatch implements Completion {
  readonly #owner: BatchOwner;
  sequence = 0;
  isDurable = false;
  /** Redirected data and in-place writes of this batch that are not done yet. */
  pendingData = 0;
  pendingInPlace = 0;

  touchedCount = 0;
  readonly touched = new Uint32Array(MAX_TOUCHED);
  readonly kinds = new Uint8Array(MAX_TOUCHED);
  readonly previous = new Uint32Array(MAX_TOUCHED);

  payloadCount = 0;
  readonly payloadMemory = new Float64Array(MAX_PAYLOAD_BLOCKS);
  readonly payloadPhysical = new Uint32Array(MAX_PAYLOAD_BLOCKS);
  readonly payloadBlock = new Uint8Array(MAX_PAYLOAD_BLOCKS);
  readonly payloadCrc = new Uint32Array(MAX_PAYLOAD_BLOCKS);

  /** Blocks that stay busy until the batch is complete (trims), and extents given back then. */
  heldCount = 0;
  readonly heldPhysical = new Uint32Array(MAX_TOUCHED);
  readonly heldMask = new Uint32Array(MAX_TOUCHED);

  readonly parts: BatchPart[] = [];

  constructor(owner: BatchOwner) {
    this.#owner = owner;
  }

  start(sequence: number): void {
    this.sequence = sequence;
    this.isDurable = false;
    this.pendingData = 0;
    this.pendingInPlace = 0;
    this.touchedCount = 0;
    this.payloadCount = 0;
    this.heldCount = 0;
    this.parts.length = 0;
  }

  hold(physical: number, mask: number): void {
    this.heldPhysical[this.heldCount] = physical;
    this.heldMask[this.heldCount] = mask;
    this.heldCount += 1;
  }

  complete(result: number): void {
    this.#owner.batchWritten(this, result);
  }
}

export interface BatchEnvelope {
  readonly secret: number;
  readonly completeThrough: number;
  /** The meta part is rounded up to this: 512, or the disk's block size. */
  readonly sectorBytes: number;
}

/** Writes the meta part of `batch` at arena offset `at`; returns its length. */
export function encodeMeta(
  batch: LogBatch,
  table: ExtentTable,
  envelope: BatchEnvelope,
  words: Uint32Array,
  at: number,
  checksum: Checksum,
): number {
  const first = at >>> 2;
  let word = first + BATCH_HEADER_BYTES / 4;
  let images = 0;
  for (let index = 0; index < batch.touchedCount; index += 1) {
    const physical = batch.touched[index]!;
    if (!table.isInUse(physical)) continue;
    words[word] = physical;
    words[word + 1] = batch.kinds[index]!;
    words[word + 2] = batch.previous[index]!;
    table.copyEntry(physical, words, word + 3, checksum);
    word += 3 + ENTRY_WORDS;
    images += 1;
  }
  for (let index = 0; index < batch.touchedCount && images < batch.touchedCount; index += 1) {
    const physical = batch.touched[index]!;
    if (table.at(physical).words[wordOf(physical) + EXTENT_AND_STATE]! < STATE_IN_USE) words[word++] = physical;
  }
  for (let index = 0; index < batch.payloadCount; index += 1) {
    words[word] = batch.payloadPhysical[index]!;
    words[word + 1] = batch.payloadBlock[index]!;
    words[word + 2] = batch.payloadCrc[index]!;
    word += 3;
  }
  const length = alignUp((word - first) * 4, envelope.sectorBytes);
  words.fill(0, word, first + length / 4);
  encodeHeader(words, first, length, batch, envelope, images);
  words[first + 11] = checksum.crc32c(at, length, 0);
  return length;
}

function encodeHeader(
  words: Uint32Array,
  first: number,
  length: number,
  batch: LogBatch,
  envelope: BatchEnvelope,
  images: number,
): void {
  words.fill(0, first, first + BATCH_HEADER_BYTES / 4);
  words[first] = BATCH_MAGIC;
  words[first + 1] = length;
  setPair(words, first + 2, envelope.secret);
  setPair(words, first + 4, batch.sequence);
  setPair(words, first + 6, envelope.completeThrough);
  words[first + 8] = images;
  words[first + 9] = batch.touchedCount - images;
  words[first + 10] = batch.payloadCount;
}

function setPair(words: Uint32Array, at: number, value: number): void {
  words[at] = value >>> 0;
  words[at + 1] = Math.floor(value / 2 ** 32);
}
