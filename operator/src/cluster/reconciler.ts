// The reconciler of StorageCluster: observe -> plan -> execute -> report. It knows nothing but what it sees, so it can die anywhere.
import { formatHostPort } from '@pureflash/datapath/api';
import type { World } from '@pureflash/datapath/world';
import { API_VERSION } from '../api/crd.ts';
import type { JsonObject, KubeObject } from '../api/objects.ts';
import { check } from '../api/validate.ts';
import { STORAGE_CLUSTER } from '../api/v1alpha1/kinds.ts';
import type { StorageClusterSpec } from '../api/v1alpha1/storage-cluster.ts';
import type { KubeClient } from '../kube/client.ts';
import { CLUSTER_LABEL, selectorOf, type ClusterFrame } from '../manifests/builders.ts';
import type { ClusterPlan } from '../plan/cluster-plan.ts';
import { placeConductors } from '../plan/conductors.ts';
import { planCluster } from '../plan/plan-cluster.ts';
import type { ClusterView } from '../plan/view.ts';
import type { Outcome } from '../runtime/controller.ts';
import type { ApiTokens } from './api-tokens.ts';
import { readControl } from './control.ts';
import { execute } from './execute.ts';
import { setFinalizer } from './finalizer.ts';
import type { Inventory } from '../runtime/inventory.ts';
import { isFailedLook, lookOf } from './looks.ts';
import { observe, type StorageCluster, type StoreResource, type Times } from './observe.ts';
import type { ServerPasswords } from './server-passwords.ts';
import { clusterStatus, storeStatus, type Stamp } from './report.ts';
import { isSame } from './status-text.ts';
import { isRemoved, stepsOf } from './steps.ts';

const LONGEST_PAUSE_MS = 30_000;

export const FINALIZER = 'pureflash.io/protection';

