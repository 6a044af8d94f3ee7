// The requests of a volume that are not answered, in the order of submission, which is the order of their deadlines: one list and
// one periodic timer watch them all, and the timer runs only while there is something to watch.
import type { Clock, Timer } from '../world/clock.ts';
import type { VolumeRequest } from './volume-request.ts';

const LOOK_MS = 250;

export class Outstanding {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  /** They are marked already and stay in the list until their pieces are home. */
  readonly #onExpired: (requests: readonly VolumeRequest[]) => void;
  #first: VolumeRequest | null = null;
  #last: VolumeRequest | null = null;
  #timer: Timer | null = null;
  #count = 0;
  #waiters: (() => void)[] = [];

  constructor(clock: Clock, deadlineMs: number, onExpired: (requests: readonly VolumeRequest[]) => void) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    this.#onExpired = onExpired;
  }

  get count(): number {
    return this.#count;
  }

  add(request: VolumeRequest): void {
    request.startedMs = this.#clock.now();
    request.previous = this.#last;
    request.next = null;
    if (this.#last === null) this.#first = request;
    else this.#last.next = request;
    this.#last = request;
    this.#count += 1;
    this.#timer ??= this.#clock.every(LOOK_MS, () => this.#look());
  }

  /** Returns how long the request took, in milliseconds. */
  remove(request: VolumeRequest): number {
    if (request.previous === null) this.#first = request.next;
    else request.previous.next = request.next;
    if (request.next === null) this.#last = request.previous;
    else request.next.previous = request.previous;
    request.previous = null;
    request.next = null;
    this.#count -= 1;
    if (this.#count === 0 && this.#waiters.length > 0) for (const resolve of this.#waiters.splice(0)) resolve();
    return this.#clock.now() - request.startedMs;
  }

  /** Resolves when nothing is outstanding. */
  whenEmpty(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #look(): void {
    if (this.#count === 0) return this.stop();
    const oldest = this.#clock.now() - this.#deadlineMs;
    const expired: VolumeRequest[] = [];
    for (let request = this.#first; request !== null && request.startedMs <= oldest; request = request.next) {
      if (request.isExpired) continue;
      request.expire();
      expired.push(request);
    }
    if (expired.length > 0) this.#onExpired(expired);
  }
}
