// Waiting for a state: whoever changes it calls wake(), whoever waits gives a condition. Called by service.ts and mux-service.ts.
import type { Clock } from '../world/clock.ts';
import { TIMED_OUT, within } from './deadline.ts';

export class Watchers {
  readonly #looks = new Set<() => void>();

  /** The state may be another one now. */
  wake(): void {
    for (const look of [...this.#looks]) look();
  }

  /** True as soon as the condition holds, false after the time. Errors: what the condition throws; the signal's reason. */
  async until(clock: Clock, condition: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    if (condition()) return true;
    const met = Promise.withResolvers<true>();
    const look = (): void => {
      try {
        if (condition()) met.resolve(true);
      } catch (error) {
        met.reject(error);
      }
    };
    this.#looks.add(look);
    try {
      return (await within(clock, timeoutMs, met.promise, signal)) !== TIMED_OUT;
    } finally {
      this.#looks.delete(look);
    }
  }
}
