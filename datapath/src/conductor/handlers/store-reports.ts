// What stores tell the conductor: that they live (heartbeat), that a replica failed (handle_error), that one has caught up
// (recovery_done). The last two come from a shard's primary and count only for the configuration it speaks of.
import { PfError } from '../../base/errors.ts';
import { retCodeOf } from '../../api/errors.ts';
import type {
  HandleErrorReply,
  HandleErrorRequest,
  HeartbeatReply,
  HeartbeatRequest,
  RecoveryDoneReply,
  RecoveryDoneRequest,
  ReplicaStatus,
  Reply,
} from '../../api/model.ts';
import type { StillAliveParams } from '../../api/routes.ts';
import { proposeOrThrow, type ConductorContext } from '../context.ts';
import { factsOf } from '../monitor.ts';
import { replicaLiveness } from '../plan/liveness.ts';
import { StoreLoad } from '../plan/store-load.ts';
import { isReturn } from '../state/apply.ts';
import type { StoreFacts } from '../state/cluster-state.ts';
import type { ShardChange } from '../state/commands.ts';
import { findReplica, volumeConfig, type ReplicaAddress } from '../state/queries.ts';

/** Nothing is written for a heartbeat that tells nothing new. */
export async function heartbeat(context: ConductorContext, request: HeartbeatRequest): Promise<HeartbeatReply> {
  checkDisks(context, request);
  const facts = factsOf(request);
  let storeId = context.state.storeIdByUuid.get(request.store_uuid);
  if (storeId === undefined) {
    storeId = await proposeOrThrow(context, { kind: 'put_store', store: facts });
    context.world.log.info(`store ${storeId} on ${facts.host} is new: ${facts.dataAddress}, ${facts.disks.length} disks`);
  }
  context.monitor.checkIncarnation(storeId, request.incarnation);
  if (context.monitor.isOutdated(storeId, request))
    throw new PfError('INVALID_STATE', `store ${storeId} has sent a later heartbeat than report ${request.report}`);
  const known = context.state.stores.get(storeId)!;
  if (!isReturn(known, facts) && !isSame(known, facts)) await proposeOrThrow(context, { kind: 'put_store', store: facts });
  context.monitor.hear(storeId, request);
  const { cluster } = context.state;
  return { op: 'heartbeat_reply', ret_code: 0, store_id: storeId, cluster_token: cluster!.token, cluster_uuid: cluster!.uuid };
}

/** Errors: NOT_FOUND, when nothing is known that this could be a repetition of. */
export function stillAlive(context: ConductorContext, request: StillAliveParams): Reply {
  const { store_id: storeId, incarnation, report } = request;
  if (!context.monitor.hearAgain(storeId, incarnation, report) || !isRecorded(context, storeId)) {
    throw new PfError(
      'NOT_FOUND',
      `store ${storeId} has not been heard of lately as incarnation "${incarnation}" with report ${report}: send a full heartbeat`,
    );
  }
  return { op: 'still_alive_reply', ret_code: 0 };
}

/** The state has what the store last told: its return may have been recorded while it told something new. */
function isRecorded(context: ConductorContext, storeId: number): boolean {
  const known = context.state.stores.get(storeId);
  const facts = context.monitor.factsOf(storeId);
  return known === undefined || isReturn(known, facts) || isSame(known, facts);
}

function checkDisks(context: ConductorContext, request: HeartbeatRequest): void {
  const uuids = new Set(request.disks.map((disk) => disk.uuid));
  if (uuids.size !== request.disks.length)
    throw new PfError('INVALID_ARGUMENT', `store ${request.store_uuid} reports a disk twice`);
  for (const store of context.state.stores.values()) {
    if (store.uuid === request.store_uuid) continue;
    const shared = store.disks.find((disk) => uuids.has(disk.uuid));
    if (
      shared !== undefined &&
      context.monitor.isDiskUsable(store.id, shared.uuid) &&
      context.monitor.livenessOf(store.id) !== 'DEAD'
    ) {
      throw new PfError(
        'INVALID_STATE',
        `disk ${shared.uuid} is reported by store ${store.id} too: one of them uses a copy, remove it`,
      );
    }
  }
}

function isSame(known: StoreFacts, facts: StoreFacts): boolean {
  return (
    known.host === facts.host &&
    known.version === facts.version &&
    known.disks.length === facts.disks.length &&
    known.disks.every((disk, index) => {
      const other = facts.disks[index]!;
      return (
        disk.uuid === other.uuid &&
        disk.device === other.device &&
        disk.status === other.status &&
        disk.rawCapacity === other.rawCapacity &&
        disk.objectSize === other.objectSize
      );
    })
  );
}

