// Rounds of measurements, and the rows that are read from them. A ratio is taken within a round, and the median of rounds counts.
//
// In a virtual machine the hypervisor takes processors away, in bursts of seconds; a chain of wake-ups suffers from that, one process
// that waits for a disk hardly. What was measured in such a burst says nothing about the programs. So rounds go on until all who are
// compared have been measured in peace often enough, or patience is over; and the calmest of them count, whatever they say.
import { readFileSync } from 'node:fs';
import type { BenchRow } from './bench-row.ts';

/** Of all processors' time. */
const PEACE = 0.03;
/** How many times more rounds than count. */
const PATIENCE = 3;

export interface Measured {
  readonly value: number;
  /** Share of all processors' time that the hypervisor took meanwhile. */
  readonly stolen: number;
}

/** By contender. */
export type Round = ReadonlyMap<string, Measured>;

export interface Question {
  readonly question: string;
  readonly unit: string;
  readonly ours: string;
  /** Contenders, by the name that the row gives them. */
  readonly peers: Readonly<Record<string, string>>;
}

export class Rounds {
  readonly #all: Round[] = [];
  readonly #count: number;
  readonly #questions: readonly Question[];

  /** `count`: so many rounds count. */
  constructor(count: number, questions: readonly Question[]) {
    this.#count = count;
    this.#questions = questions;
  }

  async measure(round: (index: number) => Promise<Round>): Promise<void> {
    while (!this.#isEnough()) this.#all.push(await round(this.#all.length));
  }

  rows(): BenchRow[] {
    return this.#questions.map((question) => this.#row(question));
  }

  /** Of `what`: how calm the rounds were that count. */
  describe(what: string): string {
    const worst = Math.max(...this.#pairs().flatMap((pair) => this.#calmest(pair).map((round) => stolen(round, pair))));
    const percent = (worst * 100).toFixed(0);
    return `${what}: ${this.#all.length} rounds, ${this.#count} count, in which the hypervisor took up to ${percent} % of the processors`;
  }

  #isEnough(): boolean {
    if (this.#all.length >= this.#count * PATIENCE) return true;
    return this.#pairs().every((pair) => this.#all.filter((round) => stolen(round, pair) <= PEACE).length >= this.#count);
  }

  /** Those who are compared with each other. */
  #pairs(): string[][] {
    return this.#questions.flatMap(({ ours, peers }) => Object.values(peers).map((peer) => [ours, peer]));
  }

  #row({ question, unit, ours, peers }: Question): BenchRow {
    const answers = Object.entries(peers).map(([shown, peer]) => {
      const rounds = this.#calmest([ours, peer]);
      const ratio = median(rounds.map((round) => round.get(ours)!.value / round.get(peer)!.value));
      return { shown, value: Math.round(this.#median(peer)), ratio: Number(ratio.toFixed(3)) };
    });
    return {
      question,
      unit,
      ours: Math.round(this.#median(ours)),
      peers: Object.fromEntries(answers.map(({ shown, value }) => [shown, value])),
      ratio: Object.fromEntries(answers.map(({ shown, ratio }) => [shown, ratio])),
      rounds: this.#count,
    };
  }

  #calmest(names: readonly string[]): Round[] {
    return [...this.#all].sort((a, b) => stolen(a, names) - stolen(b, names)).slice(0, this.#count);
  }

  #median(name: string): number {
    return median(this.#calmest([name]).map((round) => round.get(name)!.value));
  }
}

const stolen = (round: Round, names: readonly string[]): number => Math.max(...names.map((name) => round.get(name)!.stolen));

export async function measured(sample: () => Promise<number>): Promise<Measured> {
  const before = processorTime();
  const value = await sample();
  const after = processorTime();
  return { value, stolen: (after.stolen - before.stolen) / Math.max(1, after.all - before.all) };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Of /proc/stat's first line, in ticks: user, nice, system, idle, iowait, irq, softirq, steal. */
function processorTime(): { readonly all: number; readonly stolen: number } {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!;
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  return { all: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7]! };
}
