// Volumes: create, open, delete, look up.
import { PfError } from '../../base/errors.ts';
import { BLOCK_BYTES, GiB } from '../../base/sizes.ts';
import { MAX_SHARDS_IN_VOLUME, MIN_SHARD_BYTES } from '../../api/bodies.ts';
import type {
  CreateVolumeReply,
  DeleteVolumeReply,
  GetVolumeReply,
  ListVolumeReply,
  OpenVolumeReply,
  Reply,
} from '../../api/model.ts';
import type { CreateVolumeParams, OpenVolumeParams } from '../../api/routes.ts';
import { proposeOrThrow, volumeOf, type ConductorContext } from '../context.ts';
import { STORE_DEAD_MS } from '../monitor.ts';
import { isServed } from '../plan/liveness.ts';
import { placeVolume } from '../plan/placement.ts';
import type { VolumeRecord } from '../state/cluster-state.ts';
import { isOnline, volumeByName, volumeConfig, volumeInfo } from '../state/queries.ts';

export const DEFAULT_SHARD_BYTES = 64 * GiB;
/** How long an open for writing waits for the primaries, and a deletion for the stores. */
export const OPEN_DEADLINE_MS = 10_000;
const DELETE_WAIT_MS = 5_000;

export async function createVolume(context: ConductorContext, params: CreateVolumeParams): Promise<CreateVolumeReply> {
  const existing = volumeByName(context.state, params.volume_name);
  if (existing !== null) return alreadyThere(context, existing, params);
  const shardSizeBytes = params.shard_size === 0 ? DEFAULT_SHARD_BYTES : params.shard_size;
  checkShape(params, shardSizeBytes);
  const request = { sizeBytes: params.size, shardSizeBytes, replicaCount: params.rep_cnt, allowSameHost: context.allowSameHost };
  await context.changed.until(() => !isAnyUnknown(context), STORE_DEAD_MS);
  const shards = placeVolume(context.state, context.monitor, request);
  const outcome = await context.engine.propose({
    kind: 'create_volume',
    name: params.volume_name,
    sizeBytes: params.size,
    shardSizeBytes,
    replicaCount: params.rep_cnt,
    token: context.world.random.token(),
    requestId: params.request_id,
    shards,
  });
  const volume = volumeByName(context.state, params.volume_name);
  if (outcome.isAccepted && volume !== null)
    return { op: 'create_volume_reply', ret_code: 0, ...volumeInfo(context.monitor, volume) };
  // Somebody else's creation of the same name was in front of this one.
  if (volume !== null) return alreadyThere(context, volume, params);
  throw outcome.isAccepted
    ? new PfError('INVALID_STATE', `volume "${params.volume_name}" was deleted while it was being created`)
    : new PfError(outcome.code, outcome.reason);
}

/** A conductor that has just started does not know yet where it could place anything. */
function isAnyUnknown(context: ConductorContext): boolean {
  return [...context.state.stores.keys()].some((storeId) => context.monitor.livenessOf(storeId) === 'UNKNOWN');
}

/** A creation that was sent again gets the first one's answer. */
function alreadyThere(context: ConductorContext, volume: VolumeRecord, params: CreateVolumeParams): CreateVolumeReply {
  if (params.request_id !== '' && volume.requestId === params.request_id) {
    return { op: 'create_volume_reply', ret_code: 0, ...volumeInfo(context.monitor, volume) };
  }
  throw new PfError(
    'ALREADY_EXISTS',
    `volume "${volume.name}" exists, with ${volume.sizeBytes} bytes and ${volume.replicaCount} replicas; choose another name or delete it first`,
  );
}

function checkShape(params: CreateVolumeParams, shardSizeBytes: number): void {
  if (params.size % BLOCK_BYTES !== 0)
    throw new PfError('INVALID_ARGUMENT', `size: a multiple of ${BLOCK_BYTES} wanted, got ${params.size}`);
  if (shardSizeBytes % MIN_SHARD_BYTES !== 0)
    throw new PfError('INVALID_ARGUMENT', `shard_size: a multiple of ${MIN_SHARD_BYTES} wanted, got ${shardSizeBytes}`);
  const shardCount = Math.ceil(params.size / shardSizeBytes);
  if (shardCount > MAX_SHARDS_IN_VOLUME) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `shard_size: ${shardSizeBytes} makes ${shardCount} shards, at most ${MAX_SHARDS_IN_VOLUME} are possible; choose a larger one`,
    );
  }
}