export async function handleError(context: ConductorContext, request: HandleErrorRequest): Promise<HandleErrorReply> {
  const reason = await takeOut(context, request);
  return { op: 'handle_error_reply', ...currentConfig(context, request, reason) };
}

export async function recoveryDone(context: ConductorContext, request: RecoveryDoneRequest): Promise<RecoveryDoneReply> {
  const found = replicaOf(context, request.rep_id);
  let reason = objection(context, request, found);
  if (reason === null) {
    const { volume, shardIndex, replicaIndex } = found;
    const outcome = await context.engine.propose({
      kind: 'finish_recovery',
      volumeId: volume.id,
      shardIndex,
      replicaIndex,
      metaVersion: request.meta_ver,
    });
    if (outcome.isAccepted) {
      context.rests.succeeded(request.rep_id);
      context.world.log.info(`replica ${replicaIndex} of shard ${shardIndex} of volume ${volume.name} is in sync again`);
    } else reason = outcome.reason;
  }
  return { op: 'recovery_done_reply', ...currentConfig(context, request, reason) };
}

/** Null when the replica is out of the configuration now, else why it is not. */
async function takeOut(context: ConductorContext, request: HandleErrorRequest): Promise<string | null> {
  const found = replicaOf(context, request.rep_id);
  const objected = objection(context, request, found);
  if (objected !== null) return objected;
  if (found.shard.replicas[found.replicaIndex]!.status === 'OUT_OF_SYNC') return null;
  const change = changeWithout(context, found);
  if (typeof change === 'string') return change;
  const where = `replica ${found.replicaIndex} of shard ${found.shardIndex} of volume ${found.volume.name}`;
  context.world.log.warn(
    `${where} failed with status 0x${request.sc.toString(16)}, says store ${request.store_id}: taking it out`,
  );
  // It rests before its next recovery even if this proposal is refused: it did fail.
  context.rests.failed(request.rep_id);
  const outcome = await context.engine.propose({ kind: 'reconfigure', stores: [], changes: [change] });
  return outcome.isAccepted ? null : outcome.reason;
}

function replicaOf(context: ConductorContext, replicaId: number): ReplicaAddress {
  const found = findReplica(context.state, replicaId);
  if (found === null) throw new PfError('NOT_FOUND', `replica ${replicaId} does not exist: its volume was deleted`);
  return found;
}

/** Why the report does not count, or null: it must come from the living primary of exactly the current configuration. */
function objection(
  context: ConductorContext,
  request: RecoveryDoneRequest | HandleErrorRequest,
  found: ReplicaAddress,
): string | null {
  const { shard, shardIndex, volume } = found;
  const where = `shard ${shardIndex} of volume "${volume.name}"`;
  if (context.state.stores.get(request.store_id)?.incarnation !== request.incarnation) {
    return `store ${request.store_id} is not known under incarnation "${request.incarnation}"`;
  }
  if (shard.metaVersion !== request.meta_ver) return `${where} has meta version ${shard.metaVersion}, not ${request.meta_ver}`;
  if (shard.replicas[shard.primary]!.storeId !== request.store_id)
    return `store ${request.store_id} is not the primary of ${where}`;
  return null;
}

/** The configuration without this replica; the primary may report itself, if another in-sync replica lives. */
function changeWithout(context: ConductorContext, found: ReplicaAddress): ShardChange | string {
  const { volume, shard, shardIndex, replicaIndex } = found;
  const statuses: ReplicaStatus[] = shard.replicas.map((replica, index) =>
    index === replicaIndex ? 'OUT_OF_SYNC' : replica.status,
  );
  let primary = shard.primary;
  if (replicaIndex === primary) {
    const living = statuses.flatMap((status, index) =>
      status === 'IN_SYNC' && replicaLiveness(context.monitor, shard.replicas[index]!) === 'LIVE' ? [index] : [],
    );
    if (living.length === 0)
      return `replica ${replicaIndex} of shard ${shardIndex} of volume "${volume.name}" is the last in-sync one that lives: it stays`;
    primary = new StoreLoad(context.state).leastPrimaries(living, (index) => shard.replicas[index]!.storeId);
  }
  return { volumeId: volume.id, shardIndex, metaVersion: shard.metaVersion, primary, statuses };
}

/** As the reporting store would be told it by prepare_volume. */
function currentConfig(
  context: ConductorContext,
  request: { readonly store_id: number; readonly rep_id: number },
  reason: string | null,
) {
  const volume = findReplica(context.state, request.rep_id)?.volume;
  const config = volume === undefined ? null : volumeConfig(context.state, context.monitor, volume, request.store_id);
  return reason === null ? { ret_code: 0, volume: config } : { ret_code: retCodeOf('INVALID_STATE'), reason, volume: config };
}
