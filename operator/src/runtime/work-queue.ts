// Keys that want work. A key waits at most once, is given to one worker at a time, and what arrives while it is being worked on comes again
// afterwards. Called by Controller; time and chance are injected.
//
//   add --> waiting --take--> working --done--> idle
//              ^                 \--(added meanwhile)--> waiting
//   addAfter, addAfterFailure --(timer)--/
//
// Bounded by the number of keys: nothing is stored per event.
import { assert } from '@pureflash/datapath/base';
import type { Clock, Random, Timer } from '@pureflash/datapath/world';

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { firstMs: 250, maxMs: 300_000 };

interface Delayed {
  readonly dueAt: number;
  readonly timer: Timer;
}

export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #backoff: Backoff;
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | null) => void)[] = [];
  #isClosed = false;

  constructor(clock: Clock, random: Random, backoff: Backoff = DEFAULT_BACKOFF) {
    this.#clock = clock;
    this.#random = random;
    this.#backoff = backoff;
  }

  /** Keys that could be taken now. */
  get depth(): number {
    return this.#waiting.size;
  }

  get working(): number {
    return this.#working.size;
  }

  get delayed(): number {
    return this.#delayed.size;
  }

  /** Failures of this key since it was last forgotten. */
  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  add(key: string): void {
    if (this.#isClosed || this.#waiting.has(key)) return;
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#waiting.add(key);
    } else {
      this.#working.add(key);
      taker(key);
    }
  }

  /** Of several delays for one key the earliest counts. An `add` does not cancel it. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isClosed) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueAt = this.#clock.now() + delayMs;
    const before = this.#delayed.get(key);
    if (before !== undefined) {
      if (before.dueAt <= dueAt) return;
      before.timer.cancel();
    }
    const timer = this.#clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueAt, timer });
  }

  /** Adds after a delay that doubles with each failure of this key, with jitter; at least `atLeastMs`. Returns the delay. */
  addAfterFailure(key: string, atLeastMs = 0): number {
    const failures = this.failuresOf(key);
    this.#failures.set(key, failures + 1);
    const fullMs = Math.min(this.#backoff.maxMs, this.#backoff.firstMs * 2 ** Math.min(failures, 30));
    const delayMs = Math.max(fullMs * (0.5 + this.#random.float() / 2), atLeastMs);
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** The key did well: its next failure starts with the first delay. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Waits for a key; null when the queue is closed. Whoever takes a key calls `done` with it. */
  take(): Promise<string | null> {
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#working.add(key);
      return Promise.resolve(key);
    }
    if (this.#isClosed) return Promise.resolve(null);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    assert(this.#working.delete(key), `key "${key}" is done, but nobody took it`);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Drops what waits, wakes those who wait for it, stops the timers. Keys being worked on are still to be done. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#waiting.clear();
    this.#again.clear();
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    for (const taker of this.#takers.splice(0)) taker(null);
  }
}
