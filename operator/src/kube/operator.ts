// The operator on Kubernetes: caches, election, controllers, put together. Started by bin/operator.ts and by tests.
import type { World } from '@pureflash/datapath/world';
import { API_VERSION, GROUP } from '../api/crd.ts';
import type { KubeObject } from '../api/objects.ts';
import { ApiTokens } from '../cluster/api-tokens.ts';
import { ClusterReconciler } from '../cluster/reconciler.ts';
import { ServerPasswords } from '../cluster/server-passwords.ts';
import { CLUSTER_LABEL, NAMESPACE_LABEL } from '../manifests/builders.ts';
import { Controller, keyOfRef } from '../runtime/controller.ts';
import { DEFAULT_ELECTION_TIMES, LeaderElection, type ElectionTimes } from '../runtime/leader-election.ts';
import { EventRecorder } from '../runtime/events.ts';
import type { VolumeFeed } from '../volume/feed.ts';
import { fencedClient } from './fenced-client.ts';
import { KubeInventory } from './inventory.ts';
import { KubeLeaseStore } from './lease-store.ts';
import { openKube, type KubeWorld } from './kube-world.ts';
import { timesOf } from './times.ts';
import { volumeController } from './volume-controller.ts';

export interface OperatorOptions {
  readonly kubeconfig?: string;
  /** The only namespace that is looked at; null: all. */
  readonly namespace: string | null;
  /** Of the Lease. */
  readonly leaseNamespace?: string;
  /** How long a leader that has died keeps the others waiting. */
  readonly leaseMs?: number;
  /** Name of the ClusterRole for CSI controllers. */
  readonly csiRole?: string;
  /** Loop devices count as devices of a host. */
  readonly looksAtLoops?: boolean;
}

const LEASE = 'pureflash-operator';
export const CSI_ROLE = 'pureflash-csi';

/** The other times keep their ratio to the duration. */
function electionTimes(leaseMs: number): ElectionTimes {
  const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = DEFAULT_ELECTION_TIMES;
  const scale = leaseMs / leaseDurationMs;
  return { leaseDurationMs: leaseMs, renewDeadlineMs: renewDeadlineMs * scale, retryPeriodMs: retryPeriodMs * scale };
}

/**
 * Leads, or waits to, until `ending` is aborted. Leadership that is lost (an outage of the API server of ten seconds costs it) is stood
 * for anew, with fresh caches and a new identity: no process has to end for it. Errors: those of finding the API server.
 */
export async function runOperator(world: World, options: OperatorOptions, ending: AbortSignal): Promise<void> {
  while (!ending.aborted) {
    const operator = await KubeOperator.start(world, options);
    await Promise.race([aborted(operator.lost), aborted(ending)]);
    await operator.close();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

export class KubeOperator {
  readonly #world: World;
  readonly #kube: KubeWorld;
  readonly #inventory: KubeInventory;
  readonly #election: LeaderElection;
  readonly #csiRole: string;
  readonly #looksAtLoops: boolean;
  readonly #namespace: string | null;
  readonly #controllers: Controller[] = [];
  #events: EventRecorder | null = null;
  #feed: VolumeFeed | null = null;

  /** Looks and waits for its turn; works from `elected` on. Errors: those of finding and reaching the API server. */
  static async start(world: World, options: OperatorOptions): Promise<KubeOperator> {
    const kube = await openKube(world, options.kubeconfig === undefined ? {} : { kubeconfig: options.kubeconfig });
    return new KubeOperator(world, kube, options);
  }

  private constructor(world: World, kube: KubeWorld, options: OperatorOptions) {
    this.#world = world;
    this.#kube = kube;
    this.#csiRole = options.csiRole ?? CSI_ROLE;
    this.#looksAtLoops = options.looksAtLoops === true;
    this.#namespace = options.namespace;
    this.#inventory = new KubeInventory(kube, options.namespace);
    const leases = new KubeLeaseStore(kube.client, options.leaseNamespace ?? kube.namespace, LEASE);
    this.#election = new LeaderElection(
      world,
      leases,
      kube.identity,
      electionTimes(options.leaseMs ?? DEFAULT_ELECTION_TIMES.leaseDurationMs),
    );
    this.#election.elected.then(
      () => this.#lead(),
      () => undefined,
    );
  }

  get elected(): Promise<void> {
    return this.#election.elected;
  }

  /** Aborted when another may lead: this one is over. */
  get lost(): AbortSignal {
    return this.#election.signal;
  }

  /** Lets reconciles end, frees the Lease. */
  async close(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.close()));
    this.#feed?.close();
    this.#events?.close();
    await this.#election.release();
    await this.#kube.close();
  }

  #lead(): void {
    const { log } = this.#world;
    const client = fencedClient(this.#kube.client, this.#election);
    const events = new EventRecorder(client, this.#world, { controller: `${GROUP}/operator`, instance: this.#kube.identity });
    this.#events = events;
    const tokens = new ApiTokens(this.#world, client);
    const clusters = new ClusterReconciler({
      world: this.#world,
      client,
      tokens,
      passwords: new ServerPasswords(this.#world, client),
      inventory: this.#inventory,
      csiRole: this.#csiRole,
      looksAtLoops: this.#looksAtLoops,
      times: () => timesOf(this.#world),
      tell: (cluster, type, reason, note) => {
        log.info(note, { cluster: keyOfRef(refOf(cluster)), type, reason });
        events.record(cluster, { type, reason, action: 'Reconcile', note });
      },
    });
    const controller = new Controller(this.#world, { name: 'StorageCluster', reconcile: clusters.reconcile });
    controller.watch(this.#inventory.of(API_VERSION, 'StorageCluster'));
    for (const [apiVersion, kind] of OWNED)
      controller.watch(this.#inventory.of(apiVersion, kind), (_ref, object, before) => keysOf(object ?? before));
    // A node concerns every cluster.
    controller.watch(this.#inventory.of('v1', 'Node'), () =>
      [...this.#inventory.of(API_VERSION, 'StorageCluster').values()].map((each) => keyOfRef(refOf(each))),
    );
    const namespace = this.#namespace;
    const volumes = volumeController({ world: this.#world, client, inventory: this.#inventory, tokens, events, namespace });
    this.#feed = volumes.feed;
    this.#controllers.push(controller, volumes.controller);
    for (const each of this.#controllers) each.start(this.#election.signal);
    log.info('this operator leads');
  }
}

const OWNED = [
  [API_VERSION, 'Store'],
  ['v1', 'Pod'],
  ['v1', 'ConfigMap'],
  ['v1', 'Service'],
  ['apps/v1', 'StatefulSet'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'Deployment'],
  ['v1', 'ServiceAccount'],
  ['rbac.authorization.k8s.io/v1', 'RoleBinding'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
  ['storage.k8s.io/v1', 'StorageClass'],
  ['storage.k8s.io/v1', 'CSIDriver'],
  ['policy/v1', 'PodDisruptionBudget'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
] as const;

/** The cluster that an object of ours belongs to: its label says so. */
function keysOf(object: KubeObject | null): string[] {
  const labels = object?.metadata.labels;
  const cluster = labels?.[CLUSTER_LABEL] ?? labels?.['app.kubernetes.io/instance'];
  const namespace = object?.metadata.namespace ?? labels?.[NAMESPACE_LABEL];
  return cluster === undefined || namespace === undefined ? [] : [`${namespace}/${cluster}`];
}

const refOf = ({ metadata }: KubeObject) => ({
  name: metadata.name,
  ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
});
