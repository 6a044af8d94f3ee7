// The control plane's nouns as plain JSON, between conductor, stores, clients and CLI. Field names are PureFlash's
// where it has the noun (snake_case, as on its HTTP interface); docs/internals/replication.md says what they mean.

export const CONDUCTOR_HTTP_PORT = 49180;
export const STORE_HTTP_PORT = 49181;

export type ReplicaStatus = 'IN_SYNC' | 'RECOVERING' | 'OUT_OF_SYNC';
/** OK: all replicas in sync. DEGRADED: served with fewer. ERROR: no live in-sync replica, not served. */
export type HealthStatus = 'OK' | 'DEGRADED' | 'ERROR';
export type StoreStatus = 'OK' | 'OFFLINE';

export interface ReplicaConfig {
  /** volume id + shard index * 16 + replica index */
  readonly id: number;
  readonly index: number;
  readonly store_id: number;
  readonly disk_uuid: string;
  readonly status: ReplicaStatus;
  /** Where the store serves data, as it last reported it, "host:port": a client is told the door for clients, a store the one for stores. */
  readonly address: string;
  /** Management address: "host:port". */
  readonly http_address: string;
}

export interface ShardConfig {
  readonly index: number;
  readonly meta_ver: number;
  /** Index into `replicas` by replica index. */
  readonly primary_rep_index: number;
  readonly status: HealthStatus;
  readonly replicas: readonly ReplicaConfig[];
}

/** What a store is told (prepare_volume) and a client gets (open_volume). */
export interface VolumeConfig {
  readonly volume_name: string;
  readonly volume_id: number;
  /** Bytes, multiple of 4096. */
  readonly volume_size: number;
  readonly shard_size: number;
  readonly rep_count: number;
  readonly attach_epoch: number;
  /** Secret that data-plane requests carry: 53 bits. */
  readonly token: number;
  readonly status: HealthStatus;
  readonly shards: readonly ShardConfig[];
}

/** What an opening is answered. */
export interface OpenedVolumeConfig extends VolumeConfig {
  /** The epoch that this opening of a shared attachment has raised: it is named by it from now on. Null where one writes alone, or reads. */
  readonly opening: number | null;
}

/** prepare_volume's body: for a store only the shards that have a replica on it. Also carries the cluster's replication token. */
export interface PrepareVolumeRequest {
  readonly op: 'prepare_volume';
  readonly volume: VolumeConfig;
  readonly cluster_token: number;
  /** The store this is meant for: refused by any other. */
  readonly store_id: number;
}

export interface PrepareVolumeReply {
  readonly op: 'prepare_volume_reply';
  readonly ret_code: number;
  readonly reason?: string;
  /** Shards whose configuration the store now holds (a promise to an old primary may delay one). */
  readonly accepted: readonly { readonly index: number; readonly meta_ver: number }[];
  /** The epoch the store now holds for the volume. */
  readonly attach_epoch: number;
}

export interface DiskReport {
  readonly uuid: string;
  readonly device: string;
  readonly status: 'OK' | 'ERROR';
  readonly raw_capacity: number;
  readonly free: number;
  readonly object_size: number;
}

/** POST /s5c/?op=heartbeat */
export interface HeartbeatRequest {
  readonly op: 'heartbeat';
  /** Counts what this process has told: a report that arrives after a later one says nothing any more. 0: an older store, which does not count. */
  readonly report: number;
  readonly store_uuid: string;
  readonly incarnation: string;
  /** Failure domain: replicas of a shard never share one unless the cluster allows it. */
  readonly host: string;
  /** "host:port" that clients reach, and other stores too where there is no replication address. */
  readonly data_address: string;
  /** "host:port" that other stores reach, where they have a network of their own. */
  readonly replication_address: string | null;
  readonly http_address: string;
  readonly disks: readonly DiskReport[];
  readonly version: string;
}

export interface HeartbeatReply {
  readonly op: 'heartbeat_reply';
  readonly ret_code: number;
  readonly reason?: string;
  readonly store_id: number;
  readonly cluster_token: number;
  /** A store serves one cluster for life: it refuses another UUID than the one it first saw. */
  readonly cluster_uuid?: string;
}

/** POST /s5c/?op=handle_error: a primary takes a secondary out. */
export interface HandleErrorRequest {
  readonly op: 'handle_error';
  /** The reporting store. */
  readonly store_id: number;
  readonly incarnation: string;
  /** The replica that failed. */
  readonly rep_id: number;
  /** The shard's meta version under which it failed; another one now held => ret_code INVALID_STATE and the current configuration. */
  readonly meta_ver: number;
  /** Wire status that tells why. */
  readonly sc: number;
}

export interface HandleErrorReply {
  readonly op: 'handle_error_reply';
  readonly ret_code: number;
  readonly reason?: string;
  /** The configuration as it is now. */
  readonly volume: VolumeConfig | null;
}

/** POST /s5c/?op=get_volumes: those of these names that there are, as list_volume answers them. For who asks again and again. */
export interface GetVolumesRequest {
  readonly op: 'get_volumes';
  readonly names: readonly string[];
}

/** POST /s5c/?op=recovery_done: the primary says that a RECOVERING replica holds everything. */
export interface RecoveryDoneRequest {
  readonly op: 'recovery_done';
  readonly store_id: number;
  readonly incarnation: string;
  readonly rep_id: number;
  readonly meta_ver: number;
}

