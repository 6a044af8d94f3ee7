// The import table of datapath/src and its check. Called by repository.test.ts; docs/reference/layers.md is written
// from this table. Stairs go down only: a folder may import itself and what its row names, and nothing else.
import { posix } from 'node:path';
import { isTest } from './repository.ts';
import type { RepositoryFile } from './repository.ts';
import { factsOf } from './source.ts';

export interface Layer {
  readonly folder: string;
  readonly mayImport: readonly string[];
  /** May import `node:*`. */
  readonly isDoor: boolean;
  readonly says: string;
}

const ALL_BUT_MAIN = [
  'base',
  'world',
  'wire',
  'api',
  'block',
  'volume',
  'pfs',
  'nbd',
  'consensus',
  'daemon',
  'attach',
  'pfsd',
  'store',
  'conductor',
  'cli',
];

export const LAYERS: readonly Layer[] = [
  layer('base', [], 'errors, ids, sizes, checksums, binary layouts; no I/O, no time'),
  layer('world', ['base'], 'the ports: clock, random, network, disks, files, http, processes, log'),
  {
    ...layer('world/node', ['base', 'world'], 'the ports on the real machine; the only folder that loads the native addon'),
    isDoor: true,
  },
  layer('wire', ['base', 'world'], 'the data-plane contract: frames between clients and stores'),
  layer('api', ['base', 'world'], 'the control-plane contract: JSON over HTTP'),
  layer('block', ['base', 'world'], 'BlockDevice, the narrow waist, with its memory and file devices'),
  layer('consensus', ['base', 'world'], 'the replicated log behind the conductor'),
  layer('daemon', ['base', 'world'], 'starting, watching and ending child daemons'),
  layer('nbd', ['base', 'world', 'block'], 'the NBD library: server and client'),
  layer('pfs', ['base', 'world', 'block'], 'the shared-disk file system'),
  layer('volume', ['base', 'world', 'block', 'wire', 'api'], 'the volume client: a BlockDevice on replicated stores'),
  layer('store', ['base', 'world', 'wire', 'api'], 'the service on every host with disks'),
  layer('conductor', ['base', 'world', 'api', 'consensus'], 'the service that plans and keeps the cluster'),
  layer('attach', ['base', 'world', 'api', 'block', 'nbd', 'volume', 'daemon'], 'the service that maps volumes into a node'),
  layer('pfsd', ['base', 'world', 'api', 'block', 'volume', 'pfs', 'daemon'], 'the service that mounts PFS for other processes'),
  layer(
    'cli',
    ['base', 'world', 'api', 'block', 'daemon', 'nbd', 'volume', 'pfs'],
    'the command lines; marries volumes to NBD, and daemons to their control sockets',
  ),
  layer('sim', ALL_BUT_MAIN, 'the simulated world: tests and bin/sim only'),
  { ...layer('bin', [...ALL_BUT_MAIN, 'sim', 'world/node'], 'main files'), isDoor: true },
];

/** What a test may import beyond its folder's row. */
const TEST_EXTRAS: readonly string[] = ['base', 'world', 'world/node', 'sim', 'block'];

export function layerOffences(file: RepositoryFile): string[] {
  const own = layerOf(file.path);
  if (own === null) return [];
  const offences: string[] = [];
  for (const { name, line } of factsOf(file.text).imports) {
    const complaint = name.startsWith('.') ? complainRelative(own, file.path, name) : complainBare(own, file.path, name);
    if (complaint !== null) offences.push(`${file.path}:${line}: ${complaint}`);
  }
  return offences;
}

/** The row of a path, or null for files outside datapath/src. */
export function layerOf(path: string): Layer | null {
  if (!path.startsWith('datapath/src/')) return null;
  const inside = path.slice('datapath/src/'.length);
  const rows = LAYERS.filter((row) => inside.startsWith(`${row.folder}/`));
  return rows.toSorted((a, b) => b.folder.length - a.folder.length)[0] ?? null;
}

function complainRelative(own: Layer, path: string, specifier: string): string | null {
  if (!/\.(ts|json)$/.test(specifier)) return `"${specifier}" must end in .ts: Node runs the files as they are`;
  const target = posix.join(posix.dirname(path), specifier);
  const other = layerOf(target);
  if (other === null) return `"${specifier}" leaves datapath/src`;
  if (isTest(target) && !isTest(path)) return `"${specifier}" is for tests: programs do not import it`;
  if (other === own || own.mayImport.includes(other.folder)) return null;
  if (path === 'datapath/src/world/index.ts' && other.folder === 'world/node') return null; // the door opens the real world
  if (isTest(path) && TEST_EXTRAS.includes(other.folder)) return null;
  const allowed = own.mayImport.length === 0 ? 'nothing' : own.mayImport.join(', ');
  return `${own.folder} may not import ${other.folder} ("${specifier}"): it may import ${allowed}`;
}

function complainBare(own: Layer, path: string, specifier: string): string | null {
  if (specifier.startsWith('node:')) {
    if (own.isDoor || isTest(path)) return null;
    return `${own.folder} may not import "${specifier}": ask for it through a port of world/`;
  }
  if (isTest(path) && /^uvu(\/|$)/.test(specifier)) return null;
  return `${own.folder} may not import "${specifier}": the datapath has no run-time dependencies; a new one is a decision`;
}

function layer(folder: string, mayImport: readonly string[], says: string): Layer {
  return { folder, mayImport, isDoor: false, says };
}
