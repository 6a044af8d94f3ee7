// Time that a test moves by hand. Timers run in order of their moment; what they set off settles before the next one runs.
import type { Clock, Timer } from '@pureflash/datapath/world';

interface Entry {
  dueAt: number;
  readonly periodMs: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  #wallMs = 1_767_225_600_000; // 2026-01-01T00:00:00Z
  readonly #entries = new Set<Entry>();

  /** Timers that would still run. */
  get pending(): number {
    return this.#entries.size;
  }

  now(): number {
    return this.#nowMs;
  }

  wallTimeMs(): number {
    return this.#wallMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.#add({ dueAt: this.#nowMs + Math.max(0, delayMs), periodMs: 0, callback });
  }

  every(periodMs: number, callback: () => void): Timer {
    return this.#add({ dueAt: this.#nowMs + periodMs, periodMs, callback });
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

  /** Lets promises settle, then runs what is due, until `ms` have passed. */
  async advance(ms: number): Promise<void> {
    const endAt = this.#nowMs + ms;
    await settle();
    for (let next = this.#earliest(endAt); next !== null; next = this.#earliest(endAt)) {
      this.#moveTo(next.dueAt);
      if (next.periodMs > 0) next.dueAt += next.periodMs;
      else this.#entries.delete(next);
      next.callback();
      await settle();
    }
    this.#moveTo(endAt);
  }

  /** The process stands still: time passes, and timers run late, all at once. */
  async pause(ms: number): Promise<void> {
    this.#moveTo(this.#nowMs + ms);
    await this.advance(0);
  }

  #add(entry: Entry): Timer {
    this.#entries.add(entry);
    return { cancel: () => void this.#entries.delete(entry) };
  }

  #earliest(endAt: number): Entry | null {
    let first: Entry | null = null;
    for (const entry of this.#entries) {
      if (entry.dueAt <= endAt && (first === null || entry.dueAt < first.dueAt)) first = entry;
    }
    return first;
  }

  #moveTo(nowMs: number): void {
    const at = Math.max(nowMs, this.#nowMs);
    this.#wallMs += at - this.#nowMs;
    this.#nowMs = at;
  }
}

/** Enough turns for chains of promises; no time passes. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
