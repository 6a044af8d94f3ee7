// The sequences that a primary has given to writes and which of them every replica has answered: the commit mark is the
// sequence up to which all have. Used once per write; pure.
// Invariants: mark < next; everything at or below the mark is done; the ring holds one byte per sequence above the mark.
import { assert } from '../base/assert.ts';

const INITIAL_RING = 256;

export class CommitWindow {
  #ring = new Uint8Array(INITIAL_RING);
  #mark = 0;
  #next = 1;

  /** All writes up to this sequence have been answered by all replicas. */
  get mark(): number {
    return this.#mark;
  }

  /** The sequence that begin() gives next. */
  get next(): number {
    return this.#next;
  }

  /** Starts again above `sequence`, with nothing in flight: after a promotion, when all replicas are equal. */
  reset(sequence: number): void {
    this.#ring.fill(0);
    this.#mark = sequence;
    this.#next = sequence + 1;
  }

  begin(): number {
    if (this.#next - this.#mark > this.#ring.length) this.#grow();
    return this.#next++;
  }

  done(sequence: number): void {
    assert(
      sequence > this.#mark && sequence < this.#next,
      `sequence ${sequence} is done, but ${this.#mark + 1} to ${this.#next - 1} are in flight`,
    );
    const mask = this.#ring.length - 1;
    this.#ring[sequence & mask] = 1;
    while (this.#mark + 1 < this.#next && this.#ring[(this.#mark + 1) & mask] === 1) {
      this.#mark += 1;
      this.#ring[this.#mark & mask] = 0;
    }
  }

  #grow(): void {
    const larger = new Uint8Array(this.#ring.length * 2);
    for (let sequence = this.#mark + 1; sequence < this.#next; sequence += 1) {
      larger[sequence & (larger.length - 1)] = this.#ring[sequence & (this.#ring.length - 1)]!;
    }
    this.#ring = larger;
  }
}
