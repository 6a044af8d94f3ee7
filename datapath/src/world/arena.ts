// IoMemory over any ArrayBuffer: reserved runs grow from the bottom, slot chunks from the top.
// Used by the real world (page-aligned memory known to the ring) and by the simulated one (an ordinary buffer).
// Invariants: offset 0 is never handed out; slots leave the last eighth of the arena to reserve(), so that a burst of requests
// cannot keep a connection from opening; while somebody waits for a class of slots, newcomers of that class are refused,
// so waiters are served first come, first served. Waiters are called at the end of a turn, never inside releaseSlot.
import { assert } from '../base/assert.ts';
import { PfError } from '../base/errors.ts';
import { BLOCK_BYTES, alignDown, alignUp, formatSize } from '../base/sizes.ts';
import type { Turn } from './clock.ts';
import { MAX_SLOT_BYTES, type IoMemory } from './memory.ts';
import { CHUNK_BYTES, SLOT_CLASSES, SlotPool, slotClassOf } from './slot-pool.ts';

export const DEFAULT_ARENA_BYTES = 192 * 1024 * 1024;

/** CRC32C of arena bytes: base/crc32c.ts, or the addon's. */
export type ArenaChecksum = (bytes: Uint8Array, offset: number, length: number, seed: number) => number;

interface Waiter {
  complete(result: number): void;
}

export class Arena implements IoMemory {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly sizeBytes: number;
  readonly #checksum: ArenaChecksum;
  readonly #turn: Turn;
  readonly #slots: SlotPool;
  readonly #released = new Map<number, number[]>();
  readonly #waiters: Waiter[][] = SLOT_CLASSES.map(() => []);
  #waiterCount = 0;
  #wakeScheduled = false;
  #waking = false;
  #bottom = BLOCK_BYTES;
  #top: number;

  constructor(buffer: ArrayBuffer, checksum: ArenaChecksum, turn: Turn) {
    assert(
      buffer.byteLength >= 2 * CHUNK_BYTES,
      `an arena of ${buffer.byteLength} bytes is too small: at least ${2 * CHUNK_BYTES}`,
    );
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.sizeBytes = buffer.byteLength;
    this.#checksum = checksum;
    this.#turn = turn;
    this.#top = alignDown(buffer.byteLength, BLOCK_BYTES);
    this.#slots = new SlotPool(() => this.#takeChunk());
  }

  /** Slots taken now, for leak checks and metrics. */
  get takenSlots(): number {
    return this.#slots.takenSlots;
  }

  reserve(sizeBytes: number): number {
    assert(
      Number.isSafeInteger(sizeBytes) && sizeBytes > 0,
      `cannot reserve ${sizeBytes} bytes: a positive whole number is wanted`,
    );
    const rounded = alignUp(sizeBytes, BLOCK_BYTES);
    const reusable = this.#released.get(rounded);
    if (reusable !== undefined && reusable.length > 0) return reusable.pop()!;
    if (this.#bottom + rounded > this.#top) {
      throw new PfError(
        'NO_SPACE',
        `cannot reserve ${formatSize(rounded)} of I/O memory: ${formatSize(this.#top - this.#bottom)} of ${formatSize(this.sizeBytes)} left; ` +
          'open fewer connections or start with a larger memory size',
      );
    }
    const offset = this.#bottom;
    this.#bottom += rounded;
    return offset;
  }

  release(offset: number, sizeBytes: number): void {
    assert(offset >= BLOCK_BYTES && offset < this.#bottom, `arena offset ${offset} released, but it was never reserved`);
    const rounded = alignUp(sizeBytes, BLOCK_BYTES);
    const reusable = this.#released.get(rounded);
    if (reusable) reusable.push(offset);
    else this.#released.set(rounded, [offset]);
  }

  acquireSlot(sizeBytes: number): number {
    assert(
      sizeBytes >= 1 && sizeBytes <= MAX_SLOT_BYTES,
      `no slot holds ${sizeBytes} bytes: 1 to ${MAX_SLOT_BYTES} are possible`,
    );
    const classIndex = slotClassOf(sizeBytes);
    if (this.#waiterCount > 0 && !this.#waking && this.#waiters[classIndex]!.length > 0) return 0;
    return this.#slots.acquire(classIndex);
  }

  releaseSlot(offset: number): void {
    if (this.#slots.release(offset) && this.#waiterCount > 0) this.#scheduleWake();
  }

  retainSlot(offset: number): number {
    return this.#slots.retain(offset);
  }

  whenSlotFree(sizeBytes: number, waiter: Waiter): void {
    this.#waiters[slotClassOf(sizeBytes)]!.push(waiter);
    this.#waiterCount += 1;
    this.#scheduleWake();
  }

  crc32c(offset: number, length: number, seed: number): number {
    return this.#checksum(this.bytes, offset, length, seed);
  }

  runAtTurnEnd(): void {
    this.#wakeScheduled = false;
    this.#waking = true;
    try {
      for (let classIndex = 0; classIndex < this.#waiters.length; classIndex += 1) this.#wakeClass(classIndex);
    } finally {
      this.#waking = false;
    }
  }

  /** One pass over those who wait now: a waiter that registers again goes to the end of the queue and waits for the next pass. */
  #wakeClass(classIndex: number): void {
    const queue = this.#waiters[classIndex]!;
    for (let left = queue.length; left > 0 && this.#slots.hasFree(classIndex); left -= 1) {
      this.#waiterCount -= 1;
      queue.shift()!.complete(0);
    }
  }

  #scheduleWake(): void {
    if (this.#wakeScheduled) return;
    this.#wakeScheduled = true;
    this.#turn.atEnd(this);
  }

  #takeChunk(): number {
    if (this.#top - CHUNK_BYTES - this.#bottom < this.sizeBytes / 8) return 0;
    this.#top -= CHUNK_BYTES;
    return this.#top;
  }
}
