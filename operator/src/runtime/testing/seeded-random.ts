// Chance with a seed, for tests: mulberry32.
import type { Random } from '@pureflash/datapath/world';

export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  float(): number {
    return this.u32() / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  between(low: number, high: number): number {
    return low + this.float() * (high - low);
  }

  chance(p: number): boolean {
    return this.float() < p;
  }

  uuid(): string {
    const hex = [this.u32(), this.u32(), this.u32(), this.u32()].map((word) => word.toString(16).padStart(8, '0')).join('');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  }

  token(): number {
    return Math.floor(this.float() * 2 ** 53);
  }
}
