// Real time: performance.now() and Node's timers. Timers keep the process alive; stopAll() ends those still running.
import type { Clock, Timer } from '../clock.ts';

/** Node fires a longer timer at once; waits beyond this are cut into pieces. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class NodeClock implements Clock {
  readonly #running = new Set<NodeTimer>();

  now(): number {
    return performance.now();
  }

  wallTimeMs(): number {
    return Date.now();
  }

  after(delayMs: number, callback: () => void): Timer {
    return new NodeTimer(this.#running, delayMs, 0, callback);
  }

  every(periodMs: number, callback: () => void): Timer {
    return new NodeTimer(this.#running, periodMs, periodMs, callback);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        reject(signal!.reason);
      };
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  stopAll(): void {
    for (const timer of this.#running) timer.cancel();
  }
}

class NodeTimer implements Timer {
  readonly #running: Set<NodeTimer>;
  readonly #callback: () => void;
  readonly #periodMs: number;
  #dueAt: number;
  #handle: NodeJS.Timeout | null = null;

  constructor(running: Set<NodeTimer>, delayMs: number, periodMs: number, callback: () => void) {
    this.#running = running;
    this.#callback = callback;
    this.#periodMs = periodMs;
    this.#dueAt = performance.now() + delayMs;
    running.add(this);
    this.#arm();
  }

  cancel(): void {
    if (this.#handle !== null) clearTimeout(this.#handle);
    this.#handle = null;
    this.#running.delete(this);
  }

  #arm(): void {
    const delayMs = Math.max(0, this.#dueAt - performance.now());
    this.#handle = setTimeout(this.#expire, Math.min(LONGEST_TIMER_MS, Math.ceil(delayMs)));
  }

  readonly #expire = (): void => {
    const now = performance.now();
    if (now < this.#dueAt) {
      this.#arm();
      return;
    }
    if (this.#periodMs > 0) {
      this.#dueAt = Math.max(this.#dueAt + this.#periodMs, now);
      this.#arm();
    } else {
      this.#handle = null;
      this.#running.delete(this);
    }
    this.#callback();
  };
}
