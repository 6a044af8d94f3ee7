// Everything the conductor knows durably, as one immutable value. Changed only by apply.ts; read through queries.ts.
// What changes by itself (who is alive, free space) is not in here: that is the monitor's.
// Invariants, kept by apply.ts: every shard has at least one in-sync replica, and its primary is one of them; a shard's meta
// version rises by one with every change; ids are never used twice.
import { PfError } from '../../base/errors.ts';
import { FIRST_VOLUME_SEQUENCE } from '../../base/ids.ts';
import type { ReplicaStatus } from '../../api/model.ts';

export interface ClusterIdentity {
  readonly uuid: string;
  readonly name: string;
  /** Secret of replication connections: 53 bits. */
  readonly token: number;
}

export interface DiskRecord {
  readonly uuid: string;
  readonly device: string;
  readonly status: 'OK' | 'ERROR';
  readonly rawCapacity: number;
  readonly objectSize: number;
}

/** What a store says about itself and what is worth remembering. */
export interface StoreFacts {
  readonly uuid: string;
  /** The process whose configurations the cluster's shards reckon with. */
  readonly incarnation: string;
  readonly host: string;
  readonly dataAddress: string;
  /** For other stores; null: the data address. */
  readonly replicationAddress: string | null;
  readonly httpAddress: string;
  readonly version: string;
  readonly disks: readonly DiskRecord[];
}

export interface StoreRecord extends StoreFacts {
  readonly id: number;
}

export interface ReplicaRecord {
  readonly storeId: number;
  readonly diskUuid: string;
  readonly status: ReplicaStatus;
}

export interface ShardRecord {
  readonly metaVersion: number;
  /** Replica index. */
  readonly primary: number;
  readonly replicas: readonly ReplicaRecord[];
}

/** A machine that can attach volumes: its pfnbd has said so. */
export interface NodeRecord {
  readonly name: string;
  /** Of its pfnbd, as it said last. */
  readonly version: string;
}

/** A client that may use a volume: state/attachments.ts has the rules. */
export interface AttachmentRecord {
  /** Never given twice in a cluster: it stands for one client, one volume and one stretch of time. */
  readonly number: number;
  /** By the name that it gave: a host, a node. One attachment each. */
  readonly client: string;
  readonly isReadOnly: boolean;
  /** Writes beside others that are shared, too. */
  readonly isShared?: true;
  /** The attach epoch that a shared one's latest opening has raised; the ones before are over. */
  readonly opening?: number;
  /** It is being taken away: it opens nothing any more, and ends when no request of its holder can succeed. */
  readonly isEnding?: true;
}

export interface VolumeRecord {
  readonly id: number;
  readonly name: string;
  readonly sizeBytes: number;
  readonly shardSizeBytes: number;
  readonly replicaCount: number;
  readonly attachEpoch: number;
  /** In the order in which they began; at most one writes, or all that write are shared. */
  readonly attachments: readonly AttachmentRecord[];
  readonly token: number;
  /** Of the creation, to recognise a re-sent one; may be empty. */
  readonly requestId: string;
  readonly shards: readonly ShardRecord[];
}

/** A volume that is gone for users; these stores have not confirmed yet that they freed it. */
export interface DeletionRecord {
  readonly volumeId: number;
  readonly name: string;
  readonly storeIds: readonly number[];
}

export interface ClusterState {
  readonly cluster: ClusterIdentity | null;
  readonly nextStoreId: number;
  readonly nextVolumeSequence: number;
  /** The number of the latest attachment that there ever was; 0: there was none. */
  readonly lastAttachment: number;
  readonly stores: ReadonlyMap<number, StoreRecord>;
  readonly volumes: ReadonlyMap<number, VolumeRecord>;
  readonly deletions: ReadonlyMap<number, DeletionRecord>;
  /** By name. */
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  /** Follows from the others. */
  readonly storeIdByUuid: ReadonlyMap<string, number>;
  readonly volumeIdByName: ReadonlyMap<string, number>;
}

