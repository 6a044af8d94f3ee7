// Parts that cannot join the open batch now: the batch or the log is full, or the free extents that exist are not given back yet.
// One queue, first come, first served: while somebody stalls, newcomers stall behind him. Whatever frees log or space calls resumeAll().
import type { ExtentWaiter } from './extent-waits.ts';

export class Stalls {
  #queue: ExtentWaiter[] = [];
  #head = 0;
  #current: ExtentWaiter | null = null;
  #hasStalledAgain = false;

  get isEmpty(): boolean {
    return this.#head === this.#queue.length;
  }

  /** Whether this one need not queue: nobody is before it. */
  canPass(waiter: ExtentWaiter): boolean {
    return this.#head === this.#queue.length || this.#current === waiter;
  }

  add(waiter: ExtentWaiter): void {
    if (this.#current === waiter) this.#hasStalledAgain = true;
    else this.#queue.push(waiter);
  }

  /** Resumes from the front until one stalls again. */
  resumeAll(): void {
    if (this.#current !== null) return;
    while (this.#head < this.#queue.length) {
      const waiter = this.#queue[this.#head]!;
      this.#current = waiter;
      this.#hasStalledAgain = false;
      waiter.resume();
      this.#current = null;
      if (this.#hasStalledAgain) return;
      this.#head += 1;
    }
    this.#queue.length = 0;
    this.#head = 0;
  }

  clear(): void {
    this.#queue = [];
    this.#head = 0;
  }
}
