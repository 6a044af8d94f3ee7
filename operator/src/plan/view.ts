// What is: everything that a plan may look at, the same for every platform. Plain data; tests write it down by hand.
import type { DeviceReport } from '../api/v1alpha1/store.ts';
import type { StorageClusterSpec } from '../api/v1alpha1/storage-cluster.ts';

export interface NodeView {
  readonly name: string;
  /** Where other nodes reach it. */
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly isReady: boolean;
  /** False while it is cordoned. */
  readonly isSchedulable: boolean;
}

/** A daemon's workload, as the platform has it. */
export interface WorkloadView {
  /** Of the instance that it was last made from: plan/revision.ts. */
  readonly revision: string;
  readonly image: string;
  /** Its process runs with that revision and is ready. */
  readonly isReady: boolean;
  /** False while an older process of it still runs, or none. */
  readonly isCurrent: boolean;
}

/** Managed servers of one kind, as the platform has them. */
export interface ServersView {
  /** By ordinal: the node that holds that server's data, for ever; null: none does. Volumes of a storage class are on no node. */
  readonly nodes: readonly (string | null)[];
  /** By ordinal. */
  readonly members: ReadonlyMap<number, WorkloadView>;
  /** They have been one cluster before: never again may one of them found another. */
  readonly wasFounded: boolean;
}

/** One process on each of some nodes. */
export interface NodeSetView {
  /** Null: the platform has not counted its nodes yet. */
  readonly wantedCount: number | null;
  readonly pods: readonly { readonly node: string; readonly revision: string; readonly isReady: boolean }[];
}

export interface CsiView {
  /** "namespace/name" of the StorageCluster that has the driver; '' for somebody that is none; null: nobody has it. */
  readonly holder: string | null;
  /** Wanted storage classes whose names are taken by others'. */
  readonly takenClasses: readonly string[];
  /** Null: not made. */
  readonly datapath: NodeSetView | null;
  readonly node: NodeSetView | null;
  readonly controller: { readonly ready: number } | null;
}

/** What was found on a node's disks. */
export interface Discovery {
  readonly devices: readonly DeviceReport[];
  /** Hash of the selection that it was made for: another one asks for a new look. */
  readonly selection: string;
}

export interface StoreView {
  readonly id: number;
  readonly uuid: string;
  /** The failure domain that it registered with. */
  readonly domain: string;
  readonly dataAddress: string;
  /** By which it is told from the others: this one is always the node's own. */
  readonly managementAddress: string;
  readonly isOnline: boolean;
  readonly version: string;
  readonly disks: readonly {
    readonly uuid: string;
    readonly device: string;
    readonly isHealthy: boolean;
    readonly capacity: number;
    readonly free: number;
  }[];
}

/**
 * The store that conductors know at this management address. A disk that was replaced, or a node that took over another's address, leaves
 * an older one behind, which nobody hears any more.
 */
export function storeAt(control: ControlView | null, managementAddress: string): StoreView | null {
  const there = (control?.stores ?? []).filter((store) => store.managementAddress === managementAddress);
  return there.find((store) => store.isOnline) ?? there.toSorted((a, b) => b.id - a.id)[0] ?? null;
}

/** What the conductors say. */
export interface ControlView {
  readonly clusterUuid: string;
  readonly version: string;
  readonly stores: readonly StoreView[];
  readonly volumeCount: number;
  /** How many of them a client has attached. */
  readonly attachedCount: number;
  /** Names of volumes that miss a replica, a few of them, and how many there are. */
  readonly degraded: readonly string[];
  readonly degradedCount: number;
}

export interface ClusterView {
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly name: string;
  readonly namespace: string;
  readonly spec: StorageClusterSpec;
  /** End of spec.maintenance, milliseconds since 1970; null when there is none. */
  readonly maintenanceEndMs: number | null;
  readonly isDeleting: boolean;
  /** Its removal was allowed before, and may have begun: conductors may be gone already. */
  readonly isRemoving: boolean;
  /** It has been up before: its conductors have made a cluster. */
  readonly wasMade: boolean;
  readonly nodes: readonly NodeView[];
  /** By node; absent: not looked at yet. */
  readonly discovery: ReadonlyMap<string, Discovery>;
  /** By node: the store that ever ran there. */
  readonly storeUuids: ReadonlyMap<string, string>;
  /** By ordinal: the node that holds that conductor's state, for ever; null: none does. */
  readonly conductorNodes: readonly (string | null)[];
  /** Nodes that have had a store. */
  readonly storeNodes: readonly string[];
  /** By ordinal. */
  readonly conductors: ReadonlyMap<number, WorkloadView>;
  /** By node. */
  readonly stores: ReadonlyMap<string, WorkloadView>;
  readonly zookeeper: ServersView;
  readonly mariadb: ServersView;
  /** Null: the platform has no CSI. */
  readonly csi: CsiView | null;
  /** Null: no conductor answers. */
  readonly control: ControlView | null;
}

export const NO_SERVERS: ServersView = { nodes: [], members: new Map(), wasFounded: false };

export const NO_CSI: CsiView = { holder: null, takenClasses: [], datapath: null, node: null, controller: null };
