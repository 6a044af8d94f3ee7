// The reducer: (state, command) -> state. Pure and deterministic; a command that does not fit the state is refused with a reason and
// changes nothing. It trusts nobody: the rules that keep data safe (section 6 of docs/internals/replication.md) are checked here, whatever
// a planner or a handler has proposed.
import type { ErrorCode } from '../../base/errors.ts';
import { volumeIdOfSequence } from '../../base/ids.ts';
import { BLOCK_BYTES } from '../../base/sizes.ts';
import { MAX_SHARDS_IN_VOLUME, MIN_SHARD_BYTES } from '../../api/bodies.ts';
import type { ReplicaStatus } from '../../api/model.ts';
import type { ClusterState, ShardRecord, StoreFacts, StoreRecord, VolumeRecord } from './cluster-state.ts';
import type { Command, Placement, ShardChange } from './commands.ts';

/** `value`: the id of the store or volume, or the new epoch, where the command makes one; else 0. */
export type Outcome =
  | { readonly isAccepted: true; readonly value: number }
  | { readonly isAccepted: false; readonly code: ErrorCode; readonly reason: string };

export interface Applied {
  readonly state: ClusterState;
  readonly outcome: Outcome;
}

type Create = Extract<Command, { kind: 'create_volume' }>;

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
      return raiseEpoch(state, command.volumeId);
    case 'delete_volume':
      return deleteVolume(state, command.volumeId);
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

function accepted(state: ClusterState, value: number): Applied {
  return { state, outcome: { isAccepted: true, value } };
}

function refused(state: ClusterState, code: ErrorCode, reason: string): Applied {
  return { state, outcome: { isAccepted: false, code, reason } };
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

/** The process behind a store is another one, or is reached elsewhere: its old connections and promises are void. */
export function isReturn(known: StoreFacts, facts: Pick<StoreFacts, 'incarnation' | 'dataAddress' | 'httpAddress'>): boolean {
  return (
    known.incarnation !== facts.incarnation || known.dataAddress !== facts.dataAddress || known.httpAddress !== facts.httpAddress
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

function createVolume(state: ClusterState, command: Create): Applied {
  if (state.volumeIdByName.has(command.name)) return refused(state, 'ALREADY_EXISTS', `volume "${command.name}" exists`);
  const problem = shapeProblem(command) ?? placementProblem(state, command);
  if (problem !== null) return refused(state, 'INVALID_ARGUMENT', `volume "${command.name}" ${problem}`);
  const id: number = volumeIdOfSequence(state.nextVolumeSequence);
  const volume: VolumeRecord = {
    id,
    name: command.name,
    sizeBytes: command.sizeBytes,
    shardSizeBytes: command.shardSizeBytes,
    replicaCount: command.replicaCount,
    attachEpoch: 0,
    token: command.token,
    requestId: command.requestId,
    shards: command.shards.map(freshShard),
  };
  const volumeIdByName = new Map(state.volumeIdByName).set(command.name, id);
  return accepted({ ...withVolume(state, volume), volumeIdByName, nextVolumeSequence: state.nextVolumeSequence + 1 }, id);
}

/** A volume nobody has written is in sync everywhere. */
function freshShard(placement: Placement): ShardRecord {
  return {
    metaVersion: 1,
    primary: placement.primary,
    replicas: placement.replicas.map((replica) => ({ ...replica, status: 'IN_SYNC' })),
  };
}

function shapeProblem(command: Create): string | null {
  if (command.sizeBytes % BLOCK_BYTES !== 0) return `has ${command.sizeBytes} bytes: a multiple of ${BLOCK_BYTES} wanted`;
  if (command.shardSizeBytes % MIN_SHARD_BYTES !== 0)
    return `has shards of ${command.shardSizeBytes} bytes: a multiple of ${MIN_SHARD_BYTES} wanted`;
  const shardCount = Math.ceil(command.sizeBytes / command.shardSizeBytes);
  if (shardCount > MAX_SHARDS_IN_VOLUME)
    return `would have ${shardCount} shards: at most ${MAX_SHARDS_IN_VOLUME} are possible, choose a larger shard size`;
  if (command.shards.length !== shardCount) return `has ${shardCount} shards, but ${command.shards.length} are placed`;
  return null;
}

function placementProblem(state: ClusterState, command: Create): string | null {
  for (const [index, shard] of command.shards.entries()) {
    if (shard.replicas.length !== command.replicaCount)
      return `shard ${index} has ${shard.replicas.length} replicas placed, ${command.replicaCount} wanted`;
    if (shard.primary >= shard.replicas.length) return `shard ${index} has no replica ${shard.primary} that could be primary`;
    if (new Set(shard.replicas.map((replica) => replica.storeId)).size !== shard.replicas.length)
      return `shard ${index} has two replicas on one store`;
    for (const replica of shard.replicas) {
      const store = state.stores.get(replica.storeId);
      if (store === undefined || !store.disks.some((disk) => disk.uuid === replica.diskUuid)) {
        return `shard ${index} is placed on disk ${replica.diskUuid} of store ${replica.storeId}, which does not exist`;
      }
    }
  }
  return null;
}

function raiseEpoch(state: ClusterState, volumeId: number): Applied {
  const volume = state.volumes.get(volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${volumeId} does not exist`);
  return accepted(withVolume(state, { ...volume, attachEpoch: volume.attachEpoch + 1 }), volume.attachEpoch + 1);
}

function deleteVolume(state: ClusterState, volumeId: number): Applied {
  const volume = state.volumes.get(volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${volumeId} does not exist`);
  const volumes = new Map(state.volumes);
  volumes.delete(volumeId);
  const volumeIdByName = new Map(state.volumeIdByName);
  volumeIdByName.delete(volume.name);
  const storeIds = [...new Set(volume.shards.flatMap((shard) => shard.replicas.map((replica) => replica.storeId)))].sort(
    (a, b) => a - b,
  );
  const deletions = new Map(state.deletions).set(volumeId, { volumeId, name: volume.name, storeIds });
  return accepted({ ...state, volumes, volumeIdByName, deletions }, 0);
}

function finishDeletion(state: ClusterState, volumeId: number, storeId: number): Applied {
  const deletion = state.deletions.get(volumeId);
  if (deletion === undefined || !deletion.storeIds.includes(storeId)) {
    return refused(state, 'NOT_FOUND', `store ${storeId} has no deletion of volume ${volumeId} to confirm`);
  }
  const storeIds = deletion.storeIds.filter((id) => id !== storeId);
  const deletions = new Map(state.deletions);
  if (storeIds.length === 0) deletions.delete(volumeId);
  else deletions.set(volumeId, { ...deletion, storeIds });
  return accepted({ ...state, deletions }, 0);
}

function withVolume(state: ClusterState, volume: VolumeRecord): ClusterState {
  return { ...state, volumes: new Map(state.volumes).set(volume.id, volume) };
}
