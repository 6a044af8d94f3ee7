// A replica that failed rests before its next recovery: 0.3 s, then twice as long each time, at most 30 s. A recovery that
// succeeded forgets the failures. Not durable: a new conductor tries at once.
import type { Clock, Timer } from '../world/clock.ts';

const FIRST_REST_MS = 300;
const LONGEST_REST_MS = 30_000;

interface Rest {
  failures: number;
  until: number;
}

export class RecoveryRests {
  readonly #clock: Clock;
  readonly #onRested: () => void;
  readonly #rests = new Map<number, Rest>();
  readonly #timers = new Set<Timer>();

  /** `onRested` is called whenever a rest has ended. */
  constructor(clock: Clock, onRested: () => void) {
    this.#clock = clock;
    this.#onRested = onRested;
  }

  failed(replicaId: number): void {
    const failures = (this.#rests.get(replicaId)?.failures ?? 0) + 1;
    const restMs = Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** Math.min(16, failures - 1));
    this.#rests.set(replicaId, { failures, until: this.#clock.now() + restMs });
    const timer = this.#clock.after(restMs, () => {
      this.#timers.delete(timer);
      this.#onRested();
    });
    this.#timers.add(timer);
  }

  succeeded(replicaId: number): void {
    this.#rests.delete(replicaId);
  }

  isResting(replicaId: number): boolean {
    const rest = this.#rests.get(replicaId);
    return rest !== undefined && this.#clock.now() < rest.until;
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}
