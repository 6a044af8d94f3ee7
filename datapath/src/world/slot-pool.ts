// The allocator behind IoMemory's slots: chunks of 1 MiB + 4 KiB, each cut into slots of one size class on demand and given
// back when all its slots are free and another class asks. Pure bookkeeping over arena offsets: the real and the simulated
// world use the same one (through Arena).
// Invariants: a slot is [payload - headroom, payload + class size); payloads are aligned to 4096; a slot is free or taken (by one user or several: retain),
// and giving a free one back is a bug that ends the process.
import { assert } from '../base/assert.ts';
import { KiB } from '../base/sizes.ts';
import { MAX_SLOT_BYTES, SLOT_HEADROOM_BYTES } from './memory.ts';

/** Payload sizes. There is no 512 KiB class: a chunk would hold only one, like the 1 MiB class. */
export const SLOT_CLASSES: readonly number[] = [
  4 * KiB,
  8 * KiB,
  16 * KiB,
  32 * KiB,
  64 * KiB,
  128 * KiB,
  256 * KiB,
  MAX_SLOT_BYTES,
];
export const CHUNK_BYTES = MAX_SLOT_BYTES + SLOT_HEADROOM_BYTES;

export function slotClassOf(sizeBytes: number): number {
  if (sizeBytes <= 4096) return 0;
  const index = 32 - Math.clz32((sizeBytes - 1) >> 12);
  return index < SLOT_CLASSES.length ? index : SLOT_CLASSES.length - 1;
}

/** Where chunks come from: the offset of CHUNK_BYTES of arena, or 0 when there is none left. */
export type ChunkSource = () => number;

export class SlotPool {
  readonly #takeChunk: ChunkSource;
  readonly #chunks: Chunk[] = [];
  /** By class: chunks that have at least one free slot; the last one is used first, so that use stays packed. */
  readonly #withFreeSlots: Chunk[][] = SLOT_CLASSES.map(() => []);
  /** Which chunk owns an offset: index offset / CHUNK_BYTES of its first and of its last byte. */
  readonly #chunkAt = new Map<number, Chunk[]>();
  #idleChunks = 0;
  #takenSlots = 0;

  constructor(takeChunk: ChunkSource) {
    this.#takeChunk = takeChunk;
  }

  get takenSlots(): number {
    return this.#takenSlots;
  }

  /** The payload offset of a free slot of this class, or 0. */
  acquire(classIndex: number): number {
    const candidates = this.#withFreeSlots[classIndex]!;
    const chunk = candidates.length > 0 ? candidates[candidates.length - 1]! : this.#openChunk(classIndex);
    if (chunk === null) return 0;
    if (chunk.freeCount === chunk.slotCount) this.#idleChunks -= 1;
    const slot = chunk.freeSlots[--chunk.freeCount]!;
    chunk.isTaken[slot] = 1;
    if (chunk.freeCount === 0) candidates.pop();
    this.#takenSlots += 1;
    return chunk.start + slot * chunk.strideBytes + SLOT_HEADROOM_BYTES;
  }

  hasFree(classIndex: number): boolean {
    return this.#withFreeSlots[classIndex]!.length > 0 || this.#openChunk(classIndex) !== null;
  }

  /** One more user of the slot in which this offset lies; returns the slot's payload offset, to be released once more. */
  retain(offset: number): number {
    const chunk = this.#chunkOf(offset);
    const slot = Math.floor((offset - chunk.start) / chunk.strideBytes);
    assert(
      chunk.isTaken[slot]! > 0 && chunk.isTaken[slot]! < 255,
      `slot at arena offset ${offset} retained, but it is free or has 255 users`,
    );
    chunk.isTaken[slot]! += 1;
    return chunk.start + slot * chunk.strideBytes + SLOT_HEADROOM_BYTES;
  }

  /** Ends one use of a slot; the last one gives it back. True when it is free now. */
  release(payloadOffset: number): boolean {
    const chunk = this.#chunkOf(payloadOffset);
    const slot = (payloadOffset - SLOT_HEADROOM_BYTES - chunk.start) / chunk.strideBytes;
    assert(
      Number.isInteger(slot) && chunk.isTaken[slot]! > 0,
      `slot at arena offset ${payloadOffset} released, but it is not taken`,
    );
    chunk.isTaken[slot]! -= 1;
    if (chunk.isTaken[slot]! > 0) return false;
    chunk.freeSlots[chunk.freeCount++] = slot;
    this.#takenSlots -= 1;
    if (chunk.freeCount === 1) this.#withFreeSlots[chunk.classIndex]!.push(chunk);
    if (chunk.freeCount === chunk.slotCount) this.#idleChunks += 1;
    return true;
  }

  #openChunk(classIndex: number): Chunk | null {
    let chunk = this.#reclaimIdleChunk();
    if (chunk === null) {
      const start = this.#takeChunk();
      if (start === 0) return null;
      chunk = new Chunk(start);
      this.#chunks.push(chunk);
      this.#index(chunk);
    }
    chunk.cutInto(classIndex);
    this.#idleChunks += 1;
    this.#withFreeSlots[classIndex]!.push(chunk);
    return chunk;
  }

  #reclaimIdleChunk(): Chunk | null {
    if (this.#idleChunks === 0) return null;
    const chunk = this.#chunks.find((each) => each.freeCount === each.slotCount);
    assert(chunk !== undefined, 'idle chunks are counted, but there is none');
    const owners = this.#withFreeSlots[chunk.classIndex]!;
    owners.splice(owners.indexOf(chunk), 1);
    this.#idleChunks -= 1;
    return chunk;
  }

  #index(chunk: Chunk): void {
    const first = Math.floor(chunk.start / CHUNK_BYTES);
    for (const key of [first, first + 1]) {
      const here = this.#chunkAt.get(key);
      if (here) here.push(chunk);
      else this.#chunkAt.set(key, [chunk]);
    }
  }

  #chunkOf(payloadOffset: number): Chunk {
    const here = this.#chunkAt.get(Math.floor(payloadOffset / CHUNK_BYTES));
    if (here !== undefined) {
      for (let at = 0; at < here.length; at += 1) {
        const start = here[at]!.start;
        if (payloadOffset >= start && payloadOffset < start + CHUNK_BYTES) return here[at]!;
      }
    }
    assert(false, `arena offset ${payloadOffset} released as a slot, but no slot lies there`);
  }
}

const MAX_SLOTS_IN_CHUNK = Math.floor(CHUNK_BYTES / (SLOT_CLASSES[0]! + SLOT_HEADROOM_BYTES));

class Chunk {
  readonly start: number;
  readonly freeSlots = new Uint8Array(MAX_SLOTS_IN_CHUNK);
  /** Users of the slot. */
  readonly isTaken = new Uint8Array(MAX_SLOTS_IN_CHUNK);
  classIndex = 0;
  strideBytes = 0;
  slotCount = 0;
  freeCount = 0;

  constructor(start: number) {
    this.start = start;
  }

  cutInto(classIndex: number): void {
    this.classIndex = classIndex;
    this.strideBytes = SLOT_CLASSES[classIndex]! + SLOT_HEADROOM_BYTES;
    this.slotCount = Math.floor(CHUNK_BYTES / this.strideBytes);
    this.freeCount = this.slotCount;
    for (let slot = 0; slot < this.slotCount; slot += 1) this.freeSlots[slot] = this.slotCount - 1 - slot;
  }
}
