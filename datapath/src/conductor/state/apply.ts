// The reducer: (state, command) -> state. Pure and deterministic; a command that does not fit the state is refused with a reason and
// changes nothing. It trusts nobody: the rules that keep data safe (section 6 of docs/internals/replication.md) are checked here, whatever
// a planner or a handler has proposed. What a volume's own commands do is in apply-volume.ts and
// attachments.ts.
import type { ReplicaStatus } from '../../api/model.ts';
import { createVolume, deleteVolume, finishDeletion, resizeVolume } from './apply-volume.ts';
import { attachVolume, endAttachment, putNode, raiseEpoch, releaseReader, releaseVolume, removeNode } from './attachments.ts';
import { withVolume, type ClusterState, type ShardRecord, type StoreFacts, type StoreRecord } from './cluster-state.ts';
import type { Command, ShardChange } from './commands.ts';
import { accepted, refused, type Applied } from './outcome.ts';

export function apply(state: ClusterState, command: Command): Applied {
  switch (command.kind) {
    case 'create_cluster':
      if (state.cluster !== null) return refused(state, 'ALREADY_EXISTS', `the cluster "${state.cluster.name}" exists`);
      return accepted({ ...state, cluster: { uuid: command.uuid, name: command.name, token: command.token } }, 0);
    case 'put_store':
      return putStore(state, command.store);
    case 'reconfigure':
      return reconfigure(state, command.stores, command.changes);
    case 'finish_recovery':
      return finishRecovery(state, command);
    case 'create_volume':
      return createVolume(state, command);
    case 'raise_epoch':
      return raiseEpoch(state, command);
    case 'resize_volume':
      return resizeVolume(state, command);
    case 'put_node':
      return putNode(state, command);
    case 'remove_node':
      return removeNode(state, command);
    case 'attach_volume':
      return attachVolume(state, command);
    case 'release_volume':
      return releaseVolume(state, command);
    case 'end_attachment':
      return endAttachment(state, command);
    case 'release_reader':
      return releaseReader(state, command);
    case 'delete_volume':
      return deleteVolume(state, command);
    case 'finish_deletion':
      return finishDeletion(state, command.volumeId, command.storeId);
    default:
      return refused(
        state,
        'UNSUPPORTED',
        `unknown command ${JSON.stringify((command as { kind?: unknown } | null)?.kind ?? null)}`,
      );
  }
}

function putStore(state: ClusterState, facts: StoreFacts): Applied {
  const id = state.storeIdByUuid.get(facts.uuid);
  if (id === undefined) {
    const store: StoreRecord = { ...facts, id: state.nextStoreId };
    const storeIdByUuid = new Map(state.storeIdByUuid).set(facts.uuid, store.id);
    return accepted(
      { ...state, nextStoreId: store.id + 1, stores: new Map(state.stores).set(store.id, store), storeIdByUuid },
      store.id,
    );
  }
  if (isReturn(state.stores.get(id)!, facts)) {
    return refused(state, 'INVALID_STATE', `store ${id} has a new incarnation or address: that needs its shards reconfigured`);
  }
  return accepted({ ...state, stores: new Map(state.stores).set(id, { ...facts, id }) }, id);
}

type StoreProcess = Pick<StoreFacts, 'incarnation' | 'dataAddress' | 'replicationAddress' | 'httpAddress'>;

/** The process behind a store is another one, or is reached elsewhere: its old connections and promises are void. */
export function isReturn(known: StoreFacts, facts: StoreProcess): boolean {
  return (
    known.incarnation !== facts.incarnation ||
    known.dataAddress !== facts.dataAddress ||
    known.replicationAddress !== facts.replicationAddress ||
    known.httpAddress !== facts.httpAddress
  );
}

