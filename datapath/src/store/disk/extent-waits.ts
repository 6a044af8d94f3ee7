// Who waits for busy blocks of an extent: first come, first served. Rare, so it may allocate.
// A newcomer joins the queue of an extent that has one even if its own blocks are not busy, so nobody is overtaken for ever.
// wake() takes the whole queue off before it resumes anybody; whoever still cannot proceed registers again, in the same order.

export interface ExtentWaiter {
  /** Looks everything up again: the place may have another extent by now, or none. */
  resume(): void;
}

export class ExtentWaits {
  readonly #queues = new Map<number, ExtentWaiter[]>();
  readonly #onWait: () => void;

  /** `onWait` hears that somebody begins to wait: blocks that are only held back should go to their place. */
  constructor(onWait: () => void) {
    this.#onWait = onWait;
  }

  get isEmpty(): boolean {
    return this.#queues.size === 0;
  }

  has(physical: number): boolean {
    return this.#queues.has(physical);
  }

  add(physical: number, waiter: ExtentWaiter): void {
    const queue = this.#queues.get(physical);
    if (queue) queue.push(waiter);
    else this.#queues.set(physical, [waiter]);
    this.#onWait();
  }

  wake(physical: number): void {
    const queue = this.#queues.get(physical);
    if (queue === undefined) return;
    this.#queues.delete(physical);
    for (const waiter of queue) waiter.resume();
  }

  wakeAll(): void {
    for (const physical of [...this.#queues.keys()]) this.wake(physical);
  }
}
