// Reads the redo log back: decodes and checks a batch at a position (disk-format.md, "Log batch"). Used by replay.
// A parser at a door: whatever bytes lie there, the answer is a valid batch or none; every count and index is checked before it is used.
import { assert } from '../../base/assert.ts';
import { BLOCK_BYTES, MiB } from '../../base/sizes.ts';
import type { Disk } from '../../world/disk.ts';
import type { IoMemory } from '../../world/memory.ts';
import { ENTRY_CRC, entrySeed } from './extent-table.ts';
import { Gather } from './gather.ts';
import { ENTRY_BYTES, MAX_BATCH_META_BYTES, maxPayloadBlocks, type Geometry } from './layout.ts';
import {
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  FREE_RECORD_BYTES,
  IMAGE_RECORD_BYTES,
  KIND_REDIRECT,
  MAX_TOUCHED,
  NO_PREVIOUS,
  PAYLOAD_RECORD_BYTES,
} from './log-batch.ts';
import { IN_FLIGHT } from './redo-log.ts';

const WINDOW_BYTES = 2 * MiB;
const IMAGE_WORDS = IMAGE_RECORD_BYTES / 4;
const HEADER_WORDS = BATCH_HEADER_BYTES / 4;

/** A valid batch: its meta words and where it lies. */
export class DecodedBatch {
  readonly sequence: number;
  readonly position: number;
  readonly completeThrough: number;
  readonly meta: Uint32Array;
  readonly images: number;
  readonly frees: number;
  readonly payloads: number;

  constructor(meta: Uint32Array, position: number) {
    this.meta = meta;
    this.position = position;
    this.sequence = pair(meta, 4);
    this.completeThrough = pair(meta, 6);
    this.images = meta[8]!;
    this.frees = meta[9]!;
    this.payloads = meta[10]!;
  }

  get endPosition(): number {
    return this.position + this.meta.length * 4 + this.payloads * BLOCK_BYTES;
  }

  /** Word index of an image record: physical, kind, previous, then the entry. */
  imageAt(index: number): number {
    return HEADER_WORDS + index * IMAGE_WORDS;
  }
  freeAt(index: number): number {
    return HEADER_WORDS + this.images * IMAGE_WORDS + index;
  }
  /** Word index of a payload descriptor: physical, block, checksum. */
  payloadAt(index: number): number {
    return HEADER_WORDS + this.images * IMAGE_WORDS + this.frees + index * 3;
  }
  payloadPosition(index: number): number {
    return this.position + this.meta.length * 4 + index * BLOCK_BYTES;
  }
}

export class LogReader {
  readonly #disk: Disk;
  readonly #memory: IoMemory;
  readonly #words: Uint32Array;
  readonly #geometry: Geometry;
  readonly #secret: number;
  readonly #identity: number;
  readonly #window: number;
  /** Log offsets that the window holds. */
  #from = 0;
  #to = 0;

  constructor(disk: Disk, memory: IoMemory, geometry: Geometry, secret: number, identity: number) {
    this.#disk = disk;
    this.#memory = memory;
    this.#words = new Uint32Array(memory.buffer);
    this.#geometry = geometry;
    this.#secret = secret;
    this.#identity = identity;
    this.#window = memory.reserve(WINDOW_BYTES);
  }

  release(): void {
    this.#memory.release(this.#window, WINDOW_BYTES);
  }

