// What is known of a local cluster over the lives of its supervisors: DATA/cluster.json. What kubernetes keeps in its objects is here: the
// spec as it was taken last, where conductors and stores live for ever, and which instances were applied. Version 1.
import { PfError } from '@pureflash/datapath/base';
import type { World } from '@pureflash/datapath/world';
import type { StorageClusterSpec } from '../api/v1alpha1/storage-cluster.ts';
import type { ConductorInstance, StoreInstance } from '../plan/cluster-plan.ts';

export interface Applied<Instance> {
  readonly instance: Instance;
  readonly revision: string;
}

export interface LocalState {
  readonly version: 1;
  readonly name: string;
  readonly spec: StorageClusterSpec;
  readonly hosts: number;
  readonly subnet: string;
  readonly wasMade: boolean;
  /** In the order of their ordinals. */
  readonly conductors: readonly Applied<ConductorInstance>[];
  readonly stores: readonly Applied<StoreInstance>[];
  /** Volumes that are served over NBD. */
  readonly served: readonly string[];
}

/** Null: there is none yet. Errors: CORRUPT. */
export async function readState(world: World, path: string): Promise<LocalState | null> {
  const bytes = await world.files.read(path);
  if (bytes === null) return null;
  try {
    const state = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as LocalState;
    if (state.version === 1 && typeof state.name === 'string' && Array.isArray(state.stores)) return state;
  } catch {
    // It says below what is to be done.
  }
  throw new PfError(
    'CORRUPT',
    `cannot read ${path}: it is damaged, or of another version; the data is not touched, move the file away to make it anew`,
  );
}

export async function writeState(world: World, path: string, state: LocalState): Promise<void> {
  await world.files.replace(path, new TextEncoder().encode(`${JSON.stringify(state, null, 2)}\n`));
}
