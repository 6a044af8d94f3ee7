// Seeded random numbers for tests (mulberry32): the same seed gives the same run.

export class TestRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  below(n: number): number {
    return Math.floor((this.u32() / 2 ** 32) * n);
  }

  chance(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability;
  }
}
