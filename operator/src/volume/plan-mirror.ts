// The mirror of a claim: a Volume with the claim's name that shows people what the claim's volume is, and decides nothing. Pure.
//
//   no claim, or no mirrors wanted  -> there is none: one that is there is removed
//   a claim, and nothing there      -> created once the conductor knows the volume
//   a claim, and its mirror         -> kept as the claim has it: corrected, or removed and made again where a field cannot be changed
//   a claim, and a Volume of a user -> the user's is left alone
//
// What a mirror's own spec and status say is never asked: everything comes from the PersistentVolume, which users cannot write, and from
// the conductor. So whoever writes a Volume that looks like a mirror learns nothing by it, and has nothing done.
import { bytesOfQuantity, type JsonObject } from '@pureflash/datapath/base';
import { API_VERSION } from '../api/crd.ts';
import type { KubeObject, OwnerReference } from '../api/objects.ts';
import { VOLUME } from '../api/v1alpha1/kinds.ts';
import type { VolumeSpec, VolumeStatus } from '../api/v1alpha1/volume.ts';
import { check } from '../api/validate.ts';
import { CLUSTER_LABEL, MANAGER, NAMESPACE_LABEL } from '../manifests/builders.ts';
import { setCondition } from '../runtime/conditions.ts';
import { claimKey, type ClaimedVolume } from './claimed-volumes.ts';
import { planVolume, type VolumeFacts } from './plan-volume.ts';
import type { Volume } from './volume-ports.ts';

/** On every mirror, for people: `kubectl get pfv -l pureflash.io/mirror=true`. Nothing looks at it. */
export const MIRROR_LABEL = 'pureflash.io/mirror';

export interface MirrorView {
  /** Of this name. Null: none, or mirrors are not wanted. */
  readonly claimed: ClaimedVolume | null;
  /** The cluster that has the CSI driver. */
  readonly cluster: { readonly name: string; readonly namespace: string };
  /** Null: no conductor answers, or it has no volume of that name. */
  readonly found: VolumeFacts | null;
  /** The Volume of the claim's name. */
  readonly resource: Volume | null;
}

export type MirrorAction =
  | { readonly kind: 'none' }
  | { readonly kind: 'create'; readonly object: KubeObject }
  /** JSON merge patch. */
  | { readonly kind: 'correct'; readonly patch: JsonObject }
  /** The resource, and nothing else: nothing hangs on it. */
  | { readonly kind: 'remove' };

const NOTHING: MirrorAction = { kind: 'none' };

export const isMirror = ({ spec }: Volume): boolean => spec.origin === 'Claim';

export function planMirror(view: MirrorView): MirrorAction {
  const { claimed, resource, found } = view;
  if (resource !== null && !isMirror(resource)) return NOTHING;
  if (resource?.metadata.deletionTimestamp !== undefined) return NOTHING;
  if (claimed === null) return resource === null ? NOTHING : { kind: 'remove' };
  if (resource === null) return found === null ? NOTHING : creation(view, claimed, found);
  const wanted = specOf(view, claimed, found?.replicas ?? resource.spec.replicas, resource.spec);
  const metadata = metadataOf(view, claimed);
  if (isSameSpec(resource.spec, wanted) && hasMetadata(resource, metadata)) return NOTHING;
  if (!canBecome(resource.spec, wanted)) return { kind: 'remove' };
  const { resourceVersion } = resource.metadata;
  return { kind: 'correct', patch: { metadata: { ...metadata, resourceVersion: resourceVersion! }, spec: { ...wanted } } };
}

/** Why a bound claim has no mirror, for people; null: there is nothing to say. */
export function mirrorRefusal({ claimed, cluster, resource }: MirrorView): string | null {
  if (claimed === null || resource === null || isMirror(resource)) return null;
  const isSameVolume = resource.metadata.namespace === cluster.namespace && resource.metadata.name === claimed.volumeName;
  if (isSameVolume && resource.spec.clusterName === cluster.name) return null;
  return `a Volume of this name was applied by somebody and is left alone, so volume ${claimed.volumeName} of this claim is not mirrored`;
}

