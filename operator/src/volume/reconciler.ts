// The reconciler of Volume: observe -> plan -> act at the conductor -> report.
import type { ConductorClient } from '@pureflash/datapath/api';
import { errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import { API_VERSION } from '../api/crd.ts';
import type { KubeObject } from '../api/objects.ts';
import type { VolumeStatus } from '../api/v1alpha1/volume.ts';
import { setFinalizer } from '../cluster/finalizer.ts';
import { isSame } from '../cluster/status-text.ts';
import { setCondition } from '../runtime/conditions.ts';
import type { Outcome } from '../runtime/controller.ts';
import { ClaimMirrors, driverCluster } from './mirrors.ts';
import { isMirror } from './plan-mirror.ts';
import { NO_CLUSTER, planVolume, type VolumeFacts, type VolumePlan, type VolumeView } from './plan-volume.ts';
import { conductorsOf, VOLUME_FINALIZER, type Volume, type VolumePorts } from './volume-ports.ts';

export class VolumeReconciler {
  readonly #ports: VolumePorts;
  readonly #mirrors: ClaimMirrors;

  constructor(ports: VolumePorts) {
    this.#ports = ports;
    this.#mirrors = new ClaimMirrors(ports);
  }

  /** `key`: "namespace/name" of a Volume that somebody applied, or of a claim, whose mirror has the same name. */
  readonly reconcile = async (key: string, signal: AbortSignal): Promise<Outcome> => {
    const { client, inventory, feed } = this.#ports;
    const [namespace, name] = key.split('/') as [string, string];
    const volume = inventory.get({ apiVersion: API_VERSION, kind: 'Volume', namespace, name }) as Volume | null;
    await this.#mirrors.reconcile(key, volume, signal);
    if (volume === null || isMirror(volume)) return {};
    const isDeleting = volume.metadata.deletionTimestamp !== undefined;
    const isHeld = volume.metadata.finalizers?.includes(VOLUME_FINALIZER) === true;
    if (isDeleting && !isHeld) return {};
    if (!isDeleting && !isHeld) await setFinalizer(client, volume, VOLUME_FINALIZER, true, signal);
    const clusterKey = `${namespace}/${volume.spec.clusterName}`;
    const cluster = inventory.get({ apiVersion: API_VERSION, kind: 'StorageCluster', namespace, name: volume.spec.clusterName });
    const conductors = await conductorsOf(this.#ports, cluster, signal);
    const listing = conductors.addresses.length === 0 ? null : await feed.listing(clusterKey, conductors);
    const view = {
      ...viewOf(volume, cluster !== null, listing),
      holder: cluster === null ? null : this.#holderOf(cluster, name),
    };
    const plan = planVolume(view);
    let hasActed = false;
    try {
      hasActed = plan.action.kind !== 'none' && (await act(() => feed.client(conductors), name, plan));
    } catch (error) {
      await this.#report(volume, refused(plan, error), view.found, signal);
      throw error;
    }
    if (hasActed) await feed.refresh(clusterKey);
    const found = hasActed ? ((await feed.listing(clusterKey, conductors))?.get(name) ?? null) : view.found;
    if (plan.action.kind === 'release') {
      await setFinalizer(client, volume, VOLUME_FINALIZER, false, signal);
      return {};
    }
    await this.#report(
      volume,
      hasActed ? planVolume({ ...view, found, volumeId: view.volumeId ?? found?.id ?? null }) : plan,
      found,
      signal,
    );
    return hasActed || plan.action.kind !== 'none' ? { requeueAfterMs: 1_000 } : {};
  };

  /** For whom the cluster of the CSI driver keeps the volume of this name. */
  #holderOf(cluster: KubeObject, name: string): string | null {
    const { inventory, claimed } = this.#ports;
    return driverCluster(inventory)?.metadata.uid === cluster.metadata.uid ? claimed.holderOf(name) : null;
  }

  async #report(volume: Volume, plan: VolumePlan, found: VolumeFacts | null, signal: AbortSignal): Promise<void> {
    const { client, now } = this.#ports;
    const observedGeneration = volume.metadata.generation ?? 0;
    const before = volume.status;
    const isKnown = found !== null && plan.condition.reason !== 'NameTaken';
    const volumeId = before?.volumeId ?? (isKnown ? found.id : undefined);
    const status: VolumeStatus = {
      observedGeneration,
      phase: plan.phase,
      conditions: setCondition(before?.conditions ?? [], { ...plan.condition, observedGeneration }, now()),
      volumeName: volume.metadata.name,
      ...(volumeId === undefined ? {} : { volumeId }),
      ...(isKnown ? { sizeBytes: found.sizeBytes } : {}),
      ...(isKnown && found.attachedTo !== null ? { attachedTo: found.attachedTo } : {}),
      ...(before?.claim === undefined ? {} : { claim: before.claim }),
    };
    if (isSame(before, status)) return;
    const { apiVersion, kind, metadata } = volume;
    const bare: KubeObject = { apiVersion, kind, metadata: { name: metadata.name, namespace: metadata.namespace! } };
    await client.applyStatus({ ...bare, status }, { signal });
  }
}

function viewOf(
  volume: Volume,
  isClusterThere: boolean,
  listing: ReadonlyMap<string, VolumeFacts> | null,
): Omit<VolumeView, 'holder'> {
  const { clusterName } = volume.spec;
  const unavailable = isClusterThere
    ? { reason: 'ClusterNotReady', message: `no conductor of StorageCluster ${clusterName} answers` }
    : { reason: NO_CLUSTER, message: `there is no StorageCluster ${clusterName} in this namespace` };
  return {
    spec: volume.spec,
    isDeleting: volume.metadata.deletionTimestamp !== undefined,
    volumeId: volume.status?.volumeId ?? null,
    cluster: listing === null ? { isThere: false, ...unavailable } : { isThere: true },
    found: listing?.get(volume.metadata.name) ?? null,
  };
}

/** What the conductor would not do, in its words. */
function refused(plan: VolumePlan, error: unknown): VolumePlan {
  const reason = errorCodeOf(error)
    .split('_')
    .map((word) => `${word[0]}${word.slice(1).toLowerCase()}`)
    .join('');
  return { ...plan, condition: { type: 'Ready', status: 'False', reason, message: formatErrorChain(error) } };
}

/** Whether something was done. Each may be done twice: what is there already, or gone already, is no error. */
async function act(conductor: () => ConductorClient, name: string, { action }: VolumePlan): Promise<boolean> {
  switch (action.kind) {
    case 'create':
      await conductor()
        .createVolume(name, { sizeBytes: action.sizeBytes, replicaCount: action.replicas })
        .catch(unless('ALREADY_EXISTS'));
      return true;
    case 'grow':
      await conductor().resizeVolume(name, action.sizeBytes);
      return true;
    case 'delete':
      await conductor().deleteVolume(name).catch(unless('NOT_FOUND'));
      return true;
    default:
      return false;
  }
}

const unless =
  (code: string) =>
  (error: unknown): void => {
    if (errorCodeOf(error) !== code) throw error;
  };
