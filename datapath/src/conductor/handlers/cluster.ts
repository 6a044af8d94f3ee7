// Stores, disks and the cluster as lists.
import type { GetClusterReply, ListDiskReply, ListStoreReply } from '../../api/model.ts';
import type { ConductorContext } from '../context.ts';
import { diskInfos, storeInfo } from '../state/queries.ts';
import type { StoreRecord } from '../state/cluster-state.ts';

export function listStore(context: ConductorContext): ListStoreReply {
  return {
    op: 'list_store_reply',
    ret_code: 0,
    store_nodes: storesById(context).map((store) => storeInfo(context.monitor, store)),
  };
}

export function listDisk(context: ConductorContext): ListDiskReply {
  return { op: 'list_disk_reply', ret_code: 0, trays: storesById(context).flatMap((store) => diskInfos(context.monitor, store)) };
}

export function getCluster(context: ConductorContext): GetClusterReply {
  const { cluster, stores, volumes } = context.state;
  return {
    op: 'get_cluster_reply',
    ret_code: 0,
    cluster_name: cluster!.name,
    cluster_uuid: cluster!.uuid,
    version: context.version,
    is_leader: context.engine.isLeader,
    allow_same_host: context.allowSameHost,
    store_count: stores.size,
    volume_count: volumes.size,
    applied_index: context.engine.appliedIndex,
  };
}

export function storesById(context: ConductorContext): StoreRecord[] {
  return [...context.state.stores.values()].sort((a, b) => a.id - b.id);
}