function creation(view: MirrorView, claimed: ClaimedVolume, found: VolumeFacts): MirrorAction {
  const spec = specOf(view, claimed, found.replicas, null);
  // A size that no Volume can have: the API server would refuse it.
  if (check(VOLUME.spec, { ...spec }, 'spec').problems.length > 0) return NOTHING;
  const { namespace, name } = claimed.claim;
  const object = {
    apiVersion: API_VERSION,
    kind: VOLUME.kind,
    metadata: { name, namespace, ...metadataOf(view, claimed) },
    spec,
  };
  return { kind: 'create', object };
}

function specOf({ cluster, found }: MirrorView, claimed: ClaimedVolume, replicas: number, before: VolumeSpec | null): VolumeSpec {
  const size = isSize(claimed.capacity) ? claimed.capacity : (found?.sizeBytes ?? before?.size ?? claimed.capacity);
  return { clusterName: cluster.name, size, replicas, deletionPolicy: 'Retain', origin: 'Claim' };
}

const isSize = (text: string): boolean => bytesOfQuantity(text) !== null;

interface MirrorMetadata extends JsonObject {
  readonly labels: Readonly<Record<string, string>>;
  readonly ownerReferences: readonly OwnerReference[];
}

/** With its claim goes the mirror, whoever of the garbage collector and the operator is first. */
function metadataOf({ cluster }: MirrorView, { claim }: ClaimedVolume): MirrorMetadata {
  const { name, uid } = claim;
  return {
    labels: {
      [MIRROR_LABEL]: 'true',
      [CLUSTER_LABEL]: cluster.name,
      [NAMESPACE_LABEL]: cluster.namespace,
      'app.kubernetes.io/managed-by': MANAGER,
    },
    ownerReferences: [
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, uid, controller: false, blockOwnerDeletion: false },
    ],
  };
}

function isSameSpec(a: VolumeSpec, b: VolumeSpec): boolean {
  const isSameSize = bytesOfQuantity(a.size) === bytesOfQuantity(b.size);
  return isSameSize && a.clusterName === b.clusterName && a.replicas === b.replicas && a.deletionPolicy === b.deletionPolicy;
}

/** Labels beside ours are whoever's; owners are ours alone. */
function hasMetadata({ metadata }: Volume, wanted: MirrorMetadata): boolean {
  const hasLabels = Object.entries(wanted.labels).every(([label, value]) => metadata.labels?.[label] === value);
  const owners = (list: readonly OwnerReference[] = []): string =>
    list.map(({ kind, name, uid }) => [kind, name, uid].join()).join(';');
  return hasLabels && owners(metadata.ownerReferences) === owners(wanted.ownerReferences);
}

/** What the API server lets nobody change. */
function canBecome(before: VolumeSpec, after: VolumeSpec): boolean {
  const isSmaller = bytesOfQuantity(after.size)! < bytesOfQuantity(before.size)!;
  return !isSmaller && before.clusterName === after.clusterName && before.replicas === after.replicas;
}

export interface MirrorStamp {
  readonly generation: number;
  /** RFC 3339. */
  readonly now: string;
}

/** Once a conductor has answered. While none does, nothing is news: the StorageCluster says so, and its mirrors stay as they are. */
export function mirrorStatus(
  resource: Volume,
  { claimed, found }: { readonly claimed: ClaimedVolume; readonly found: VolumeFacts | null },
  stamp: MirrorStamp,
): VolumeStatus {
  const { spec } = resource;
  const plan = planVolume({ spec, isDeleting: false, volumeId: null, holder: null, cluster: { isThere: true }, found });
  const observedGeneration = stamp.generation;
  const before = resource.status?.conditions ?? [];
  return {
    observedGeneration,
    phase: plan.phase,
    conditions: setCondition(before, { ...plan.condition, observedGeneration }, stamp.now),
    volumeName: claimed.volumeName,
    claim: claimKey(claimed),
    ...(found === null ? {} : { volumeId: found.id, sizeBytes: found.sizeBytes }),
    ...(found === null || found.attachedTo === null ? {} : { attachedTo: found.attachedTo }),
  };
}
