// Blocks of I/O memory for partial blocks: a write's edges until they are in place, a read's edges until they are copied out.
// When there are none, the caller waits: resume() in order of arrival, when somebody gives one back.
import { BLOCK_BYTES } from '../../base/sizes.ts';
import type { IoMemory } from '../../world/memory.ts';
import type { ExtentWaiter } from './extent-waits.ts';

export const SCRATCH_BLOCKS = 128;

export class ScratchBlocks {
  readonly #memory: IoMemory;
  readonly #start: number;
  readonly #free: number[] = [];
  readonly #onWait: () => void;
  #waiters: ExtentWaiter[] = [];

  constructor(memory: IoMemory, onWait: () => void) {
    this.#memory = memory;
    this.#onWait = onWait;
    this.#start = memory.reserve(SCRATCH_BLOCKS * BLOCK_BYTES);
    for (let index = SCRATCH_BLOCKS - 1; index >= 0; index -= 1) this.#free.push(this.#start + index * BLOCK_BYTES);
  }

  get freeCount(): number {
    return this.#free.length;
  }

  get hasWaiters(): boolean {
    return this.#waiters.length > 0;
  }

  /** Whether a newcomer may take `count` blocks now: those who wait come first. */
  has(count: number): boolean {
    return this.#free.length >= count && this.#waiters.length === 0;
  }

  take(): number {
    return this.#free.pop()!;
  }

  give(block: number): void {
    this.#free.push(block);
    if (this.#waiters.length > 0 && this.#free.length >= 2) this.wakeAll();
  }

  wait(waiter: ExtentWaiter): void {
    this.#waiters.push(waiter);
    this.#onWait();
  }

  wakeAll(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.resume();
  }

  release(): void {
    this.#memory.release(this.#start, SCRATCH_BLOCKS * BLOCK_BYTES);
  }
}
