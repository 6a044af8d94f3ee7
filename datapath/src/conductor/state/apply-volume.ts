// The reducer's part about volumes as such: made, grown, deleted. Called by apply.ts; the same rules: pure, and
// nobody is trusted.
import { volumeIdOfSequence } from '../../base/ids.ts';
import { BLOCK_BYTES } from '../../base/sizes.ts';
import { MAX_SHARDS_IN_VOLUME, MIN_SHARD_BYTES } from '../../api/bodies.ts';
import { withVolume, type ClusterState, type ShardRecord, type VolumeRecord } from './cluster-state.ts';
import type { Command, Placement } from './commands.ts';
import { accepted, refused, type Applied } from './outcome.ts';

type KindOf<K extends Command['kind']> = Extract<Command, { kind: K }>;

/** What creation and growth have in common: the shape that is wanted, and the shards that are placed for it. */
interface Shape {
  readonly sizeBytes: number;
  readonly shardSizeBytes: number;
  readonly replicaCount: number;
  /** Index of the first shard in `shards`: those before it exist. */
  readonly firstShard: number;
  readonly shards: readonly Placement[];
}

export function createVolume(state: ClusterState, command: KindOf<'create_volume'>): Applied {
  if (state.volumeIdByName.has(command.name)) return refused(state, 'ALREADY_EXISTS', `volume "${command.name}" exists`);
  const shape = { ...command, firstShard: 0 };
  const problem = shapeProblem(shape) ?? placementProblem(state, shape);
  if (problem !== null) return refused(state, 'INVALID_ARGUMENT', `volume "${command.name}" ${problem}`);
  const id: number = volumeIdOfSequence(state.nextVolumeSequence);
  const volume: VolumeRecord = {
    id,
    name: command.name,
    sizeBytes: command.sizeBytes,
    shardSizeBytes: command.shardSizeBytes,
    replicaCount: command.replicaCount,
    attachEpoch: 0,
    attachments: [],
    token: command.token,
    requestId: command.requestId,
    shards: command.shards.map(freshShard),
  };
  const volumeIdByName = new Map(state.volumeIdByName).set(command.name, id);
  return accepted({ ...withVolume(state, volume), volumeIdByName, nextVolumeSequence: state.nextVolumeSequence + 1 }, id);
}

/**
 * Only larger. A last shard that is not full grows in place: its configuration gets a new meta version, with which every store learns the
 * new size, so that no replica can hold the configuration without it. The other shards stay, the additional ones are fresh.
 */
export function resizeVolume(state: ClusterState, command: KindOf<'resize_volume'>): Applied {
  const volume = state.volumes.get(command.volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${command.volumeId} does not exist`);
  const { name, sizeBytes, shardSizeBytes, replicaCount } = volume;
  if (sizeBytes !== command.fromSizeBytes)
    return refused(
      state,
      'INVALID_STATE',
      `volume "${name}" has ${sizeBytes} bytes, the growth was planned from ${command.fromSizeBytes}`,
    );
  if (command.sizeBytes <= sizeBytes)
    return refused(state, 'INVALID_ARGUMENT', `cannot shrink volume "${name}" from ${sizeBytes} to ${command.sizeBytes} bytes`);
  const shape = { ...command, shardSizeBytes, replicaCount, firstShard: volume.shards.length };
  const problem = shapeProblem(shape) ?? placementProblem(state, shape);
  if (problem !== null) return refused(state, 'INVALID_ARGUMENT', `volume "${name}" ${problem}`);
  const shards = volume.shards.slice();
  const last = shards.at(-1)!;
  if (sizeBytes % shardSizeBytes !== 0) shards[shards.length - 1] = { ...last, metaVersion: last.metaVersion + 1 };
  shards.push(...command.shards.map(freshShard));
  return accepted(withVolume(state, { ...volume, sizeBytes: command.sizeBytes, shards }), 0);
}

/** Of a volume that somebody has attached only with `force`. */
export function deleteVolume(state: ClusterState, command: KindOf<'delete_volume'>): Applied {
  const { volumeId } = command;
  const volume = state.volumes.get(volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${volumeId} does not exist`);
  const [user] = volume.attachments;
  if (user !== undefined && command.force !== true) {
    return refused(
      state,
      'INVALID_STATE',
      `cannot delete volume "${volume.name}": "${user.client}" has it attached for ${user.isReadOnly ? 'reading' : 'writing'}; close it there, take it away with detach_volume, or delete it with force`,
    );
  }
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

export function finishDeletion(state: ClusterState, volumeId: number, storeId: number): Applied {
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

/** A volume nobody has written is in sync everywhere. */
function freshShard(placement: Placement): ShardRecord {
  return {
    metaVersion: 1,
    primary: placement.primary,
    replicas: placement.replicas.map((replica) => ({ ...replica, status: 'IN_SYNC' })),
  };
}

function shapeProblem(shape: Shape): string | null {
  if (shape.sizeBytes % BLOCK_BYTES !== 0) return `has ${shape.sizeBytes} bytes: a multiple of ${BLOCK_BYTES} wanted`;
  if (shape.shardSizeBytes % MIN_SHARD_BYTES !== 0)
    return `has shards of ${shape.shardSizeBytes} bytes: a multiple of ${MIN_SHARD_BYTES} wanted`;
  const shardCount = Math.ceil(shape.sizeBytes / shape.shardSizeBytes);
  if (shardCount > MAX_SHARDS_IN_VOLUME)
    return `would have ${shardCount} shards: at most ${MAX_SHARDS_IN_VOLUME} are possible, choose a larger shard size`;
  const placed = shape.firstShard + shape.shards.length;
  if (placed !== shardCount) return `has ${shardCount} shards, but ${placed} are placed`;
  return null;
}

function placementProblem(state: ClusterState, shape: Shape): string | null {
  for (const [at, shard] of shape.shards.entries()) {
    const index = shape.firstShard + at;
    if (shard.replicas.length !== shape.replicaCount)
      return `shard ${index} has ${shard.replicas.length} replicas placed, ${shape.replicaCount} wanted`;
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
