// Volumes: create, grow, delete, look up. Opening and closing them is in attachments.ts.
import { PfError } from '../../base/errors.ts';
import { BLOCK_BYTES, GiB } from '../../base/sizes.ts';
import { MAX_SHARDS_IN_VOLUME, MIN_SHARD_BYTES } from '../../api/bodies.ts';
import type {
  CreateVolumeReply,
  DeleteVolumeReply,
  GetVolumeReply,
  GetVolumesRequest,
  ListVolumeReply,
  Reply,
  ResizeVolumeReply,
} from '../../api/model.ts';
import type { CreateVolumeParams, DeleteVolumeParams } from '../../api/routes.ts';
import { proposeOrThrow, volumeOf, type ConductorContext } from '../context.ts';
import { STORE_DEAD_MS } from '../monitor.ts';
import { placeGrowth, placeVolume } from '../plan/placement.ts';
import { writerOf } from '../state/attachments.ts';
import type { VolumeRecord } from '../state/cluster-state.ts';
import type { Command } from '../state/commands.ts';
import { attachmentInfos, isOnline, volumeByName, volumeConfig, volumeInfo } from '../state/queries.ts';
import { firstUntold, PRIMARIES_DEADLINE_MS } from './primaries.ts';

export const DEFAULT_SHARD_BYTES = 64 * GiB;
/** How long a deletion waits for the stores. */
const DELETE_WAIT_MS = 5_000;

