// The bytes that a stream has still to send: runs of reserved output (in blocks shared by all streams of a world) and
// caller-owned memory, in order. The driver reads segments from the front, sends them, and says how much has left.
// Used by the ring and the libuv streams. Invariants: a segment completes exactly once, in order; reserved bytes that
// adjoin are one segment unless that segment is already being sent (`sealed`); an empty queue holds no block.
import { assert } from '../base/assert.ts';
import type { Completion } from './completion.ts';
import type { MemoryBlocks } from './memory-blocks.ts';
import { RESERVE_MAX_BYTES } from './network.ts';

export const OUTPUT_BLOCK_BYTES = 64 * 1024;
const INITIAL_SEGMENTS = 16;

export class OutputQueue {
  readonly #blocks: MemoryBlocks;
  #capacity = INITIAL_SEGMENTS;
  #head = 0;
  #count = 0;
  /** Segments at the front whose length must not grow any more: they are being sent. */
  #sealed = 0;
  #offsets = new Float64Array(INITIAL_SEGMENTS);
  #lengths = new Float64Array(INITIAL_SEGMENTS);
  /** The block to give back when this segment has left, or 0. */
  #endsBlock = new Float64Array(INITIAL_SEGMENTS);
  #completions: (Completion | null)[] = new Array<Completion | null>(INITIAL_SEGMENTS).fill(null);
  /** The block being filled, or 0. */
  #block = 0;
  #blockFill = 0;
  queuedBytes = 0;
  /** Queued segments whose owner waits for their completion. */
  ownedCount = 0;
  /** The arena had no block for a reserve(): its bytes are lost, and so the stream must end. */
  isExhausted = false;

  /** `blocks` are of OUTPUT_BLOCK_BYTES. */
  constructor(blocks: MemoryBlocks) {
    this.#blocks = blocks;
  }

  get segmentCount(): number {
    return this.#count;
  }

  reserve(length: number): number {
    assert(
      length >= 1 && length <= RESERVE_MAX_BYTES,
      `cannot reserve ${length} bytes of output: 1 to ${RESERVE_MAX_BYTES} are possible`,
    );
    if ((this.#block === 0 || this.#blockFill + length > OUTPUT_BLOCK_BYTES) && !this.#openBlock()) return this.#blocks.spare;
    const offset = this.#block + this.#blockFill;
    this.#blockFill += length;
    this.queuedBytes += length;
    if (this.#count > this.#sealed) {
      const last = (this.#head + this.#count - 1) & (this.#capacity - 1);
      if (
        this.#completions[last] === null &&
        this.#endsBlock[last] === 0 &&
        this.#offsets[last]! + this.#lengths[last]! === offset
      ) {
        this.#lengths[last]! += length;
        return offset;
      }
    }
    this.#push(offset, length, null);
    return offset;
  }

  pushOwned(offset: number, length: number, sent: Completion): void {
    this.queuedBytes += length;
    this.#push(offset, length, sent);
  }

  /** The `index`-th segment from the front. */
  offsetAt(index: number): number {
    return this.#offsets[(this.#head + index) & (this.#capacity - 1)]!;
  }

  lengthAt(index: number): number {
    return this.#lengths[(this.#head + index) & (this.#capacity - 1)]!;
  }

  /** The first `count` segments are given to the kernel now. */
  seal(count: number): void {
    this.#sealed = count;
  }

  /** `length` bytes from the front have left: completes what left whole, with 0. */
  advance(length: number): void {
    this.#sealed = 0;
    let left = length;
    this.queuedBytes -= length;
    while (left > 0) {
      const at = this.#head;
      const here = this.#lengths[at]!;
      if (left < here) {
        this.#offsets[at]! += left;
        this.#lengths[at] = here - left;
        return;
      }
      left -= here;
      this.#popFront(0);
    }
    if (this.#count === 0) this.#closeBlock();
  }

  /** Drops everything; completions get `result`. */
  cancel(result: number): void {
    this.#sealed = 0;
    this.queuedBytes = 0;
    while (this.#count > 0) this.#popFront(result);
    this.#closeBlock();
  }

  #popFront(result: number): void {
    const at = this.#head;
    const completion = this.#completions[at]!;
    const block = this.#endsBlock[at]!;
    if (completion !== null) this.ownedCount -= 1;
    this.#completions[at] = null;
    this.#endsBlock[at] = 0;
    this.#head = (at + 1) & (this.#capacity - 1);
    this.#count -= 1;
    if (block !== 0) this.#blocks.give(block);
    if (completion !== null) completion.complete(result);
  }

  #push(offset: number, length: number, completion: Completion | null): void {
    if (this.#count === this.#capacity) this.#grow();
    const at = (this.#head + this.#count) & (this.#capacity - 1);
    this.#offsets[at] = offset;
    this.#lengths[at] = length;
    this.#endsBlock[at] = 0;
    this.#completions[at] = completion;
    if (completion !== null) this.ownedCount += 1;
    this.#count += 1;
  }

  /** The full block goes back with its last segment, or at once if that has left already. */
  #openBlock(): boolean {
    const next = this.#blocks.tryTake();
    if (next === 0) {
      this.isExhausted = true;
      return false;
    }
    if (this.#block !== 0) this.#retireBlock(this.#block);
    this.#block = next;
    this.#blockFill = 0;
    return true;
  }

  #retireBlock(block: number): void {
    for (let index = this.#count - 1; index >= 0; index -= 1) {
      const at = (this.#head + index) & (this.#capacity - 1);
      const offset = this.#offsets[at]!;
      if (this.#completions[at] === null && offset >= block && offset < block + OUTPUT_BLOCK_BYTES) {
        this.#endsBlock[at] = block;
        return;
      }
    }
    this.#blocks.give(block);
  }

  #closeBlock(): void {
    if (this.#block !== 0) this.#blocks.give(this.#block);
    this.#block = 0;
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    const offsets = new Float64Array(capacity);
    const lengths = new Float64Array(capacity);
    const endsBlock = new Float64Array(capacity);
    const completions = new Array<Completion | null>(capacity).fill(null);
    for (let index = 0; index < this.#count; index += 1) {
      const at = (this.#head + index) & (this.#capacity - 1);
      offsets[index] = this.#offsets[at]!;
      lengths[index] = this.#lengths[at]!;
      endsBlock[index] = this.#endsBlock[at]!;
      completions[index] = this.#completions[at]!;
    }
    this.#offsets = offsets;
    this.#lengths = lengths;
    this.#endsBlock = endsBlock;
    this.#completions = completions;
    this.#capacity = capacity;
    this.#head = 0;
  }
}
