// Real randomness, all of it from the operating system's generator, drawn a page at a time.
import { randomFillSync, randomUUID } from 'node:crypto';
import type { Random } from '../random.ts';

const POOL_WORDS = 1024;

export class NodeRandom implements Random {
  readonly #pool = new Uint32Array(POOL_WORDS);
  #next = POOL_WORDS;

  u32(): number {
    if (this.#next === POOL_WORDS) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    return this.#pool[this.#next++]!;
  }

  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  float(): number {
    return this.token() / 2 ** 53;
  }

  uuid(): string {
    return randomUUID();
  }

  token(): number {
    return (this.u32() >>> 11) * 2 ** 32 + this.u32();
  }
}
