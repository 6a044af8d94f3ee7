// How many replicas a store brings up to date at a time; the others wait in the order of their coming. Owned by replicator.ts.
// Invariants: at most `limit` run, as far as they were started under it; one that waits and is outdated leaves the queue at the next
// dropOutdated(), so the queue holds at most one entry for each replica that is recovering now.
export interface QueueDump {
  readonly [key: string]: number;
  readonly limit: number;
  readonly running: number;
  readonly waiting: number;
}

interface Waiting {
  readonly isCurrent: () => boolean;
  /** True: it has a place now. */
  readonly enter: (hasPlace: boolean) => void;
}

export class RecoveryQueue {
  #limit: number;
  #running = 0;
  #waiting: Waiting[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** More: those that wait begin at once. Fewer: those that run go on. */
  setLimit(limit: number): void {
    this.#limit = limit;
    this.#fill();
  }

  /** Nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#running === 0 && this.#waiting.length === 0;
  }

  /** `work` is not called, and the answer is 'outdated', when `isCurrent` turns false before there is a place. */
  async run<T>(isCurrent: () => boolean, work: () => Promise<T>): Promise<T | 'outdated'> {
    if (this.#running < this.#limit) this.#running += 1;
    else if (!(await new Promise<boolean>((enter) => this.#waiting.push({ isCurrent, enter })))) return 'outdated';
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#fill();
    }
  }

  /** Called every 100 ms, and when the store closes. */
  dropOutdated(): void {
    if (this.#waiting.length === 0) return;
    const outdated = this.#waiting.filter((each) => !each.isCurrent());
    if (outdated.length === 0) return;
    this.#waiting = this.#waiting.filter((each) => !outdated.includes(each));
    for (const each of outdated) each.enter(false);
  }

  dump(): QueueDump {
    return { limit: this.#limit, running: this.#running, waiting: this.#waiting.length };
  }

  #fill(): void {
    this.dropOutdated();
    while (this.#running < this.#limit && this.#waiting.length > 0) {
      this.#running += 1;
      this.#waiting.shift()!.enter(true);
    }
  }
}