/** GET store /api?op=list_extents&volume_id&shard_index&from_object&above: body is binary, see store/extent-list. */

/** One store as list_store returns it. */
export interface StoreInfo {
  readonly id: number;
  readonly store_uuid: string;
  readonly mngt_ip: string;
  readonly host: string;
  readonly status: StoreStatus;
  readonly data_address: string;
  /** Where other stores reach it, if that is another address. */
  readonly replication_address: string | null;
  readonly http_address: string;
  readonly version: string;
}

export interface DiskInfo extends DiskReport {
  readonly store_id: number;
}

/** A machine that can attach volumes: its pfnbd has said so. */
export interface NodeInfo {
  readonly name: string;
  readonly version: string;
}

export interface AttachmentInfo {
  readonly client: string;
  /** Names this act of attaching: a later one of the volume gets another number. */
  readonly attachment: number;
  readonly read_only: boolean;
  /** Writes beside others. */
  readonly shared: boolean;
}

export interface VolumeInfo {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly rep_count: number;
  readonly status: HealthStatus;
  readonly shard_size: number;
  readonly attach_epoch: number;
  /** The client that writes it: a host or node as it called itself. Null: nobody does. */
  readonly attached_to: string | null;
  /** Everybody who has it attached, readers included, in the order in which they began. */
  readonly attachments: readonly AttachmentInfo[];
  readonly meta_ver: number;
}

/** Every successful reply has these two; a failed one is an ErrorReply (api/errors.ts). */
export interface Reply {
  readonly op: string;
  readonly ret_code: number;
}

/** As open_volume answers it. */
export interface OpenVolumeReply extends Reply, OpenedVolumeConfig {}

/** As create_volume answers it. */
export interface CreateVolumeReply extends Reply, VolumeInfo {}

/** As resize_volume answers it. */
export interface ResizeVolumeReply extends Reply, VolumeInfo {}

/** get_volume: everything but the secret, and who has it attached. */
export interface GetVolumeReply extends Reply {
  readonly volume: Omit<VolumeConfig, 'token'> & Pick<VolumeInfo, 'attached_to' | 'attachments'>;
}

/** As attach_volume answers it. */
export interface AttachVolumeReply extends Reply {
  readonly volume_name: string;
  readonly volume_id: number;
  readonly size: number;
  /** To be given to open_volume. */
  readonly attachment: number;
  readonly attach_epoch: number;
}

/** As close_volume and detach_volume answer it: what holds now. */
export interface ReleaseVolumeReply extends Reply {
  readonly volume_name: string;
  readonly attach_epoch: number;
  /** Null, or the client that has attached it since. */
  readonly attached_to: string | null;
}

export interface ListVolumeReply extends Reply {
  readonly volumes: readonly VolumeInfo[];
}

export interface ListStoreReply extends Reply {
  readonly store_nodes: readonly StoreInfo[];
}

/** `trays` is PureFlash's word for disks. */
export interface ListDiskReply extends Reply {
  readonly trays: readonly DiskInfo[];
}

export interface ListNodeReply extends Reply {
  readonly nodes: readonly NodeInfo[];
}

export interface DeleteVolumeReply extends Reply {
  /** Stores that could not be told yet: the conductor keeps trying. */
  readonly pending_stores: readonly number[];
}

export interface RecoveryDoneReply extends Reply {
  readonly reason?: string;
  readonly volume: VolumeConfig | null;
}

export interface GetClusterReply extends Reply {
  readonly cluster_name: string;
  readonly cluster_uuid: string;
  readonly version: string;
  readonly is_leader: boolean;
  readonly allow_same_host: boolean;
  readonly store_count: number;
  readonly volume_count: number;
  /** Commands applied since the cluster began. */
  readonly applied_index: number;
}

/** POST store /api?op=delete_volume: the store frees everything it holds of the volume, and answers ret_code 0 also when it holds nothing. */
export interface DeleteVolumeReplicaRequest {
  readonly op: 'delete_volume';
  readonly volume_id: number;
  /** The store this is meant for: refused by any other. */
  readonly store_id: number;
}

/** GET store /api?op=digest_replica: what one object of a replica reads as. */
export interface DigestReplicaReply extends Reply {
  readonly meta_ver: number;
  /** Over the object's blocks that are not all zeros, each with its place: equal for replicas that read the same. */
  readonly sha256: string;
  /** Written 4 KiB blocks in the object. */
  readonly written_blocks: number;
}

export interface StoreShardStatus {
  readonly volume_id: number;
  readonly index: number;
  readonly meta_ver: number;
  readonly attach_epoch: number;
  readonly role: 'PRIMARY' | 'SECONDARY';
  /** The store's own word for what the shard is doing: "serving", "promoting", ... */
  readonly state: string;
}

/** GET store /api?op=get_status */
export interface StoreStatusReply extends Reply {
  readonly store_uuid: string;
  /** 0 until the conductor has answered. */
  readonly store_id: number;
  readonly incarnation: string;
  readonly host: string;
  readonly version: string;
  readonly data_address: string;
  readonly disks: readonly DiskReport[];
  readonly shards: readonly StoreShardStatus[];
}
