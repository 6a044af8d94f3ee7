// One world, injected: time, randomness, processes and the network of the machine are read in the adapters and main
// files only. Called by repository.test.ts. It is what lets the whole cluster run under a seed.
import { isTest } from './repository.ts';
import type { RepositoryFile } from './repository.ts';
import { factsOf } from './source.ts';

const FORBIDDEN: ReadonlyMap<string, string> = new Map([
  ['Date', 'world.clock'],
  ['performance', 'world.clock'],
  ['setTimeout', 'world.clock'],
  ['setInterval', 'world.clock'],
  ['setImmediate', 'world.clock'],
  ['clearTimeout', 'world.clock'],
  ['clearInterval', 'world.clock'],
  ['AbortSignal.timeout', 'a deadline of world.clock'],
  ['Math.random', 'world.random'],
  ['crypto', 'world.random'],
  ['process', 'what the main file passes in'],
  ['fetch', 'world.http'],
  ['WebSocket', 'world.network'],
  ['require', 'an import'],
]);

const GUARDED = /^(datapath|operator|csi)\/src\//;
const ADAPTERS = /^(datapath\/src\/(world\/node|bin)|operator\/src\/(kube|bin|local\/host)|csi\/src\/(host|bin))\//;
/** The simulator lets promises settle by one real turn of the loop, and forbids the machine's clocks by name: in these two files only. */
const EXEMPT: ReadonlySet<string> = new Set(['datapath/src/sim/drain.ts', 'datapath/src/sim/throwing-globals.ts']);

export function worldDoorOffences(file: RepositoryFile): string[] {
  if (!GUARDED.test(file.path) || ADAPTERS.test(file.path) || isTest(file.path) || EXEMPT.has(file.path)) return [];
  const offences: string[] = [];
  for (const { name, line } of factsOf(file.text).globals) {
    const instead = FORBIDDEN.get(name);
    if (instead !== undefined) offences.push(`${file.path}:${line}: ${name} is the machine's: use ${instead}`);
  }
  return offences;
}

/** operator and csi keep node:* in one adapter folder each; the datapath's own rule is its import table. */
export function nodeImportOffences(file: RepositoryFile): string[] {
  if (!/^(operator|csi)\/src\//.test(file.path) || ADAPTERS.test(file.path) || isTest(file.path)) return [];
  const found = factsOf(file.text).imports.filter((entry) => entry.name.startsWith('node:'));
  return found.map(({ name, line }) => `${file.path}:${line}: "${name}" belongs in the adapter folder of this workspace`);
}
