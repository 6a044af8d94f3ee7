// Time of a machine in memory: it goes by when everybody waits.
import type { Clock, Timer } from '../../world/clock.ts';

/** What happens without time going by takes fewer turns of the loop. */
const TURNS = 6;
/** Nothing that a mapper does takes so long. */
const PATIENCE_MS = 3_600_000;

interface Due {
  readonly at: number;
  readonly callback: () => void;
}

export class MemoryTime {
  readonly #timers = new Set<Due>();
  #now = 0;
  #isGoingBy = false;

  /** Lets time go by until the promise is settled, or until nobody waits for anything: then "died". */
  async run<T>(promise: Promise<T>): Promise<T | 'died'> {
    if (this.#isGoingBy) return promise;
    this.#isGoingBy = true;
    try {
      return await this.#passUntilSettled(promise);
    } finally {
      this.#isGoingBy = false;
    }
  }

  /** Of one process: its timers end with it. */
  clockOf(process: { readonly isAlive: boolean }): Clock {
    const after = (delayMs: number, callback: () => void): Timer => {
      const timer = { at: this.#now + delayMs, callback: () => (process.isAlive ? callback() : undefined) };
      this.#timers.add(timer);
      return { cancel: () => this.#timers.delete(timer) };
    };
    const every = (periodMs: number, callback: () => void): Timer => {
      let next = after(periodMs, function again(): void {
        next = after(periodMs, again);
        callback();
      });
      return { cancel: () => next.cancel() };
    };
    const sleep = (delayMs: number): Promise<void> => new Promise((resolve) => after(delayMs, resolve));
    return { now: () => this.#now, wallTimeMs: () => this.#now, after, every, sleep };
  }

  async #passUntilSettled<T>(promise: Promise<T>): Promise<T | 'died'> {
    const end = this.#now + PATIENCE_MS;
    let isSettled = false;
    const result = promise.finally(() => (isSettled = true));
    result.catch(() => {});
    for (;;) {
      for (let turn = 0; turn < TURNS && !isSettled; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      if (isSettled) return result;
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined) return 'died';
      if (next.at > end) throw new Error('whoever is waited for has done nothing for an hour');
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
  }
}
