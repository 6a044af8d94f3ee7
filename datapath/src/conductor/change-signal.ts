// "Something has changed, look again": lets handlers wait for a condition that pushes, commands or heartbeats make true.
import type { Clock } from '../world/clock.ts';

export class ChangeSignal {
  readonly #clock: Clock;
  #waiters: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Wakes everybody who waits. */
  notify(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** True as soon as `isTrue()` is, looking again after each notify(); false when `timeoutMs` have passed. */
  async until(isTrue: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = this.#clock.now() + timeoutMs;
    while (!isTrue()) {
      const left = deadline - this.#clock.now();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = this.#clock.after(left, resolve);
        this.#waiters.push(() => {
          timer.cancel();
          resolve();
        });
      });
    }
    return true;
  }
}
