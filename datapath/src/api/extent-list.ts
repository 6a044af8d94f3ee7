// The answer to list_extents: what a replica holds of a shard, as stamps and block checksums, in a binary body.
// Written by the store's handler, read by a primary before it serves (promotion) and while it recovers a replica.
// An answer holds whole objects; `nextObject` says where the next one starts. Little endian. Version 1:
//   0 u32 magic "PFXL"   4 u16 version   6 u16 extent count   8 u32 meta version   12 u32 next object (0xFFFFFFFF: none)
//   16 u32 crc32c of all that follows    20 u32 zero
//   then per extent: u32 object index, u16 extent index, u16 written bitmap (bit b = block b), u32 generation,
//   u32 sequence low, u32 sequence high, 16 x u32 crc32c of the blocks (0 where not written)
import { assert } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { PfError } from '../base/errors.ts';

export const MAX_EXTENTS_IN_LIST = 4096;
export const BLOCKS_IN_EXTENT = 16;
const NO_NEXT_OBJECT = 0xffffffff;
const MAGIC = 0x4c584650;
const VERSION = 1;
const HEADER_BYTES = 24;
const EXTENT_BYTES = 20 + BLOCKS_IN_EXTENT * 4;

export interface ExtentStamp {
  readonly objectIndex: number;
  /** Within the object. */
  readonly extentIndex: number;
  /** Bit b: block b of the extent is written. */
  readonly written: number;
  readonly generation: number;
  readonly sequence: number;
  /** CRC32C by block; 0 for blocks that are not written. */
  readonly blockCrcs: Uint32Array;
}

export interface ExtentList {
  /** The meta version that the store holds for the shard. */
  readonly metaVersion: number;
  /** The first object that this answer does not cover, or null when it covers all. */
  readonly nextObject: number | null;
  /** By object index, then extent index. */
  readonly extents: readonly ExtentStamp[];
}

/** Builds one answer. `add` in order; `isFull(n)` asks whether n more would still fit. */
export class ExtentListWriter {
  #bytes = new Uint8Array(HEADER_BYTES + 64 * EXTENT_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  hasRoomFor(extents: number): boolean {
    return this.#count + extents <= MAX_EXTENTS_IN_LIST;
  }

  /** `blockCrcs` from `crcsAt`: 16 entries; those of blocks that are not written are stored as 0. */
  add(
    objectIndex: number,
    extentIndex: number,
    written: number,
    generation: number,
    sequence: number,
    blockCrcs: ArrayLike<number>,
    crcsAt: number,
  ): void {
    assert(this.#count < MAX_EXTENTS_IN_LIST, `an extent list holds ${MAX_EXTENTS_IN_LIST} extents, one more was added`);
    const at = HEADER_BYTES + this.#count * EXTENT_BYTES;
    if (at + EXTENT_BYTES > this.#bytes.length) this.#grow();
    const view = this.#view;
    view.setUint32(at, objectIndex, true);
    view.setUint16(at + 4, extentIndex, true);
    view.setUint16(at + 6, written, true);
    view.setUint32(at + 8, generation, true);
    view.setUint32(at + 12, sequence % 2 ** 32, true);
    view.setUint32(at + 16, Math.floor(sequence / 2 ** 32), true);
    for (let block = 0; block < BLOCKS_IN_EXTENT; block += 1) {
      view.setUint32(at + 20 + block * 4, (written >>> block) & 1 ? blockCrcs[crcsAt + block]! : 0, true);
    }
    this.#count += 1;
  }

  /** The finished body; the writer is not used afterwards. */
  finish(metaVersion: number, nextObject: number | null): Uint8Array {
    const bytes = this.#bytes.subarray(0, HEADER_BYTES + this.#count * EXTENT_BYTES);
    const view = this.#view;
    view.setUint32(0, MAGIC, true);
    view.setUint16(4, VERSION, true);
    view.setUint16(6, this.#count, true);
    view.setUint32(8, metaVersion, true);
    view.setUint32(12, nextObject ?? NO_NEXT_OBJECT, true);
    view.setUint32(16, crc32c(bytes, HEADER_BYTES, bytes.length - HEADER_BYTES, 0), true);
    return bytes;
  }

  #grow(): void {
    const larger = new Uint8Array(HEADER_BYTES + Math.min(MAX_EXTENTS_IN_LIST, this.#count * 4) * EXTENT_BYTES);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Errors: PROTOCOL_ERROR for anything but a whole, well-formed answer. */
export function decodeExtentList(bytes: Uint8Array): ExtentList {
  if (bytes.length < HEADER_BYTES) throw malformed(`${bytes.length} bytes are less than its header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw malformed('it does not start with its magic number');
  const version = view.getUint16(4, true);
  if (version !== VERSION) throw malformed(`its version is ${version}, ${VERSION} is wanted`);
  const count = view.getUint16(6, true);
  if (count > MAX_EXTENTS_IN_LIST) throw malformed(`it claims ${count} extents, at most ${MAX_EXTENTS_IN_LIST} are possible`);
  if (bytes.length !== HEADER_BYTES + count * EXTENT_BYTES)
    throw malformed(`${bytes.length} bytes do not hold exactly ${count} extents`);
  if (view.getUint32(16, true) !== crc32c(bytes, HEADER_BYTES, bytes.length - HEADER_BYTES, 0))
    throw malformed('its checksum is wrong');
  const nextObject = view.getUint32(12, true);
  const extents: ExtentStamp[] = [];
  for (let index = 0; index < count; index += 1) extents.push(readExtent(view, HEADER_BYTES + index * EXTENT_BYTES));
  return { metaVersion: view.getUint32(8, true), nextObject: nextObject === NO_NEXT_OBJECT ? null : nextObject, extents };
}

function readExtent(view: DataView, at: number): ExtentStamp {
  const blockCrcs = new Uint32Array(BLOCKS_IN_EXTENT);
  for (let block = 0; block < BLOCKS_IN_EXTENT; block += 1) blockCrcs[block] = view.getUint32(at + 20 + block * 4, true);
  const sequence = view.getUint32(at + 12, true) + view.getUint32(at + 16, true) * 2 ** 32;
  if (!Number.isSafeInteger(sequence)) throw malformed(`a sequence of ${sequence} is above 2^53`);
  return {
    objectIndex: view.getUint32(at, true),
    extentIndex: view.getUint16(at + 4, true),
    written: view.getUint16(at + 6, true),
    generation: view.getUint32(at + 8, true),
    sequence,
    blockCrcs,
  };
}

function malformed(why: string): PfError {
  return new PfError('PROTOCOL_ERROR', `cannot read an extent list: ${why}; both stores must run the same version`);
}
