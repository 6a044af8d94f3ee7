// Virtual time as one process sees it: since its machine booted, at its machine's own rate.
import { assert } from '../base/assert.ts';
import type { Clock, Timer } from '../world/clock.ts';
import type { SimEvent } from './event-queue.ts';
import type { SimProcess } from './sim-process.ts';

/** 2024-01-01T00:00:00Z at virtual time 0. */
const WALL_EPOCH_MS = 1_704_067_200_000;

export class SimClock implements Clock {
  readonly #process: SimProcess;

  constructor(process: SimProcess) {
    this.#process = process;
  }

  now(): number {
    return this.#process.host.clockAt(this.#process.sim.now);
  }

  wallTimeMs(): number {
    return Math.floor(WALL_EPOCH_MS + this.#process.sim.now + this.#process.host.wallSkewMs);
  }

  after(delayMs: number, callback: () => void): Timer {
    return new SimTimer(this.#process, delayMs, 0, callback);
  }

  every(periodMs: number, callback: () => void): Timer {
    assert(periodMs > 0, `cannot repeat every ${periodMs} ms`);
    return new SimTimer(this.#process, periodMs, periodMs, callback);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const abort = (): void => {
        timer.cancel();
        reject(signal!.reason);
      };
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

class SimTimer implements Timer {
  readonly #process: SimProcess;
  readonly #periodMs: number;
  readonly #callback: () => void;
  #event: SimEvent | null = null;

  constructor(process: SimProcess, delayMs: number, periodMs: number, callback: () => void) {
    this.#process = process;
    this.#periodMs = periodMs;
    this.#callback = callback;
    if (process.isClosed) return;
    process.resources.add(this);
    this.#arm(delayMs);
  }

  cancel(): void {
    this.#event?.cancel();
    this.#event = null;
    this.#process.resources.delete(this);
  }

  /** What a leak check prints, and how World.close() ends it. */
  describe(): string {
    return this.#periodMs > 0 ? `timer every ${this.#periodMs} ms` : `timer due at ${this.#event?.timeMs.toFixed(3)} ms`;
  }

  closeResource(): void {
    this.cancel();
  }

  #arm(delayMs: number): void {
    const realDelay = Math.max(0, delayMs) / this.#process.host.clockRate + this.#process.timerLateness();
    this.#event = this.#process.post(realDelay, 'timer', () => this.#fire());
  }

  #fire(): void {
    if (this.#periodMs === 0) {
      this.cancel();
    } else {
      this.#arm(this.#periodMs);
    }
    this.#callback();
  }
}
