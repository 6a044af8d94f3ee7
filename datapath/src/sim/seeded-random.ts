// All chance of a simulated run: sfc32 (Chris Doty-Humphrey's small fast counting generator) seeded by a number and a label.
// Each actor forks its own stream, so that a change in one actor does not move the luck of the others.
import type { Random } from '../world/random.ts';

export class SeededRandom implements Random {
  readonly #seed: number;
  readonly #label: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, label = '') {
    this.#seed = seed;
    this.#label = label;
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 2 ** 32) >>> 0;
    this.#c = hashText(label);
    for (let round = 0; round < 15; round += 1) this.u32();
  }

  /** An independent stream, the same for the same label whatever was drawn before. */
  fork(label: string): SeededRandom {
    return new SeededRandom(this.#seed, `${this.#label}/${label}`);
  }

  u32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result;
    this.#c |= 0;
    return result >>> 0;
  }

  float(): number {
    return ((this.u32() >>> 5) * 2 ** 26 + (this.u32() >>> 6)) / 2 ** 53;
  }

  below(n: number): number {
    return n <= 2 ** 20 ? Math.floor((this.u32() / 2 ** 32) * n) : Math.floor(this.float() * n);
  }

  uuid(): string {
    const hex = [this.u32(), this.u32(), this.u32(), this.u32()].map((word) => word.toString(16).padStart(8, '0')).join('');
    const variant = '89ab'[Number.parseInt(hex[16]!, 16) & 3]!;
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  }

  token(): number {
    return Math.floor(this.float() * 2 ** 53);
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return p > 0 && this.u32() < p * 2 ** 32;
  }

  /** Uniform in [low, high), with fractions. */
  between(low: number, high: number): number {
    return low + this.float() * (high - low);
  }

  /** Whole number in [low, high], both included. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  exponential(mean: number): number {
    return -Math.log(1 - this.float()) * mean;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A new array in random order. */
  shuffled<T>(items: readonly T[]): T[] {
    const result = items.slice();
    for (let index = result.length - 1; index > 0; index -= 1) {
      const other = this.below(index + 1);
      [result[index], result[other]] = [result[other]!, result[index]!];
    }
    return result;
  }
}

/** FNV-1a over UTF-16 units. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
