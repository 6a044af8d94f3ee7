// Equal blocks of reserved arena memory, kept on a free list: output blocks, message headers, I/O vectors.
// The most recently used block is handed out first, for the caches' sake. Blocks are never given back to the arena.
import { errorCodeOf } from '../base/errors.ts';
import type { IoMemory } from './memory.ts';

export class MemoryBlocks {
  readonly sizeBytes: number;
  /** Where bytes may be written that nobody will read, when no block is to be had. */
  readonly spare: number;
  readonly #memory: IoMemory;
  readonly #free: number[] = [];

  constructor(memory: IoMemory, sizeBytes: number) {
    this.#memory = memory;
    this.sizeBytes = sizeBytes;
    this.spare = memory.reserve(sizeBytes);
  }

  /** An arena offset, aligned to 4096. Throws NO_SPACE when the arena is exhausted. */
  take(): number {
    return this.#free.length > 0 ? this.#free.pop()! : this.#memory.reserve(this.sizeBytes);
  }

  /** Like take(), but 0 when the arena is exhausted. */
  tryTake(): number {
    try {
      return this.take();
    } catch (error) {
      if (errorCodeOf(error) === 'NO_SPACE') return 0;
      throw error;
    }
  }

  give(block: number): void {
    this.#free.push(block);
  }
}
