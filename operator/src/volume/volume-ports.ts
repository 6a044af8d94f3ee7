// What the reconciler of Volume holds on to, and how it reaches a cluster's conductors.
import type { KubeObject, Resource } from '../api/objects.ts';
import type { VolumeSpec, VolumeStatus } from '../api/v1alpha1/volume.ts';
import type { ApiTokens } from '../cluster/api-tokens.ts';
import type { StorageCluster } from '../cluster/observe.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Hash } from '../plan/revision.ts';
import type { Inventory } from '../runtime/inventory.ts';
import type { ClaimedVolumes, ClaimedVolume } from './claimed-volumes.ts';
import type { Conductors, VolumeFeed } from './feed.ts';

export type Volume = Resource<VolumeSpec, VolumeStatus>;

export const VOLUME_FINALIZER = 'pureflash.io/volume';

export interface VolumePorts {
  readonly client: KubeClient;
  readonly inventory: Inventory;
  readonly claimed: ClaimedVolumes;
  readonly feed: VolumeFeed;
  readonly tokens: ApiTokens;
  readonly hash: Hash;
  /** RFC 3339. */
  now(): string;
  /** Tells people why a claim has no mirror: an event on the claim. */
  tell(claimed: ClaimedVolume, message: string): void;
}

/** No addresses: the cluster has no conductor yet. */
export async function conductorsOf(
  { tokens, hash }: Pick<VolumePorts, 'tokens' | 'hash'>,
  cluster: KubeObject | null,
  signal: AbortSignal,
): Promise<Conductors> {
  const addresses = (cluster as StorageCluster | null)?.status?.endpoints ?? [];
  if (cluster === null) return { addresses, token: null };
  const { name, namespace, uid } = cluster.metadata;
  return { addresses, token: await tokens.get({ name, namespace: namespace!, uid: uid!, hash }, signal) };
}