/** For writing: raises the epoch, and answers when every primary holds it. For reading, or again with the epoch held: answers at once. */
export async function openVolume(context: ConductorContext, params: OpenVolumeParams): Promise<OpenVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  if (params.attach_epoch !== null) checkEpoch(volume, params.attach_epoch);
  else if (!params.read_only) await openForWriting(context, volume);
  // The layout as of now: it may have changed while the primaries were asked.
  const current = context.state.volumes.get(volume.id);
  if (current === undefined) throw new PfError('NOT_FOUND', `volume "${volume.name}" was deleted while it was being opened`);
  return { op: 'open_volume_reply', ret_code: 0, ...volumeConfig(context.state, context.monitor, current) };
}

function checkEpoch(volume: VolumeRecord, epoch: number): void {
  if (volume.attachEpoch === epoch) return;
  throw new PfError(
    'FENCED',
    `volume "${volume.name}" has attach epoch ${volume.attachEpoch}, not ${epoch}: another client has attached it since`,
  );
}

async function openForWriting(context: ConductorContext, volume: VolumeRecord): Promise<void> {
  const epoch = await proposeOrThrow(context, { kind: 'raise_epoch', volumeId: volume.id });
  const isReady = (): boolean => firstUnready(context, volume.id, epoch) === null;
  if (await context.changed.until(isReady, OPEN_DEADLINE_MS)) return;
  const shard = firstUnready(context, volume.id, epoch);
  throw new PfError(
    'UNAVAILABLE',
    `cannot open volume "${volume.name}": the primary of shard ${shard} did not take attach epoch ${epoch} within ${OPEN_DEADLINE_MS} ms; check its stores with list_store`,
  );
}

/** Index of a shard whose primary does not hold the current configuration and the epoch, or null. A deleted volume has none. */
function firstUnready(context: ConductorContext, volumeId: number, epoch: number): number | null {
  for (const [index, shard] of context.state.volumes.get(volumeId)?.shards.entries() ?? []) {
    const primary = shard.replicas[shard.primary]!;
    const isReady =
      isServed(context.monitor, shard) && context.pusher.holds(primary.storeId, volumeId, index, shard.metaVersion, epoch);
    if (!isReady) return index;
  }
  return null;
}

/** The volume is gone when this answers; stores that could not free their part yet are told until they have. */
export async function deleteVolume(
  context: ConductorContext,
  params: { readonly volume_name: string },
): Promise<DeleteVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  await proposeOrThrow(context, { kind: 'delete_volume', volumeId: volume.id });
  const pending = (): readonly number[] => context.state.deletions.get(volume.id)?.storeIds ?? [];
  await context.changed.until(() => !pending().some((storeId) => isOnline(context.monitor, storeId)), DELETE_WAIT_MS);
  return { op: 'delete_volume_reply', ret_code: 0, pending_stores: pending() };
}

export function listVolume(context: ConductorContext): ListVolumeReply {
  const volumes = [...context.state.volumes.values()].sort((a, b) => a.id - b.id);
  return { op: 'list_volume_reply', ret_code: 0, volumes: volumes.map((volume) => volumeInfo(context.monitor, volume)) };
}

export function getVolume(context: ConductorContext, params: { readonly volume_name: string }): GetVolumeReply {
  const { token: _secret, ...volume } = volumeConfig(context.state, context.monitor, volumeOf(context, params.volume_name));
  return { op: 'get_volume_reply', ret_code: 0, volume };
}

export function checkVolumeExists(context: ConductorContext, params: { readonly volume_name: string }): Reply {
  volumeOf(context, params.volume_name);
  return { op: 'check_volume_exists_reply', ret_code: 0 };
}
