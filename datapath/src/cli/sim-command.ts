// The command line of the simulated cluster, apart from its main file so that both stay small.
import type { CommandSpec, FlagValues } from './flag-spec.ts';

const SEEDS_MAX = 1_000_000;
const SEED_MAX = Number.MAX_SAFE_INTEGER - SEEDS_MAX;

export const SIM_COMMAND = {
  name: 'sim',
  summary: 'Runs a simulated cluster under seeds, each with its own faults, and says where it broke a promise.',
  flags: {
    seed: { kind: 'integer', help: 'one seed, and all about it', minimum: 0, maximum: SEED_MAX },
    seeds: { kind: 'integer', help: 'how many seeds', minimum: 1, maximum: SEEDS_MAX, default: 100 },
    from: { kind: 'integer', help: 'the first of them', minimum: 0, maximum: SEED_MAX, default: 1 },
    jobs: { kind: 'integer', help: 'threads', minimum: 1, maximum: 256, default: 2 },
  },
} as const satisfies CommandSpec;

export interface SimWish {
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
}

export function simWishOf({ seed, seeds, from, jobs }: FlagValues<typeof SIM_COMMAND.flags>): SimWish {
  return seed === undefined ? { from, count: seeds, jobs } : { from: seed, count: 1, jobs };
}