function reconfigure(state: ClusterState, returned: readonly StoreFacts[], changes: readonly ShardChange[]): Applied {
  const stores = new Map(state.stores);
  for (const facts of returned) {
    const id = state.storeIdByUuid.get(facts.uuid);
    if (id === undefined) return refused(state, 'NOT_FOUND', `store ${facts.uuid} is not registered`);
    stores.set(id, { ...facts, id });
  }
  const forgotten = forgottenShard(state, stores, changes);
  if (forgotten !== null) return refused(state, 'INVALID_STATE', forgotten);
  const volumes = new Map(state.volumes);
  const touched = new Map<number, ShardRecord[]>();
  for (const change of changes) {
    const volume = state.volumes.get(change.volumeId);
    const shards = touched.get(change.volumeId) ?? volume?.shards.slice();
    const shard = shards?.[change.shardIndex];
    if (volume === undefined || shards === undefined || shard === undefined) {
      return refused(state, 'NOT_FOUND', `shard ${change.shardIndex} of volume ${change.volumeId} does not exist`);
    }
    const problem = problemOf(shard, change);
    if (problem !== null)
      return refused(state, 'INVALID_STATE', `shard ${change.shardIndex} of volume "${volume.name}" ${problem}`);
    shards[change.shardIndex] = changed(shard, change.primary, change.statuses);
    touched.set(change.volumeId, shards);
    volumes.set(change.volumeId, { ...volume, shards });
  }
  return accepted({ ...state, stores, volumes }, 0);
}

/** A store's new incarnation knows nothing of its connections: every shard that counts on it needs a new configuration. */
function forgottenShard(
  state: ClusterState,
  stores: ReadonlyMap<number, StoreRecord>,
  changes: readonly ShardChange[],
): string | null {
  const returned = new Set(
    [...stores.values()].filter((store) => isReturn(state.stores.get(store.id)!, store)).map((store) => store.id),
  );
  if (returned.size === 0) return null;
  const included = new Set(changes.map((change) => `${change.volumeId}/${change.shardIndex}`));
  for (const volume of state.volumes.values()) {
    for (const [index, shard] of volume.shards.entries()) {
      const counts = shard.replicas.some((replica) => replica.status !== 'OUT_OF_SYNC' && returned.has(replica.storeId));
      if (counts && !included.has(`${volume.id}/${index}`)) {
        return `shard ${index} of volume "${volume.name}" counts on a store that has a new incarnation, but is not reconfigured`;
      }
    }
  }
  return null;
}

/** Why a change must not happen, or null. */
function problemOf(shard: ShardRecord, change: ShardChange): string | null {
  if (change.metaVersion !== shard.metaVersion)
    return `has meta version ${shard.metaVersion}, the change was made for ${change.metaVersion}`;
  if (change.statuses.length !== shard.replicas.length)
    return `has ${shard.replicas.length} replicas, the change names ${change.statuses.length}`;
  for (let index = 0; index < shard.replicas.length; index += 1) {
    if (change.statuses[index] === 'IN_SYNC' && shard.replicas[index]!.status !== 'IN_SYNC') {
      return `replica ${index} is ${shard.replicas[index]!.status}: only its recovery can make it IN_SYNC`;
    }
  }
  if (!change.statuses.includes('IN_SYNC')) return 'would lose its last in-sync replica';
  if (change.statuses[change.primary] !== 'IN_SYNC') return `cannot have replica ${change.primary} as primary: it is not in sync`;
  return null;
}

function changed(shard: ShardRecord, primary: number, statuses: readonly ReplicaStatus[]): ShardRecord {
  return {
    metaVersion: shard.metaVersion + 1,
    primary,
    replicas: shard.replicas.map((replica, index) =>
      replica.status === statuses[index] ? replica : { ...replica, status: statuses[index]! },
    ),
  };
}

function finishRecovery(state: ClusterState, command: Extract<Command, { kind: 'finish_recovery' }>): Applied {
  const volume = state.volumes.get(command.volumeId);
  const shard = volume?.shards[command.shardIndex];
  const replica = shard?.replicas[command.replicaIndex];
  if (volume === undefined || shard === undefined || replica === undefined) {
    return refused(
      state,
      'NOT_FOUND',
      `replica ${command.replicaIndex} of shard ${command.shardIndex} of volume ${command.volumeId} does not exist`,
    );
  }
  if (shard.metaVersion !== command.metaVersion) {
    return refused(
      state,
      'INVALID_STATE',
      `shard ${command.shardIndex} of volume "${volume.name}" has meta version ${shard.metaVersion}, not ${command.metaVersion}`,
    );
  }
  if (replica.status !== 'RECOVERING') {
    return refused(
      state,
      'INVALID_STATE',
      `replica ${command.replicaIndex} of shard ${command.shardIndex} of volume "${volume.name}" is ${replica.status}, not RECOVERING`,
    );
  }
  const statuses = shard.replicas.map((each) => (each === replica ? 'IN_SYNC' : each.status));
  const shards = volume.shards.with(command.shardIndex, changed(shard, shard.primary, statuses));
  return accepted(withVolume(state, { ...volume, shards }), 0);
}
