// What shall be: the instances of daemons and what is around them. Platforms execute it; nothing in it is of Kubernetes.

export interface ConductorInstance {
  readonly ordinal: number;
  readonly node: string;
  readonly address: string;
  readonly port: number;
  readonly dataPath: string;
  readonly image: string;
  readonly clusterName: string;
}

export interface DiskChoice {
  readonly path: string;
  /** Of a file, which is made when it is missing; null for devices. */
  readonly sizeBytes: number | null;
}

export interface StoreInstance {
  readonly node: string;
  readonly address: string;
  readonly dataPort: number;
  readonly managementPort: number;
  readonly failureDomain: string;
  readonly disks: readonly DiskChoice[];
  /** Paths of disks that hold data and may be erased now. */
  readonly erase: readonly string[];
  readonly servesLegacyClients: boolean;
  readonly conductors: readonly string[];
  readonly image: string;
  /** Networks in which the store finds addresses of its node: for clients, and for other stores. Missing: `address`. */
  readonly clientNetwork?: string;
  readonly replicationNetwork?: string;
}

export type ServerKind = 'zookeeper' | 'mariadb';

export interface ServerMember {
  readonly ordinal: number;
  /** Where its data lies; null: in a volume of a storage class. */
  readonly place: { readonly node: string; readonly dataPath: string } | null;
}

/** Servers of one kind that the platform runs for the external engine. */
export interface ServerGroup {
  readonly kind: ServerKind;
  readonly image: string;
  /** As many as are wanted; those that no node could be found for are missing in `members`. */
  readonly count: number;
  readonly members: readonly ServerMember[];
  /** Null: folders on nodes. */
  readonly storageClassName: string | null;
}

export interface WantedServers {
  readonly group: ServerGroup;
  readonly revision: string;
  /** False: what runs stays as it is. */
  readonly mayChange: boolean;
  /** The first one may found a cluster, because there has never been one. */
  readonly mayFound: boolean;
  /** "host/bits" of those who may connect, beside the servers themselves; null: nobody is kept from it. */
  readonly clients: readonly string[] | null;
}

/** What a node's pfnbd has to be restarted for, which is done by hand. */
export interface DatapathInstance {
  readonly image: string;
  readonly conductors: readonly string[];
  readonly mapper: 'auto' | 'nbd' | 'ublk' | 'fuse';
  readonly resources: object | null;
}

export interface CsiImages {
  readonly driver: string;
  readonly provisioner: string;
  readonly attacher: string;
  readonly resizer: string;
}

/** The way from claims to volumes. */
export interface WantedCsi {
  readonly datapath: DatapathInstance;
  readonly revision: string;
  readonly images: CsiImages;
  /** The driver's name is this cluster's. Until then nothing else of it is made. */
  readonly isHolder: boolean;
  /** False: what runs stays as it is. */
  readonly mayChange: boolean;
}

/** What daemons take over while they run. */
export interface LiveSettings {
  readonly conductorLogLevel: string;
  readonly storeLogLevel: string;
  readonly recoveryParallel: number;
}

export interface Wanted<Instance> {
  readonly instance: Instance;
  readonly revision: string;
  /** False: what runs stays as it is; its turn has not come. */
  readonly mayChange: boolean;
}

/** How many stores may be taken away at a time: all of them, or those of one failure domain. */
export interface Budget {
  /** Null: all domains. */
  readonly domain: string | null;
  readonly maxUnavailable: 0 | 1;
}

export type ConditionStatus = 'True' | 'False' | 'Unknown';

export interface PlannedCondition {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: string;
  readonly message: string;
}

export type Phase = 'Pending' | 'Starting' | 'Ready' | 'Degraded' | 'Upgrading' | 'Maintenance' | 'Deleting' | 'Refused';

export interface ClusterPlan {
  /** 'keep': as it is (refused, or deletion refused); 'run'; 'remove': take every workload away, then let the resource go. */
  readonly action: 'keep' | 'run' | 'remove';
  readonly phase: Phase;
  readonly conductors: readonly Wanted<ConductorInstance>[];
  readonly stores: readonly Wanted<StoreInstance>[];
  /** Managed servers of the external engine. */
  readonly servers: readonly WantedServers[];
  /** Null: nothing of it is to be there. */
  readonly csi: WantedCsi | null;
  readonly endpoints: readonly string[];
  readonly settings: LiveSettings;
  readonly budgets: readonly Budget[];
  /** Nodes whose devices have to be looked at, for this selection. */
  readonly discover: readonly { readonly node: string; readonly selection: string }[];
  readonly conditions: readonly PlannedCondition[];
  readonly counts: {
    readonly conductorsReady: number;
    readonly storesReady: number;
    readonly storesWanted: number;
    readonly storesUpgraded: number;
  };
  /** Look again after so long although nothing happened. */
  readonly lookAgainMs: number;
}