export async function createVolume(context: ConductorContext, params: CreateVolumeParams): Promise<CreateVolumeReply> {
  const existing = volumeByName(context.state, params.volume_name);
  if (existing !== null) return alreadyThere(context, existing, params);
  const shardSizeBytes = params.shard_size === 0 ? DEFAULT_SHARD_BYTES : params.shard_size;
  checkShape('shard_size', params.size, shardSizeBytes);
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

/** `blame`: the parameter to change when there would be too many shards. */
function checkShape(blame: 'size' | 'shard_size', sizeBytes: number, shardSizeBytes: number): void {
  if (sizeBytes % BLOCK_BYTES !== 0)
    throw new PfError('INVALID_ARGUMENT', `size: a multiple of ${BLOCK_BYTES} wanted, got ${sizeBytes}`);
  if (shardSizeBytes % MIN_SHARD_BYTES !== 0)
    throw new PfError('INVALID_ARGUMENT', `shard_size: a multiple of ${MIN_SHARD_BYTES} wanted, got ${shardSizeBytes}`);
  const shardCount = Math.ceil(sizeBytes / shardSizeBytes);
  if (shardCount <= MAX_SHARDS_IN_VOLUME) return;
  throw new PfError(
    'INVALID_ARGUMENT',
    blame === 'size'
      ? `size: ${sizeBytes} needs ${shardCount} shards of ${shardSizeBytes} bytes, at most ${MAX_SHARDS_IN_VOLUME} are possible; a larger volume needs larger shards from its creation on`
      : `shard_size: ${shardSizeBytes} makes ${shardCount} shards, at most ${MAX_SHARDS_IN_VOLUME} are possible; choose a larger one`,
  );
}

/**
 * Only larger; the same size again answers when every primary knows it, so that a call that was sent twice is done once. When this answers,
 * whoever opens the volume can use all of it; the replicas' meta versions keep clients away from a store that has not heard of it yet.
 */
export async function resizeVolume(
  context: ConductorContext,
  params: { readonly volume_name: string; readonly size: number },
): Promise<ResizeVolumeReply> {
  await context.changed.until(() => !isAnyUnknown(context), STORE_DEAD_MS);
  const { id } = volumeOf(context, params.volume_name);
  for (;;) {
    const volume = context.state.volumes.get(id);
    if (volume === undefined)
      throw new PfError('NOT_FOUND', `volume "${params.volume_name}" was deleted while it was being resized`);
    checkGrowth(volume, params.size);
    if (volume.sizeBytes === params.size) break;
    const outcome = await context.engine.propose(growthOf(context, volume, params.size));
    if (outcome.isAccepted) break;
    // Somebody else's growth was in front of this one: what it left is looked at anew.
    if (context.state.volumes.get(id)?.sizeBytes === volume.sizeBytes) throw new PfError(outcome.code, outcome.reason);
  }
  if (!(await context.changed.until(() => firstUntold(context, id) === null, PRIMARIES_DEADLINE_MS))) {
    throw new PfError(
      'UNAVAILABLE',
      `volume "${params.volume_name}" has ${params.size} bytes from now on, but the primary of shard ${firstUntold(context, id)} could not be told within ${PRIMARIES_DEADLINE_MS} ms; resize it to the same size again to wait for it`,
    );
  }
  const grown = context.state.volumes.get(id);
  if (grown === undefined)
    throw new PfError('NOT_FOUND', `volume "${params.volume_name}" was deleted while it was being resized`);
  return { op: 'resize_volume_reply', ret_code: 0, ...volumeInfo(context.monitor, grown) };
}

function growthOf(context: ConductorContext, volume: VolumeRecord, sizeBytes: number): Command {
  const growth = { sizeBytes, allowSameHost: context.allowSameHost };
  const shards = placeGrowth(context.state, context.monitor, volume, growth);
  return { kind: 'resize_volume', volumeId: volume.id, fromSizeBytes: volume.sizeBytes, sizeBytes, shards };
}

function checkGrowth(volume: VolumeRecord, sizeBytes: number): void {
  checkShape('size', sizeBytes, volume.shardSizeBytes);
  if (sizeBytes >= volume.sizeBytes) return;
  throw new PfError(
    'INVALID_ARGUMENT',
    `cannot shrink volume "${volume.name}" from ${volume.sizeBytes} to ${sizeBytes} bytes: a volume only grows`,
  );
}

/** The volume is gone when this answers; stores that could not free their part yet are told until they have. */
export async function deleteVolume(context: ConductorContext, params: DeleteVolumeParams): Promise<DeleteVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  await proposeOrThrow(context, { kind: 'delete_volume', volumeId: volume.id, ...(params.force ? { force: true } : {}) });
  const pending = (): readonly number[] => context.state.deletions.get(volume.id)?.storeIds ?? [];
  await context.changed.until(() => !pending().some((storeId) => isOnline(context.monitor, storeId)), DELETE_WAIT_MS);
  return { op: 'delete_volume_reply', ret_code: 0, pending_stores: pending() };
}

export function listVolume(context: ConductorContext): ListVolumeReply {
  const volumes = [...context.state.volumes.values()].sort((a, b) => a.id - b.id);
  return { op: 'list_volume_reply', ret_code: 0, volumes: volumes.map((volume) => volumeInfo(context.monitor, volume)) };
}

export function getVolumes(context: ConductorContext, { names }: GetVolumesRequest): ListVolumeReply {
  const ids = new Set(names.map((name) => context.state.volumeIdByName.get(name)));
  const volumes = [...ids].flatMap((id) =>
    id === undefined ? [] : [volumeInfo(context.monitor, context.state.volumes.get(id)!)],
  );
  return { op: 'get_volumes_reply', ret_code: 0, volumes };
}

export function getVolume(context: ConductorContext, params: { readonly volume_name: string }): GetVolumeReply {
  const record = volumeOf(context, params.volume_name);
  const { token: _secret, ...volume } = volumeConfig(context.state, context.monitor, record);
  return {
    op: 'get_volume_reply',
    ret_code: 0,
    volume: { ...volume, attached_to: writerOf(record), attachments: attachmentInfos(record) },
  };
}

export function checkVolumeExists(context: ConductorContext, params: { readonly volume_name: string }): Reply {
  volumeOf(context, params.volume_name);
  return { op: 'check_volume_exists_reply', ret_code: 0 };
}