  /** The valid batch at a position, or null. `sequence` null accepts any. */
  async read(position: number, sequence: number | null): Promise<DecodedBatch | null> {
    const offset = position % this.#geometry.logBytes;
    const at = await this.locate(offset, Math.min(this.#geometry.maxBatchBytes, this.#geometry.logBytes - offset));
    return this.#decode(at, this.#geometry.logBytes - offset, position, sequence);
  }

  /** Whether locate() would answer without moving the window. */
  holds(offset: number, length: number): boolean {
    return offset >= this.#from && offset + length <= this.#to;
  }

  /** Arena offset of log bytes [offset, offset + length); stays good until the next call. */
  async locate(offset: number, length: number): Promise<number> {
    assert(length <= WINDOW_BYTES, `the log is read in windows of ${WINDOW_BYTES} bytes, ${length} wanted`);
    if (!this.holds(offset, length)) await this.#load(offset);
    return this.#window + (offset - this.#from);
  }

  /**
   * Whether a valid batch anywhere in the log shows that the first missing one was not torn by a power cut but lost: it says that the
   * missing one was complete, or it would not have been sent before the missing one was durable.
   */
  async provesLoss(firstMissing: number): Promise<boolean> {
    const { logBytes, maxBatchBytes } = this.#geometry;
    for (let offset = 0; offset < logBytes; offset += 512) {
      const at = await this.locate(offset, 512);
      const word = at >>> 2;
      if (
        this.#words[word] !== BATCH_MAGIC ||
        pair(this.#words, word + 2) !== this.#secret ||
        pair(this.#words, word + 4) <= firstMissing
      )
        continue;
      const whole = await this.locate(offset, Math.min(maxBatchBytes, logBytes - offset));
      const batch = this.#decode(whole, logBytes - offset, offset, null);
      if (batch === null) continue;
      if (batch.sequence >= firstMissing + IN_FLIGHT || batch.completeThrough >= firstMissing) return true;
    }
    return false;
  }

  async #load(offset: number): Promise<void> {
    const { logOffset, logBytes } = this.#geometry;
    const start = offset - (offset % BLOCK_BYTES);
    const length = Math.min(WINDOW_BYTES, logBytes - start);
    this.#to = 0;
    const loaded = new Gather();
    for (let at = 0; at < length; at += MiB)
      this.#disk.read(logOffset + start + at, this.#window + at, Math.min(MiB, length - at), loaded.add());
    await loaded.all('read the redo log', this.#disk.path);
    this.#from = start;
    this.#to = start + length;
  }

  #decode(at: number, available: number, position: number, sequence: number | null): DecodedBatch | null {
    const words = this.#words;
    const first = at >>> 2;
    if (words[first] !== BATCH_MAGIC || pair(words, first + 2) !== this.#secret) return null;
    if (sequence !== null && pair(words, first + 4) !== sequence) return null;
    const metaBytes = words[first + 1]!;
    const images = words[first + 8]!;
    const frees = words[first + 9]!;
    const payloads = words[first + 10]!;
    if (metaBytes < 512 || metaBytes % 512 !== 0 || metaBytes > MAX_BATCH_META_BYTES) return null;
    if (images + frees > MAX_TOUCHED || payloads > maxPayloadBlocks(this.#geometry)) return null;
    if (
      BATCH_HEADER_BYTES + images * IMAGE_RECORD_BYTES + frees * FREE_RECORD_BYTES + payloads * PAYLOAD_RECORD_BYTES >
      metaBytes
    )
      return null;
    if (metaBytes + payloads * BLOCK_BYTES > available) return null;
    const meta = words.slice(first, first + metaBytes / 4);
    const stored = meta[11]!;
    words[first + 11] = 0;
    const computed = this.#memory.crc32c(at, metaBytes, 0);
    words[first + 11] = stored;
    if (computed !== stored) return null;
    const batch = new DecodedBatch(meta, position);
    return this.#areRecordsValid(batch, at) && this.#isPayloadIntact(batch, at + metaBytes) ? batch : null;
  }

  #areRecordsValid(batch: DecodedBatch, at: number): boolean {
    const { extentCount } = this.#geometry;
    const { meta } = batch;
    for (let index = 0; index < batch.images; index += 1) {
      const record = batch.imageAt(index);
      const physical = meta[record]!;
      if (physical >= extentCount || meta[record + 1]! > KIND_REDIRECT) return false;
      if (meta[record + 2]! >= extentCount && meta[record + 2] !== NO_PREVIOUS) return false;
      const image = at + (record + 3) * 4;
      if (this.#memory.crc32c(image, ENTRY_BYTES - 4, entrySeed(this.#identity, physical)) !== meta[record + 3 + ENTRY_CRC])
        return false;
    }
    for (let index = 0; index < batch.frees; index += 1) if (meta[batch.freeAt(index)]! >= extentCount) return false;
    for (let index = 0; index < batch.payloads; index += 1) {
      const descriptor = batch.payloadAt(index);
      if (meta[descriptor]! >= extentCount || meta[descriptor + 1]! > 15) return false;
    }
    return true;
  }

  #isPayloadIntact(batch: DecodedBatch, at: number): boolean {
    for (let index = 0; index < batch.payloads; index += 1) {
      if (this.#memory.crc32c(at + index * BLOCK_BYTES, BLOCK_BYTES, 0) !== batch.meta[batch.payloadAt(index) + 2]) return false;
    }
    return true;
  }
}

function pair(words: Uint32Array, at: number): number {
  return words[at + 1]! * 2 ** 32 + words[at]!;
}
