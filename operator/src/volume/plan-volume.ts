// What has to be done about one Volume: decided from its spec and from what the conductor says. Pure.
import { bytesOfQuantity } from '@pureflash/datapath/base';
import type { VolumeSpec } from '../api/v1alpha1/volume.ts';
import type { PlannedCondition } from '../plan/cluster-plan.ts';

/** A volume as the conductor lists it. */
export interface VolumeFacts {
  readonly id: number;
  readonly sizeBytes: number;
  readonly replicas: number;
  readonly health: 'OK' | 'DEGRADED' | 'ERROR';
  readonly attachedTo: string | null;
}

/** Why a cluster is not there: the resource does not exist. */
export const NO_CLUSTER = 'NoCluster';

export interface VolumeView {
  readonly spec: VolumeSpec;
  readonly isDeleting: boolean;
  /** It was made, or taken over, for this resource. */
  readonly volumeId: number | null;
  /** Whom the volume of this name is kept for beside this resource: "claim app/data", "PersistentVolume pvc-1". */
  readonly holder: string | null;
  /** The cluster has that resource and its conductors answer; null: why not. */
  readonly cluster: { readonly isThere: true } | { readonly isThere: false; readonly reason: string; readonly message: string };
  /** Null: the conductor has no volume of that name. */
  readonly found: VolumeFacts | null;
}

export type VolumeAction =
  | { readonly kind: 'none' }
  | { readonly kind: 'create'; readonly sizeBytes: number; readonly replicas: number }
  | { readonly kind: 'grow'; readonly sizeBytes: number }
  /** Its data goes. */
  | { readonly kind: 'delete' }
  /** The resource may go; the volume stays, or is gone already. */
  | { readonly kind: 'release' };

export type VolumePhase = 'Pending' | 'Ready' | 'Degraded' | 'Offline' | 'Deleting' | 'Failed';

export interface VolumePlan {
  readonly action: VolumeAction;
  readonly phase: VolumePhase;
  readonly condition: PlannedCondition;
}

export function planVolume(view: VolumeView): VolumePlan {
  const { spec, found, cluster } = view;
  const isOurs = spec.origin === 'Volume';
  if (view.isDeleting) return planDeletion(view);
  if (!cluster.isThere) return waiting('Pending', cluster.reason, cluster.message);
  const sizeBytes = wholeBlocks(bytesOfQuantity(spec.size)!);
  if (found === null) {
    if (!isOurs) return waiting('Pending', 'NoVolume', 'the volume of the claim is not there');
    if (view.volumeId !== null)
      return waiting(
        'Failed',
        'VolumeLost',
        'the volume was deleted behind the back of this resource; delete the resource to make a new one',
      );
    return {
      ...waiting('Pending', 'Creating', 'the volume is being made'),
      action: { kind: 'create', sizeBytes, replicas: spec.replicas },
    };
  }
  if (view.volumeId !== null && view.volumeId !== found.id)
    return waiting(
      'Failed',
      'NameTaken',
      `volume ${found.id} has taken the name of volume ${view.volumeId}; nothing is done to either`,
    );
  if (isOurs && view.volumeId === null && view.holder !== null)
    return waiting('Failed', 'NameTaken', `the volume of this name is that of ${view.holder}; choose another name`);
  if (isOurs && found.replicas !== spec.replicas)
    return waiting('Failed', 'NameTaken', `a volume of this name has ${found.replicas} replicas; choose another name`);
  if (isOurs && found.sizeBytes < sizeBytes) return { ...healthOf(found), action: { kind: 'grow', sizeBytes } };
  if (isOurs && view.volumeId === null && found.sizeBytes > sizeBytes)
    return waiting('Failed', 'NameTaken', `a volume of this name has ${found.sizeBytes} bytes; choose another name`);
  return healthOf(found);
}

/** Sizes such as 1500M are no multiple of a block: rounded up. */
const wholeBlocks = (bytes: number): number => Math.ceil(bytes / 4096) * 4096;

function planDeletion(view: VolumeView): VolumePlan {
  const { spec, found, cluster, volumeId } = view;
  const mayGo = spec.origin === 'Claim' || spec.deletionPolicy === 'Retain' || volumeId === null;
  const release: VolumePlan = { ...waiting('Deleting', 'Released', 'the resource goes'), action: { kind: 'release' } };
  if (mayGo) return release;
  // With its cluster went everything that could be deleted.
  if (!cluster.isThere && cluster.reason === NO_CLUSTER) return release;
  if (!cluster.isThere) return waiting('Deleting', cluster.reason, `${cluster.message}; the volume cannot be deleted yet`);
  if (found === null || found.id !== volumeId) return release;
  if (found.attachedTo !== null)
    return waiting('Deleting', 'Attached', `the volume is attached to ${found.attachedTo}; detach it there first`);
  return { ...waiting('Deleting', 'Deleting', 'the volume is being deleted'), action: { kind: 'delete' } };
}

function healthOf(found: VolumeFacts): VolumePlan {
  const action = { kind: 'none' } as const;
  switch (found.health) {
    case 'OK':
      return {
        action,
        phase: 'Ready',
        condition: { type: 'Ready', status: 'True', reason: 'Whole', message: 'all replicas are in sync' },
      };
    case 'DEGRADED':
      return {
        action,
        phase: 'Degraded',
        condition: { type: 'Ready', status: 'True', reason: 'ReplicaMissing', message: 'served, with a replica missing' },
      };
    case 'ERROR':
      return {
        action,
        phase: 'Offline',
        condition: { type: 'Ready', status: 'False', reason: 'NotServed', message: 'a shard has no replica that could serve it' },
      };
  }
}

function waiting(phase: VolumePhase, reason: string, message: string): VolumePlan {
  return { action: { kind: 'none' }, phase, condition: { type: 'Ready', status: 'False', reason, message } };
}
