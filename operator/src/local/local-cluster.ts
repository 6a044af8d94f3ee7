// A StorageCluster on this machine: round by round observe, plan, execute, report, as the operator does it on Kubernetes and with the same
// plan. Called by `pureflash up`, which holds the data folder while this lives.
// Crash windows: the state is on disk before anything of it is executed, so who dies in between leaves what the next round makes whole.
import { ConductorClient } from '@pureflash/datapath/api';
import { canonicalJson, PfError, type Json } from '@pureflash/datapath/base';
import type { Notice, ServiceResult } from '@pureflash/datapath/daemon';
import type { World } from '@pureflash/datapath/world';
import type { StorageClusterSpec } from '../api/v1alpha1/storage-cluster.ts';
import { readControl } from '../cluster/control.ts';
import type { ClusterPlan, ConductorInstance, StoreInstance, Wanted } from '../plan/cluster-plan.ts';
import { planCluster } from '../plan/plan-cluster.ts';
import { NO_SERVERS, type ClusterView, type ControlView, type NodeView, type WorkloadView } from '../plan/view.ts';
import { exportSocket, simulatedHosts, type DataFolder } from './host-paths.ts';
import { conductorName, frontName, storeName } from './instances.ts';
import type { InstanceReport, LocalFront, LocalInstances, LogLevel } from './instances.ts';
import { LocalPlatform } from './local-platform.ts';
import { readState, writeState, type Applied, type LocalState } from './local-state.ts';

export interface LocalClusterOptions {
  readonly data: DataFolder;
  readonly programs: string;
  /** Milliseconds since 1970 of "2026-01-31T12:00:00Z". */
  readonly parseTime: (text: string) => number;
  readonly onNotice?: (report: InstanceReport, notice: Notice) => void;
  /** Before the plan is executed. */
  readonly onPlan?: (plan: ClusterPlan) => void;
}

/** What the user wants, as of now. */
export interface LocalWish {
  readonly name: string;
  readonly spec: StorageClusterSpec;
  readonly hosts: number;
  readonly subnet: string;
  /** Volumes to be served over NBD, as soon as they exist. */
  readonly served: readonly string[];
}

export interface Round {
  readonly plan: ClusterPlan;
  readonly results: readonly ServiceResult[];
  /** Volumes that shall be served and do not exist yet. */
  readonly awaited: readonly string[];
}

const ASK_MS = 2000;

export class LocalCluster {
  readonly #world: World;
  readonly #options: LocalClusterOptions;
  readonly #data: DataFolder;
  readonly #platform: LocalPlatform;
  #state: LocalState | null;

  private constructor(world: World, options: LocalClusterOptions, platform: LocalPlatform, state: LocalState | null) {
    this.#world = world;
    this.#options = options;
    this.#data = options.data;
    this.#platform = platform;
    this.#state = state;
  }

  /** Errors: INVALID_STATE when somebody else has the data folder; CORRUPT. */
  static async open(world: World, options: LocalClusterOptions): Promise<LocalCluster> {
    const platform = await LocalPlatform.open(world, options);
    try {
      return new LocalCluster(world, options, platform, await readState(world, options.data.stateFile));
    } catch (error) {
      await platform.close();
      throw error;
    }
  }

  /** Null: it has never been up. */
  get state(): LocalState | null {
    return this.#state;
  }

  reports(): readonly InstanceReport[] {
    return this.#platform.reports();
  }

