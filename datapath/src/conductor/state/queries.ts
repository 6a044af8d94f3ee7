// The state as the control plane shows it: layouts for stores and clients, rows for lists. Pure; liveness comes as a view.
import { replicaIdOf, volumeId } from '../../base/ids.ts';
import type {
  AttachmentInfo,
  DiskInfo,
  HealthStatus,
  ShardConfig,
  StoreInfo,
  VolumeConfig,
  VolumeInfo,
} from '../../api/model.ts';
import { isServed, type LivenessView } from '../plan/liveness.ts';
import { writerOf } from './attachments.ts';
import type { ClusterState, ShardRecord, StoreRecord, VolumeRecord } from './cluster-state.ts';

export interface ReplicaAddress {
  readonly volume: VolumeRecord;
  readonly shard: ShardRecord;
  readonly shardIndex: number;
  readonly replicaIndex: number;
}

export function volumeByName(state: ClusterState, name: string): VolumeRecord | null {
  const id = state.volumeIdByName.get(name);
  return id === undefined ? null : state.volumes.get(id)!;
}

/** Null when the volume, the shard or the replica is not there (any more). */
export function findReplica(state: ClusterState, replicaId: number): ReplicaAddress | null {
  const low = replicaId % 2 ** 24;
  const volume = state.volumes.get(replicaId - low);
  const shardIndex = Math.floor(low / 16);
  const shard = volume?.shards[shardIndex];
  const replicaIndex = low % 16;
  return volume === undefined || shard === undefined || replicaIndex >= shard.replicas.length
    ? null
    : { volume, shard, shardIndex, replicaIndex };
}

export function shardHealth(view: LivenessView, shard: ShardRecord): HealthStatus {
  if (!isServed(view, shard)) return 'ERROR';
  return shard.replicas.every((replica) => replica.status === 'IN_SYNC') ? 'OK' : 'DEGRADED';
}

/** As bad as the worst shard. */
export function volumeHealth(view: LivenessView, volume: VolumeRecord): HealthStatus {
  const shards = volume.shards.map((shard) => shardHealth(view, shard));
  return shards.includes('ERROR') ? 'ERROR' : shards.includes('DEGRADED') ? 'DEGRADED' : 'OK';
}

/** For clients; with `storeId` for that store: only the shards that have a replica on it, and the addresses by which stores reach each other. */
export function volumeConfig(state: ClusterState, view: LivenessView, volume: VolumeRecord, storeId?: number): VolumeConfig {
  const shards: ShardConfig[] = [];
  for (const [index, shard] of volume.shards.entries()) {
    if (storeId !== undefined && !shard.replicas.some((replica) => replica.storeId === storeId)) continue;
    shards.push(shardConfig(state, view, volume, index, shard, storeId !== undefined));
  }
  return {
    volume_name: volume.name,
    volume_id: volume.id,
    volume_size: volume.sizeBytes,
    shard_size: volume.shardSizeBytes,
    rep_count: volume.replicaCount,
    attach_epoch: volume.attachEpoch,
    token: volume.token,
    status: volumeHealth(view, volume),
    shards,
  };
}

function shardConfig(
  state: ClusterState,
  view: LivenessView,
  volume: VolumeRecord,
  index: number,
  shard: ShardRecord,
  isForStore: boolean,
): ShardConfig {
  return {
    index,
    meta_ver: shard.metaVersion,
    primary_rep_index: shard.primary,
    status: shardHealth(view, shard),
    replicas: shard.replicas.map((replica, replicaIndex) => {
      const store = state.stores.get(replica.storeId)!;
      return {
        id: replicaIdOf(volumeId(volume.id), index, replicaIndex),
        index: replicaIndex,
        store_id: replica.storeId,
        disk_uuid: replica.diskUuid,
        status: replica.status,
        address: isForStore ? (store.replicationAddress ?? store.dataAddress) : store.dataAddress,
        http_address: store.httpAddress,
      };
    }),
  };
}

/** meta_ver: the highest of its shards. */
export function volumeInfo(view: LivenessView, volume: VolumeRecord): VolumeInfo {
  return {
    id: volume.id,
    name: volume.name,
    size: volume.sizeBytes,
    rep_count: volume.replicaCount,
    status: volumeHealth(view, volume),
    shard_size: volume.shardSizeBytes,
    attach_epoch: volume.attachEpoch,
    attached_to: writerOf(volume),
    attachments: attachmentInfos(volume),
    meta_ver: volume.shards.reduce((highest, shard) => Math.max(highest, shard.metaVersion), 0),
  };
}

export function attachmentInfos(volume: VolumeRecord): AttachmentInfo[] {
  return volume.attachments.map(({ client, number, isReadOnly, isShared = false }) => ({
    client,
    attachment: number,
    read_only: isReadOnly,
    shared: isShared,
  }));
}

export function isOnline(view: LivenessView, storeId: number): boolean {
  const liveness = view.livenessOf(storeId);
  return liveness === 'LIVE' || liveness === 'RETURNED';
}

export function storeInfo(view: LivenessView, store: StoreRecord): StoreInfo {
  return {
    id: store.id,
    store_uuid: store.uuid,
    mngt_ip: store.httpAddress.replace(/:\d+$/, ''),
    host: store.host,
    status: isOnline(view, store.id) ? 'OK' : 'OFFLINE',
    data_address: store.dataAddress,
    replication_address: store.replicationAddress,
    http_address: store.httpAddress,
    version: store.version,
  };
}

export function diskInfos(view: LivenessView, store: StoreRecord): DiskInfo[] {
  return store.disks.map((disk) => ({
    uuid: disk.uuid,
    device: disk.device,
    status: disk.status,
    raw_capacity: disk.rawCapacity,
    free: view.freeBytes(store.id, disk.uuid),
    object_size: disk.objectSize,
    store_id: store.id,
  }));
}

/** Volumes and deletions that a store must hear of. */
export function volumeIdsOfStore(state: ClusterState, storeId: number): number[] {
  const ids: number[] = [];
  for (const volume of state.volumes.values()) if (isOnStore(volume, storeId)) ids.push(volume.id);
  for (const deletion of state.deletions.values()) if (deletion.storeIds.includes(storeId)) ids.push(deletion.volumeId);
  return ids;
}

export function isOnStore(volume: VolumeRecord, storeId: number): boolean {
  return volume.shards.some((shard) => shard.replicas.some((replica) => replica.storeId === storeId));
}
