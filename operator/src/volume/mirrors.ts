// Carries out what is planned about mirrors: which cluster has them, what its conductor says, and then one write at most, and the status
// where it tells something else than before. Called by the reconciler of Volume for its key, so nobody else works on the same resource.
import { errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import { API_VERSION } from '../api/crd.ts';
import { refOf } from '../api/objects.ts';
import { setFinalizer } from '../cluster/finalizer.ts';
import { clusterOf } from '../cluster/observe-csi.ts';
import type { StorageCluster } from '../cluster/observe.ts';
import { isSame } from '../cluster/status-text.ts';
import { DRIVER_NAME } from '../manifests/builders.ts';
import type { Inventory } from '../runtime/inventory.ts';
import type { ClaimedVolume } from './claimed-volumes.ts';
import { isMirror, mirrorRefusal, mirrorStatus, planMirror, type MirrorView } from './plan-mirror.ts';
import { conductorsOf, VOLUME_FINALIZER, type Volume, type VolumePorts } from './volume-ports.ts';

/** The cluster whose driver serves claims; null: there is none, or it is none that we look after. */
export function driverCluster(inventory: Inventory): StorageCluster | null {
  const driver = inventory.get({ apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', name: DRIVER_NAME });
  const holder = driver === null ? null : clusterOf(driver);
  if (holder === null) return null;
  const [namespace, name] = holder.split('/') as [string, string];
  return inventory.get({ apiVersion: API_VERSION, kind: 'StorageCluster', namespace, name }) as StorageCluster | null;
}

/** What was stored before the field was known has not got it. */
export const wantsMirrors = (cluster: StorageCluster | null): boolean =>
  cluster !== null && (cluster.spec.csi as { mirrorClaims?: boolean } | undefined)?.mirrorClaims !== false;

export class ClaimMirrors {
  readonly #ports: VolumePorts;
  /** Claims that were told why they have no mirror, by key: told once. */
  readonly #told = new Map<string, string>();

  constructor(ports: VolumePorts) {
    this.#ports = ports;
  }

  /** `key`: "namespace/name" of the claim and of its mirror. `resource`: the Volume of that name, whosoever it is. */
  async reconcile(key: string, resource: Volume | null, signal: AbortSignal): Promise<void> {
    const { client, inventory, claimed, feed } = this.#ports;
    if (resource !== null && (await this.#isLeaving(resource, signal))) return;
    const holder = driverCluster(inventory);
    const cluster = wantsMirrors(holder) ? holder : null;
    const ofClaim = cluster === null ? null : claimed.ofClaim(key);
    const at = { name: cluster?.metadata.name ?? '', namespace: cluster?.metadata.namespace ?? '' };
    const bare: MirrorView = { claimed: ofClaim, cluster: at, found: null, resource };
    this.#tell(key, bare);
    if (ofClaim === null || (resource !== null && !isMirror(resource))) {
      await this.#act(bare, signal);
      return;
    }
    const conductors = await conductorsOf(this.#ports, cluster, signal);
    const clusterKey = `${at.namespace}/${at.name}`;
    const listing = conductors.addresses.length === 0 ? null : await feed.listing(clusterKey, conductors);
    const view = { ...bare, claimed: ofClaim, found: listing?.get(ofClaim.volumeName) ?? null };
    const hasActed = await this.#act(view, signal);
    // What was done wakes this key again, with what it came to.
    if (resource === null || hasActed || listing === null) return;
    const stamp = { generation: resource.metadata.generation ?? 0, now: this.#ports.now() };
    const status = mirrorStatus(resource, view, stamp);
    if (isSame(resource.status, status)) return;
    await client.applyStatus({ ...refObject(resource), status }, { signal });
  }

  /** Nothing waits for the end of a mirror: where a finalizer of ours got on one, it goes. */
  async #isLeaving(resource: Volume, signal: AbortSignal): Promise<boolean> {
    if (!isMirror(resource) || resource.metadata.deletionTimestamp === undefined) return false;
    if (resource.metadata.finalizers?.includes(VOLUME_FINALIZER) === true)
      await setFinalizer(this.#ports.client, resource, VOLUME_FINALIZER, false, signal);
    return true;
  }

  /** Whether something was done. */
  async #act(view: MirrorView, signal: AbortSignal): Promise<boolean> {
    const { client } = this.#ports;
    const action = planMirror(view);
    switch (action.kind) {
      case 'create':
        // Created and never applied: a user's of that name, made a moment ago, stays as it is, and wakes us.
        await client.create(action.object, { signal }).catch((error: unknown) => {
          if (errorCodeOf(error) !== 'ALREADY_EXISTS' && !isNamespaceEnding(error)) throw error;
        });
        return true;
      case 'correct':
        await client.patch(refOf(view.resource!), action.patch, { signal });
        return true;
      case 'remove':
        await client.delete(refOf(view.resource!), { signal, uid: view.resource!.metadata.uid! });
        return true;
      case 'none':
        return false;
    }
  }

  #tell(key: string, view: MirrorView): void {
    const message = mirrorRefusal(view);
    if (message === null) this.#told.delete(key);
    else if (this.#told.get(key) !== message) {
      this.#told.set(key, message);
      this.#ports.tell(view.claimed as ClaimedVolume, message);
    }
  }
}

/** The claim is about to go with it: its PersistentVolume will say so. */
function isNamespaceEnding(error: unknown): boolean {
  const code = errorCodeOf(error);
  return code === 'NOT_FOUND' || (code === 'PERMISSION_DENIED' && formatErrorChain(error).includes('being terminated'));
}

const refObject = ({ apiVersion, kind, metadata }: Volume) => ({
  apiVersion,
  kind,
  metadata: { name: metadata.name, namespace: metadata.namespace! },
});