  /** Nothing is touched when the plan refuses (`plan.action` is "keep"). Errors: UNSUPPORTED, those of the disk; the signal's reason. */
  async round(wish: LocalWish, signal?: AbortSignal): Promise<Round> {
    const control = await readControl(this.#world, this.#endpoints());
    const plan = this.#plan(wish, control);
    // Before the first round of a supervisor nobody has looked at what an earlier one has left.
    if (this.#state === null || this.#platform.reports().length > 0) this.#options.onPlan?.(plan);
    if (plan.action !== 'run') return { plan, results: [], awaited: [] };
    const conductors = merged(plan.conductors, this.#state?.conductors ?? [], (each) => each.ordinal);
    const stores = merged(plan.stores, this.#state?.stores ?? [], (each) => each.node);
    const wasMade = this.#state?.wasMade === true || control !== null;
    await this.#keep({ version: 1, ...wish, wasMade, conductors, stores });
    const served = await this.#servable(wish.served, control);
    const results = await this.#platform.apply(instancesOf(plan, conductors, stores, this.#frontsOf(served, plan)), signal);
    return { plan, results, awaited: wish.served.filter((volume) => !served.includes(volume)) };
  }

  /** Stops every daemon: fronts, stores, conductors. */
  stop(): Promise<readonly ServiceResult[]> {
    return this.#platform.stop();
  }

  /** The daemons run on. */
  close(): Promise<void> {
    return this.#platform.close();
  }

  #endpoints(): readonly string[] {
    return (this.#state?.conductors ?? []).map(({ instance }) => `${instance.address}:${instance.port}`);
  }

  #plan(wish: LocalWish, control: ControlView | null): ClusterPlan {
    if (wish.spec.metadataEngine === 'external')
      throw new PfError(
        'UNSUPPORTED',
        'cannot run ZooKeeper and MariaDB on this machine: a local cluster keeps its state in its conductors; say metadataEngine: embedded and leave zookeeper and mariadb out',
      );
    const { client, replication } = wish.spec.networks;
    if (client !== undefined || replication !== undefined)
      throw new PfError(
        'UNSUPPORTED',
        'cannot give simulated hosts networks for clients and stores: all of them are on the loopback interface of this machine; leave spec.networks out',
      );
    const hash = (text: string): string => this.#world.sha256(new TextEncoder().encode(text));
    const plan = planCluster(this.#view(wish, control), hash);
    if (plan.discover.length === 0) return plan;
    const nodes = plan.discover.map(({ node }) => node).join(', ');
    throw new PfError('UNSUPPORTED', `cannot choose devices on ${nodes}: simulated hosts have none; give stores.devices.files`);
  }

  #view(wish: LocalWish, control: ControlView | null): ClusterView {
    const { spec, name } = wish;
    const conductors = this.#state?.conductors ?? [];
    const stores = this.#state?.stores ?? [];
    const reports = new Map(this.#platform.reports().map((report) => [report.name, report]));
    const until = spec.maintenance?.until;
    return {
      nowMs: this.#world.clock.wallTimeMs(),
      name,
      namespace: 'local',
      spec,
      maintenanceEndMs: until === undefined ? null : this.#options.parseTime(until),
      isDeleting: false,
      isRemoving: false,
      wasMade: this.#state?.wasMade ?? false,
      nodes: simulatedHosts(wish.hosts, wish.subnet).map((host) => nodeOf(host, spec)),
      discovery: new Map(),
      storeUuids: new Map(),
      conductorNodes: conductors.map(({ instance }) => instance.node),
      storeNodes: stores.map(({ instance }) => instance.node),
      conductors: new Map(
        conductors.map((each) => [each.instance.ordinal, workload(each, reports.get(conductorName(each.instance.ordinal)))]),
      ),
      stores: new Map(stores.map((each) => [each.instance.node, workload(each, reports.get(storeName(each.instance.node)))])),
      zookeeper: NO_SERVERS,
      mariadb: NO_SERVERS,
      csi: null,
      control,
    };
  }

  /** A front of a volume that does not exist would only end again and again. */
  async #servable(served: readonly string[], control: ControlView | null): Promise<readonly string[]> {
    const known = await this.#platform.known();
    const isRunning = (volume: string): boolean => known.has(frontName(volume));
    if (control === null || served.every(isRunning)) return served.filter(isRunning);
    const client = new ConductorClient(this.#world, this.#endpoints());
    const volumes = await client.listVolume({ deadlineMs: ASK_MS }).catch(() => []); // The next round asks again.
    return served.filter((volume) => isRunning(volume) || volumes.some((each) => each.name === volume));
  }

  #frontsOf(volumes: readonly string[], { endpoints }: ClusterPlan): readonly LocalFront[] {
    return volumes.map((volume) => ({ volume, socketPath: exportSocket(this.#data, volume), conductors: endpoints }));
  }

  async #keep(state: LocalState): Promise<void> {
    if (this.#state !== null && canonicalJson(this.#state as unknown as Json) === canonicalJson(state as unknown as Json)) return;
    await writeState(this.#world, this.#data.stateFile, state);
    this.#state = state;
  }
}

function instancesOf(
  { settings }: ClusterPlan,
  conductors: readonly Applied<ConductorInstance>[],
  stores: readonly Applied<StoreInstance>[],
  fronts: readonly LocalFront[],
): LocalInstances {
  const { recoveryParallel } = settings;
  return {
    conductors: conductors.map(({ instance }) => ({ ...instance, logLevel: settings.conductorLogLevel as LogLevel })),
    stores: stores.map(({ instance }) => ({ ...instance, logLevel: settings.storeLogLevel as LogLevel, recoveryParallel })),
    fronts,
  };
}

/** A simulated host has every label that the spec asks for; but it is only itself. */
function nodeOf({ name, address }: { readonly name: string; readonly address: string }, spec: StorageClusterSpec): NodeView {
  const labels = {
    [spec.placement.failureDomain]: name,
    ...spec.conductors.nodeSelector,
    ...spec.stores.nodeSelector,
    'kubernetes.io/hostname': name,
  };
  return { name, address, labels, isReady: true, isSchedulable: true };
}

/**
 * What runs next: the new instance where it may change now, else the one that was applied last. What the plan does not speak of stays as it
 * is: its data is still wanted.
 */
function merged<Instance>(
  wanted: readonly Wanted<Instance>[],
  applied: readonly Applied<Instance>[],
  keyOf: (instance: Instance) => number | string,
): readonly Applied<Instance>[] {
  const planned = new Set(wanted.map(({ instance }) => keyOf(instance)));
  const next = wanted.flatMap(({ instance, revision, mayChange }) => {
    const before = applied.find((each) => keyOf(each.instance) === keyOf(instance));
    if (mayChange) return [{ instance, revision }];
    return before === undefined ? [] : [before];
  });
  return [...next, ...applied.filter(({ instance }) => !planned.has(keyOf(instance)))];
}

function workload<Instance extends { readonly image: string }>(
  applied: Applied<Instance>,
  report: InstanceReport | undefined,
): WorkloadView {
  const { revision, instance } = applied;
  const isReady = report?.isOnline === true;
  return { revision, image: instance.image, isReady, isCurrent: isReady && report.isCurrent };
}
