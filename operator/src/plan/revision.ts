// A revision names what a daemon has to be restarted for.
import { canonicalJson, type Json } from '@pureflash/datapath/base';
import type { ConductorInstance, DatapathInstance, ServerGroup, StoreInstance } from './cluster-plan.ts';

export type Hash = (text: string) => string;

export function conductorRevision(hash: Hash, instance: ConductorInstance): string {
  return hash(canonicalJson(instance as unknown as Json)).slice(0, 16);
}

/** What may be erased is of no matter to a store that runs. */
export function storeRevision(hash: Hash, instance: StoreInstance): string {
  return hash(canonicalJson({ ...instance, erase: [] } as unknown as Json)).slice(0, 16);
}

export function datapathRevision(hash: Hash, instance: DatapathInstance): string {
  return hash(canonicalJson(instance as unknown as Json)).slice(0, 16);
}

export function serversRevision(hash: Hash, group: ServerGroup): string {
  return hash(canonicalJson(group as unknown as Json)).slice(0, 16);
}
