// What lies between machines: delay, bandwidth, stalls and partitions, by direction. Used by streams and HTTP alike.
// A blocked direction is silence: what is under way waits and goes on some time after the healing, as TCP's re-sending does.
import type { SeededRandom } from './seeded-random.ts';
import type { SimHost } from './sim-host.ts';
import type { Simulator } from './simulator.ts';

export interface LinkOptions {
  /** Shortest one-way delay between two machines. */
  readonly latencyMs: number;
  /** Mean of the exponential part on top. */
  readonly jitterMs: number;
  /** Chance of a spike of up to spikeMs on one message. */
  readonly spikeChance: number;
  readonly spikeMs: number;
  /** 0: as fast as you like. */
  readonly bytesPerMs: number;
}

export const DEFAULT_LINK: LinkOptions = { latencyMs: 0.05, jitterMs: 0.03, spikeChance: 0.002, spikeMs: 5, bytesPerMs: 0 };
/** Within one machine. */
const LOOPBACK: LinkOptions = { latencyMs: 0.008, jitterMs: 0.004, spikeChance: 0, spikeMs: 0, bytesPerMs: 0 };

interface Link {
  options: LinkOptions | null;
  isBlocked: boolean;
  stalledUntilMs: number;
  /** When the last byte that was accepted has left, with a bandwidth. */
  busyUntilMs: number;
  waiting: (() => void)[];
}

export class Links {
  default: LinkOptions = DEFAULT_LINK;
  readonly #sim: Simulator;
  readonly #random: SeededRandom;
  readonly #links = new Map<string, Link>();

  constructor(sim: Simulator) {
    this.#sim = sim;
    this.#random = sim.random.fork('links');
  }

  /** One direction only; null returns to the default. */
  configure(from: SimHost, to: SimHost, options: Partial<LinkOptions> | null): void {
    this.#link(from, to).options = options === null ? null : { ...this.default, ...options };
  }

  /** Nothing sent by `from` reaches `to` any more. */
  block(from: SimHost, to: SimHost): void {
    if (from !== to) this.#link(from, to).isBlocked = true;
  }

  unblock(from: SimHost, to: SimHost): void {
    this.#link(from, to).isBlocked = false;
    this.release();
  }

  unblockAll(): void {
    for (const link of this.#links.values()) link.isBlocked = false;
    this.release();
  }

  /** What is sent during the next `forMs` arrives after them. */
  stall(from: SimHost, to: SimHost, forMs: number): void {
    const link = this.#link(from, to);
    link.stalledUntilMs = Math.max(link.stalledUntilMs, this.#sim.now + forMs);
  }

  isOpen(from: SimHost, to: SimHost): boolean {
    return from.isPowered && to.isPowered && (from === to || !this.#links.get(keyOf(from, to))?.isBlocked);
  }

  /** Milliseconds until a message of `bytes` sent now arrives. */
  delay(from: SimHost, to: SimHost, bytes: number): number {
    const link = from === to ? null : this.#link(from, to);
    const options = link === null ? LOOPBACK : (link.options ?? this.default);
    let delayMs = options.latencyMs + (options.jitterMs > 0 ? this.#random.exponential(options.jitterMs) : 0);
    if (this.#random.chance(options.spikeChance)) delayMs += this.#random.between(0, options.spikeMs);
    if (link !== null) {
      if (options.bytesPerMs > 0) {
        link.busyUntilMs = Math.max(link.busyUntilMs, this.#sim.now) + bytes / options.bytesPerMs;
        delayMs += link.busyUntilMs - this.#sim.now;
      }
      delayMs += Math.max(0, link.stalledUntilMs - this.#sim.now);
    }
    return delayMs;
  }

  /** Calls back once the direction is open again and the sender has noticed. */
  whenOpen(from: SimHost, to: SimHost, callback: () => void): void {
    this.#link(from, to).waiting.push(callback);
  }

  /** Power or partitions have changed: wakes what waits at directions that are open now. */
  release(): void {
    for (const [key, link] of this.#links) {
      if (link.waiting.length === 0) continue;
      const [from, to] = key.split('>').map((name) => this.#sim.hosts.get(name)!);
      if (!this.isOpen(from!, to!)) continue;
      const waiting = link.waiting;
      link.waiting = [];
      const noticedMs = this.#random.between(0, 250);
      for (const callback of waiting) this.#sim.post(null, noticedMs, 'link-open', callback, false);
    }
  }

  #link(from: SimHost, to: SimHost): Link {
    const key = keyOf(from, to);
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { options: null, isBlocked: false, stalledUntilMs: 0, busyUntilMs: 0, waiting: [] };
      this.#links.set(key, link);
    }
    return link;
  }
}

const keyOf = (from: SimHost, to: SimHost): string => `${from.name}>${to.name}`;
