// A bounded first-in first-out queue of commands: a ring that grows by doubling up to its limit and allocates nothing in between.
// Used by ClientSession for what waits for a free command id, and by the volume client for what waits for a path.
import type { StoreCommand } from './command.ts';

const INITIAL_CAPACITY = 16;

export class CommandQueue {
  readonly limit: number;
  #ring: (StoreCommand | null)[] = new Array<StoreCommand | null>(INITIAL_CAPACITY).fill(null);
  #head = 0;
  #count = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get count(): number {
    return this.#count;
  }

  /** False when the queue is at its limit: the caller refuses the command. */
  push(command: StoreCommand): boolean {
    if (this.#count >= this.limit) return false;
    if (this.#count === this.#ring.length) this.#grow();
    this.#ring[(this.#head + this.#count) & (this.#ring.length - 1)] = command;
    this.#count += 1;
    return true;
  }

  shift(): StoreCommand | null {
    if (this.#count === 0) return null;
    const command = this.#ring[this.#head]!;
    this.#ring[this.#head] = null;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#count -= 1;
    return command;
  }

  #grow(): void {
    const larger = new Array<StoreCommand | null>(this.#ring.length * 2).fill(null);
    for (let index = 0; index < this.#count; index += 1)
      larger[index] = this.#ring[(this.#head + index) & (this.#ring.length - 1)]!;
    this.#ring = larger;
    this.#head = 0;
  }
}
