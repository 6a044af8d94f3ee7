// Makes a secondary's extents equal to the primary's: fetches what it holds, compares, and pushes whole extents under their range
// lock. Shared by promotion (in-sync replicas, before the shard serves), recovery (a replica that was away) and roll-back.
// A push sets the extent's stamp exactly, so that the next comparison finds both equal.
import { type ExtentList, type ExtentStamp } from '../api/extent-list.ts';
import { errorCodeOf } from '../base/errors.ts';
import { BLOCK_BYTES } from '../base/sizes.ts';
import { FLAG_RECOVERY, OP_REPLICATE_TRIM, OP_REPLICATE_WRITE } from '../wire/messages.ts';
import { STATUS_CORRUPT, STATUS_IO_ERROR, STATUS_OK, STATUS_REPLICATING_TIMEOUT } from '../wire/status.ts';
import { StoreClient } from '../api/store-client.ts';
import { callReplica, diskCall, lockRange, takeSlot } from './cold-io.ts';
import { DISK_READ } from './disk/disk-io.ts';
import { BLOCKS_PER_EXTENT, EXTENT_BYTES, OBJECT_BYTES } from './disk/layout.ts';
import { differingExtents } from './extent-diff.ts';
import { healRange } from './healer.ts';
import type { ReplicaLink } from './replica-link.ts';
import type { Shard } from './shard.ts';

export const SYNC_DEPTH = 8;
const RETRY_MS = 20;
const LIST_TIMEOUT_MS = 1000;

/** One step of a comparison: the secondary's answer and what differs in the objects that it covers. */
export interface Comparison {
  readonly differing: readonly number[];
  readonly largestSequence: number;
  /** Null at the end. */
  readonly nextObject: number | null;
}

export type CompareFailure = 'outdated' | 'needs full' | { readonly status: number };

/**
 * Compares the objects from `fromObject` on, as many as one answer covers; `above` 0 compares everything, otherwise only extents with a
 * larger sequence on either side. Waits up to a second for a secondary that does not hold the configuration yet.
 */
export async function compareObjects(link: ReplicaLink, fromObject: number, above: number): Promise<Comparison | CompareFailure> {
  const { shard } = link;
  const { clock } = shard.host.world;
  const version = shard.role.metaVersion;
  const deadline = clock.now() + LIST_TIMEOUT_MS;
  const client = new StoreClient(shard.host.world, link.replica.http_address);
  for (;;) {
    if (shard.role.metaVersion !== version || shard.role.isClosing) return 'outdated';
    const answer = await fetchList(client, shard, fromObject, above, Math.max(1, deadline - clock.now()));
    if (shard.role.metaVersion !== version || shard.role.isClosing) return 'outdated';
    if (answer === 'needs full') return answer;
    if (answer !== null && answer.metaVersion > version) return 'outdated';
    if (answer !== null && answer.metaVersion === version) return compare(shard, answer, fromObject, above);
    if (clock.now() + RETRY_MS >= deadline) return { status: STATUS_REPLICATING_TIMEOUT };
    await clock.sleep(RETRY_MS);
  }
}

/** Why an extent could not be pushed; `isLocal`: this store's disk is to blame, and another replica has the data. */
export interface PushFailure {
  readonly status: number;
  readonly isLocal: boolean;
}

/** Tells the conductor whom to take out. */
export function reportPushFailure(link: ReplicaLink, failure: PushFailure): void {
  const { shard } = link;
  if (failure.isLocal && shard.hasOtherReplica) shard.host.localReplicaFailed(shard, failure.status);
  else link.fail(failure.status);
}

/** Pushes this store's copy of one extent to a secondary, under the extent's lock. Null: done. */
export async function pushExtent(link: ReplicaLink, extentNumber: number): Promise<PushFailure | null> {
  const { shard } = link;
  const { memory } = shard.host.world;
  const start = extentNumber * EXTENT_BYTES;
  const slot = await takeSlot(memory, EXTENT_BYTES);
  const lock = await lockRange(shard, start, EXTENT_BYTES);
  try {
    return await pushLockedExtent(link, extentNumber, slot);
  } finally {
    shard.locks.release(lock);
    memory.releaseSlot(slot);
  }
}