export const EMPTY_STATE: ClusterState = {
  cluster: null,
  nextStoreId: 1,
  nextVolumeSequence: FIRST_VOLUME_SEQUENCE,
  lastAttachment: 0,
  stores: new Map(),
  volumes: new Map(),
  deletions: new Map(),
  nodes: new Map(),
  storeIdByUuid: new Map(),
  volumeIdByName: new Map(),
};

/** The same state with this volume's record in place of the one it had. */
export function withVolume(state: ClusterState, volume: VolumeRecord): ClusterState {
  return { ...state, volumes: new Map(state.volumes).set(volume.id, volume) };
}

/**
 * History: 1; still 1 since volumes have `attachments`: snapshots from before them have `attachedTo` (the writer or null), or nothing; and
 * since there are `nodes`, which older ones do not know. */
const FORMAT = 1;

interface StoredState {
  readonly format: number;
  readonly cluster: ClusterIdentity | null;
  readonly nextStoreId: number;
  readonly nextVolumeSequence: number;
  readonly lastAttachment?: number;
  readonly stores: readonly StoreRecord[];
  readonly volumes: readonly VolumeRecord[];
  readonly deletions: readonly DeletionRecord[];
  readonly nodes?: readonly NodeRecord[];
}

/** The same state always gives the same bytes: tables in the order of their ids. */
export function encodeState(state: ClusterState): Uint8Array {
  const stored: StoredState = {
    format: FORMAT,
    cluster: state.cluster,
    nextStoreId: state.nextStoreId,
    nextVolumeSequence: state.nextVolumeSequence,
    lastAttachment: state.lastAttachment,
    stores: [...state.stores.values()].sort((a, b) => a.id - b.id),
    volumes: [...state.volumes.values()].sort((a, b) => a.id - b.id),
    deletions: [...state.deletions.values()].sort((a, b) => a.volumeId - b.volumeId),
    nodes: [...state.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
  return new TextEncoder().encode(JSON.stringify(stored));
}

/** Reads what encodeState wrote. The snapshot's own checksum vouches for the content; only the format is checked here. */
export function decodeState(bytes: Uint8Array): ClusterState {
  const stored = JSON.parse(new TextDecoder().decode(bytes)) as StoredState;
  if (stored.format !== FORMAT) {
    throw new PfError(
      'CORRUPT',
      `the conductor's snapshot has format ${stored.format}, this version reads ${FORMAT}; start the version that wrote it`,
    );
  }
  return {
    cluster: stored.cluster,
    nextStoreId: stored.nextStoreId,
    nextVolumeSequence: stored.nextVolumeSequence,
    lastAttachment: stored.lastAttachment ?? stored.volumes.length,
    // Where stores had no network of their own nothing was said of one.
    stores: new Map(stored.stores.map((store) => [store.id, { ...store, replicationAddress: store.replicationAddress ?? null }])),
    volumes: new Map(stored.volumes.map((volume, index) => [volume.id, upgraded(volume, index + 1)])),
    deletions: new Map(stored.deletions.map((deletion) => [deletion.volumeId, deletion])),
    nodes: new Map((stored.nodes ?? []).map((node) => [node.name, node])),
    storeIdByUuid: new Map(stored.stores.map((store) => [store.uuid, store.id])),
    volumeIdByName: new Map(stored.volumes.map((volume) => [volume.name, volume.id])),
  };
}

/** Where attachments had no numbers each writer gets one that is free: as many are counted as there are volumes. */
function upgraded(stored: VolumeRecord & { readonly attachedTo?: string | null }, number: number): VolumeRecord {
  const { attachedTo, ...volume } = stored;
  if (Array.isArray(volume.attachments)) return volume;
  const isAttached = typeof attachedTo === 'string';
  return { ...volume, attachments: isAttached ? [{ number, client: attachedTo, isReadOnly: false }] : [] };
}
