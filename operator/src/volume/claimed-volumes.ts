// The PersistentVolumes of our CSI driver that belong to a bound claim: by the claim, and by the volume at the conductor. They are made by
// Kubernetes' provisioner or by administrators, and nobody else may make them, so what they say about a claim can be relied on.
// Followed by the volume controller, read by its reconciler.
import type { KubeObject } from '../api/objects.ts';
import { DRIVER_NAME } from '../manifests/builders.ts';
import type { ChangeSource } from '../runtime/controller.ts';

export interface ClaimedVolume {
  /** Name of the PersistentVolume. */
  readonly name: string;
  /** The volume's name at the conductor. */
  readonly volumeName: string;
  /** As Kubernetes writes it; it follows the claim when that grows. */
  readonly capacity: string;
  readonly claim: { readonly namespace: string; readonly name: string; readonly uid: string };
}

interface Spec {
  readonly csi?: { readonly driver?: string; readonly volumeHandle?: string };
  readonly claimRef?: { readonly namespace?: string; readonly name?: string; readonly uid?: string };
  readonly capacity?: { readonly storage?: string };
}

/** What the cache holds of one: of other drivers', next to nothing. */
export function keepOfClaimed(object: KubeObject): KubeObject {
  const { apiVersion, kind, metadata } = object;
  const { name, uid, resourceVersion } = metadata;
  const bare = { apiVersion, kind, metadata: { name, uid: uid!, resourceVersion: resourceVersion! } };
  const spec = object['spec'] as Spec | undefined;
  if (spec?.csi?.driver !== DRIVER_NAME) return bare;
  const { csi, claimRef, capacity } = spec;
  return {
    ...bare,
    spec: {
      csi: { driver: csi.driver, volumeHandle: csi.volumeHandle },
      claimRef: { namespace: claimRef?.namespace, name: claimRef?.name, uid: claimRef?.uid },
      capacity: { storage: capacity?.storage },
    },
    status: { phase: (object['status'] as { phase?: string } | undefined)?.phase },
  };
}

/** Null: none of our driver, or no claim is bound to it (any more). */
export function claimedVolumeOf(object: KubeObject | null): ClaimedVolume | null {
  const { csi, claimRef, capacity } = (object?.['spec'] ?? {}) as Spec;
  const phase = (object?.['status'] as { phase?: string } | undefined)?.phase;
  if (object === null || csi?.driver !== DRIVER_NAME || phase !== 'Bound') return null;
  const { namespace, name, uid } = claimRef ?? {};
  if (csi.volumeHandle === undefined || namespace === undefined || name === undefined || uid === undefined) return null;
  return {
    name: object.metadata.name,
    volumeName: csi.volumeHandle,
    capacity: capacity?.storage ?? '',
    claim: { namespace, name, uid },
  };
}

export const claimKey = ({ claim }: ClaimedVolume): string => `${claim.namespace}/${claim.name}`;

/** The name at the conductor, whether a claim is bound or not: what a claim has left behind is kept for somebody. Null: none of our driver. */
function volumeNameOf(object: KubeObject | null): string | null {
  const { csi } = (object?.['spec'] ?? {}) as Spec;
  return csi?.driver === DRIVER_NAME ? (csi.volumeHandle ?? null) : null;
}

export class ClaimedVolumes {
  readonly #byName = new Map<string, ClaimedVolume>();
  readonly #byClaim = new Map<string, ClaimedVolume[]>();
  readonly #byVolume = new Map<string, ClaimedVolume[]>();
  /** By the PersistentVolume's name: the volume's at the conductor. */
  readonly #handles = new Map<string, string>();

  /** What the source holds now, and whatever changes in it. */
  follow(source: ChangeSource): void {
    source.subscribe((ref, object) => this.set(ref.name, claimedVolumeOf(object), volumeNameOf(object)));
  }

  /** `volumeName`: also where no claim is bound. */
  set(name: string, volume: ClaimedVolume | null, volumeName: string | null = volume?.volumeName ?? null): void {
    if (volumeName === null) this.#handles.delete(name);
    else this.#handles.set(name, volumeName);
    const before = this.#byName.get(name);
    if (before !== undefined) {
      this.#byName.delete(name);
      remove(this.#byClaim, claimKey(before), before);
      remove(this.#byVolume, before.volumeName, before);
    }
    if (volume === null) return;
    this.#byName.set(name, volume);
    add(this.#byClaim, claimKey(volume), volume);
    add(this.#byVolume, volume.volumeName, volume);
  }

  /** `key`: "namespace/name" of the claim. Null: it has no volume of ours. */
  ofClaim(key: string): ClaimedVolume | null {
    return this.#byClaim.get(key)?.[0] ?? null;
  }

  /** `volumeName`: at the conductor. More than one where somebody has made PersistentVolumes by hand. */
  ofVolume(volumeName: string): readonly ClaimedVolume[] {
    return this.#byVolume.get(volumeName) ?? [];
  }

  /** Who a volume of that name at the conductor is kept for: "claim app/data", "PersistentVolume pvc-1"; null: nobody that Kubernetes knows. */
  holderOf(volumeName: string): string | null {
    const [bound] = this.ofVolume(volumeName);
    if (bound !== undefined) return `claim ${claimKey(bound)}`;
    for (const [name, handle] of this.#handles) if (handle === volumeName) return `PersistentVolume ${name}`;
    return null;
  }

  /** Keys of all claims. */
  claims(): readonly string[] {
    return [...this.#byClaim.keys()];
  }
}

function add(map: Map<string, ClaimedVolume[]>, key: string, volume: ClaimedVolume): void {
  const there = map.get(key) ?? [];
  map.set(
    key,
    [...there, volume].sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
}

function remove(map: Map<string, ClaimedVolume[]>, key: string, volume: ClaimedVolume): void {
  const left = (map.get(key) ?? []).filter((each) => each !== volume);
  if (left.length === 0) map.delete(key);
  else map.set(key, left);
}