async function pushLockedExtent(link: ReplicaLink, extentNumber: number, slot: number): Promise<PushFailure | null> {
  const { shard } = link;
  const start = extentNumber * EXTENT_BYTES;
  const length = Math.min(EXTENT_BYTES, shard.endOffset - start);
  const extent = shard.extents.at(extentNumber);
  if (extent !== null) {
    const failure = await readExtent(shard, start, length, slot);
    if (failure !== null) return failure;
  }
  const pieces = extent === null ? [{ isWritten: false, offset: 0, length }] : piecesOf(extent.written, length);
  const statuses = await Promise.all(pieces.map((piece) => pushPiece(link, extent, start, slot, piece)));
  const status = statuses.find((each) => each !== STATUS_OK);
  return status === undefined ? null : { status, isLocal: false };
}

export const isFailure = (result: Comparison | CompareFailure): result is CompareFailure =>
  typeof result === 'string' || 'status' in result;

function compare(shard: Shard, answer: ExtentList, fromObject: number, above: number): Comparison {
  const endObject = answer.nextObject ?? Math.ceil(shard.endOffset / OBJECT_BYTES);
  const own = shard.extents.list(fromObject, endObject, above);
  let largestSequence = 0;
  for (const extent of own) largestSequence = Math.max(largestSequence, extent.sequence);
  for (const extent of answer.extents) largestSequence = Math.max(largestSequence, extent.sequence);
  return { differing: differingExtents(own, answer.extents), largestSequence, nextObject: answer.nextObject };
}

/** Null: try again. */
async function fetchList(
  client: StoreClient,
  shard: Shard,
  fromObject: number,
  above: number,
  timeoutMs: number,
): Promise<ExtentList | 'needs full' | null> {
  try {
    const params = { volume_id: shard.volumeId, shard_index: shard.index, from_object: fromObject, above };
    return await client.listExtents(params, { timeoutMs });
  } catch (error) {
    if (errorCodeOf(error) === 'UNSUPPORTED' && above > 0) return 'needs full';
    shard.host.world.log.debug('cannot list the extents of a secondary yet', {
      volume: shard.volume.name,
      shard: shard.index,
      error: String(error),
    });
    return null;
  }
}

async function readExtent(shard: Shard, start: number, length: number, slot: number): Promise<PushFailure | null> {
  for (let attempt = 0; ; attempt += 1) {
    const io = await diskCall(shard, (each) => {
      each.operation = DISK_READ;
      each.offset = start;
      each.length = length;
      each.memory = slot;
    });
    if (io.result === 0) return null;
    const status = io.isCorrupt ? STATUS_CORRUPT : STATUS_IO_ERROR;
    if (attempt > 0) return { status, isLocal: true };
    const healed = await healRange(shard, start, length);
    if (healed !== 'repaired') return { status, isLocal: healed === 'disk failed' };
  }
}

interface Piece {
  readonly isWritten: boolean;
  readonly offset: number;
  readonly length: number;
}

/** Runs of written and of other blocks. */
function piecesOf(written: number, length: number): Piece[] {
  const pieces: Piece[] = [];
  const blocks = Math.min(BLOCKS_PER_EXTENT, Math.ceil(length / BLOCK_BYTES));
  for (let block = 0; block < blocks; ) {
    const isWritten = ((written >>> block) & 1) === 1;
    let end = block + 1;
    while (end < blocks && (((written >>> end) & 1) === 1) === isWritten) end += 1;
    const offset = block * BLOCK_BYTES;
    pieces.push({ isWritten, offset, length: Math.min(end * BLOCK_BYTES, length) - offset });
    block = end;
  }
  return pieces;
}

async function pushPiece(
  link: ReplicaLink,
  extent: ExtentStamp | null,
  start: number,
  slot: number,
  piece: Piece,
): Promise<number> {
  const answered = await callReplica(link, (command) => {
    command.opcode = piece.isWritten ? OP_REPLICATE_WRITE : OP_REPLICATE_TRIM;
    command.flags = FLAG_RECOVERY;
    command.offset = start + piece.offset;
    command.length = piece.length;
    command.memory = slot + piece.offset;
    command.commandSequence = extent?.generation ?? 0;
    command.sequence = extent?.sequence ?? 0;
  });
  return answered.status;
}