export interface ClusterPorts {
  readonly world: Pick<World, 'http' | 'clock' | 'random' | 'log' | 'sha256'>;
  readonly client: KubeClient;
  readonly inventory: Inventory;
  readonly tokens: ApiTokens;
  readonly passwords: ServerPasswords;
  /** Name of the ClusterRole for CSI controllers. */
  readonly csiRole: string;
  /** Loop devices count as devices of a host. */
  readonly looksAtLoops: boolean;
  times(): Times & { readonly now: string };
  /** Tells people: an event on the cluster. */
  tell(cluster: StorageCluster, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

export class ClusterReconciler {
  readonly #ports: ClusterPorts;
  /** By key: how long the last pause was. */
  readonly #pauses = new Map<string, number>();

  constructor(ports: ClusterPorts) {
    this.#ports = ports;
  }

  readonly #hash = (text: string): string => this.#ports.world.sha256(new TextEncoder().encode(text));

  /** `key`: "namespace/name". */
  readonly reconcile = async (key: string, signal: AbortSignal): Promise<Outcome> => {
    const { client, inventory } = this.#ports;
    const [namespace, name] = key.split('/') as [string, string];
    const found = inventory.get({ apiVersion: API_VERSION, kind: 'StorageCluster', namespace, name });
    if (found === null) {
      this.#pauses.delete(key);
      return {};
    }
    const cluster = complete(found as StorageCluster);
    const frame = { name, namespace, uid: cluster.metadata.uid ?? '', spec: cluster.spec, hash: this.#hash };
    const isHeld = cluster.metadata.finalizers?.includes(FINALIZER) === true;
    if (cluster.metadata.deletionTimestamp === undefined && !isHeld) await setFinalizer(client, cluster, FINALIZER, true, signal);
    const view = await this.#observe(cluster, frame, signal);
    const plan = planCluster(view, this.#hash);
    // Pods cannot start without it.
    if (plan.action === 'run') await this.#makeSecrets(frame, plan, signal);
    const times = this.#ports.times();
    const looks = inventory.list('v1', 'Pod', namespace, selectorOf(frame, 'discovery'));
    const options = {
      hasServiceMonitors: await client.hasKind('monitoring.coreos.com/v1', 'ServiceMonitor'),
      failedLooks: looks.filter((pod) => isFailedLook(pod, times)),
      csiRole: this.#ports.csiRole,
      looksAtLoops: this.#ports.looksAtLoops,
    };
    // What failed is told after the report, which people need most when something fails.
    // Removal is noted down before it begins: once conductors are gone, nobody could say again that it is allowed.
    const isNoted = plan.action !== 'remove' || view.isRemoving;
    const steps = isNoted ? stepsOf(frame, plan, inventory, options) : [];
    const executed = execute(client, steps, signal);
    await executed.catch(() => signal.throwIfAborted());
    const stamp = { generation: cluster.metadata.generation ?? 0, now: times.now };
    const hasReported = await this.#report(cluster, frame, view, plan, looks, stamp, signal);
    await executed;
    if (plan.action === 'remove' && isHeld && isRemoved(frame, inventory)) {
      await setFinalizer(client, cluster, FINALIZER, false, signal);
      this.#ports.tokens.forget(frame.uid);
      this.#ports.passwords.forget(frame.uid);
    }
    if (!isNoted) return { requeueAfterMs: 0 };
    return { requeueAfterMs: this.#pauseAfter(key, plan.lookAgainMs, steps.length > 0 || hasReported) };
  };

  async #makeSecrets(frame: ClusterFrame, plan: ClusterPlan, signal: AbortSignal): Promise<void> {
    const { tokens, passwords } = this.#ports;
    await tokens.ensure(frame, signal);
    if (plan.servers.some(({ group }) => group.kind === 'mariadb')) await passwords.ensure(frame, signal);
  }

  /** What only conductors know is asked for again: soon after something has changed, ever more seldom while nothing does. */
  #pauseAfter(key: string, soonMs: number, hasChanged: boolean): number {
    const pauseMs = hasChanged ? soonMs : Math.min(LONGEST_PAUSE_MS, Math.max(soonMs, 2 * (this.#pauses.get(key) ?? 0)));
    this.#pauses.set(key, pauseMs);
    return pauseMs;
  }

  /** The conductors are asked where the plan would have them. */
  async #observe(cluster: StorageCluster, frame: ClusterFrame, signal: AbortSignal): Promise<ClusterView> {
    const { world, inventory, tokens } = this.#ports;
    const times = this.#ports.times();
    const without = observe(cluster, frame, inventory, null, times);
    const running = placeConductors(without).instances.filter((each) => without.conductors.has(each.ordinal));
    const control = await readControl(
      world,
      running.map((each) => formatHostPort(each.address, each.port)),
      await tokens.get(frame, signal),
    );
    return observe(cluster, frame, inventory, control, times);
  }

  async #report(
    cluster: StorageCluster,
    frame: ClusterFrame,
    view: ClusterView,
    plan: ClusterPlan,
    looks: readonly KubeObject[],
    stamp: Stamp,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { client, inventory } = this.#ports;
    const after = clusterStatus(cluster.status, view, plan, stamp);
    let hasChanged = !isSame(cluster.status, after);
    if (hasChanged) await client.applyStatus({ ...bare(cluster), status: after }, { signal });
    this.#tellChanges(cluster, plan);
    const stores = inventory.list(API_VERSION, 'Store', frame.namespace, { [CLUSTER_LABEL]: frame.name });
    for (const store of stores as readonly StoreResource[]) {
      const { nodeName } = store.spec;
      const instance = plan.stores.find((each) => each.instance.node === nodeName)?.instance ?? null;
      const look = looks.map((pod) => lookOf(pod)).find((each) => each?.node === nodeName) ?? null;
      const status = storeStatus(store.status, view, instance, look, { ...stamp, generation: store.metadata.generation ?? 0 });
      if (isSame(store.status, status)) continue;
      hasChanged = true;
      await client.applyStatus({ ...bare(store), status }, { signal });
    }
    return hasChanged;
  }

  /** An event for each condition whose reason has changed. */
  #tellChanges(cluster: StorageCluster, plan: ClusterPlan): void {
    for (const condition of plan.conditions) {
      const before = cluster.status?.conditions?.find((each) => each.type === condition.type);
      if (before?.reason === condition.reason && before.status === condition.status) continue;
      if (before === undefined && condition.status === 'True') continue;
      const isGood = condition.status === 'True';
      this.#ports.tell(cluster, isGood ? 'Normal' : 'Warning', `${condition.type}${condition.reason}`, condition.message);
    }
  }
}

/** Defaults are in what the API server stored, but not those of a version of the CRD that came later. */
function complete(cluster: StorageCluster): StorageCluster {
  const { value } = check(STORAGE_CLUSTER.spec, cluster.spec as unknown as JsonObject, 'spec');
  return { ...cluster, spec: value as unknown as StorageClusterSpec };
}

const bare = ({ apiVersion, kind, metadata }: KubeObject): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name: metadata.name, namespace: metadata.namespace! },
});
