// A secondary had no space for a write that the primary had space for: takes back what the write had newly allocated, everywhere,
// and makes the rest of its range equal on all replicas, so that ENOSPC has changed nothing but the range's content.
// docs/internals/replication.md 3.7. The operation holds the lock over its range the whole time.
import { errorCodeOf } from '../base/errors.ts';
import { BLOCK_BYTES, alignDown, alignUp } from '../base/sizes.ts';
import { StoreClient } from '../api/store-client.ts';
import { OP_REPLICATE_TRIM, OP_REPLICATE_WRITE } from '../wire/messages.ts';
import { STATUS_CONNECTION_LOST, STATUS_OK } from '../wire/status.ts';
import { callReplica, diskCall, takeSlot } from './cold-io.ts';
import { DISK_READ, DISK_TRIM } from './disk/disk-io.ts';
import { BLOCKS_PER_EXTENT, EXTENTS_PER_OBJECT, EXTENT_BYTES } from './disk/layout.ts';
import type { ReplicaLink } from './replica-link.ts';
import type { Shard } from './shard.ts';
import type { ShardOperation } from './shard-operation.ts';

const WAIT_MS = 10;

export async function rollBack(operation: ShardOperation): Promise<void> {
  const shard = operation.shard!;
  const { offset, length, generation, sequence } = operation.io;
  const start = alignDown(offset, BLOCK_BYTES);
  const end = alignUp(offset + length, BLOCK_BYTES);
  const slot = await takeSlot(shard.host.world.memory, EXTENT_BYTES);
  try {
    for (let at = start; at < end; ) {
      const partEnd = Math.min(end, alignDown(at, EXTENT_BYTES) + EXTENT_BYTES);
      await makePartEqual(shard, { offset: at, length: partEnd - at, generation, sequence }, slot);
      at = partEnd;
    }
  } finally {
    shard.host.world.memory.releaseSlot(slot);
  }
  operation.rolledBack();
}

/** Blocks of one extent, and the stamp of the write. */
interface Part {
  readonly offset: number;
  readonly length: number;
  readonly generation: number;
  readonly sequence: number;
}

async function makePartEqual(shard: Shard, part: Part, slot: number): Promise<void> {
  const extentNumber = Math.floor(part.offset / EXTENT_BYTES);
  const isEqual = new Set<number>();
  let isTrimmed = false;
  while (shard.state === 'serving') {
    const todo = shard.links.filter((link) => !link.isFailed && !isEqual.has(link.replica.store_id));
    if (todo.length === 0 && !shard.links.some((link) => link.isFailed)) return;
    if (!isTrimmed && (await isMissingSomewhere(todo, extentNumber))) {
      if (shard.state !== 'serving') return;
      await trimLocally(shard, part);
      isTrimmed = true;
    }
    const isWritten = !isTrimmed && (await readLocally(shard, part, slot));
    for (const link of todo) {
      const status = await sendPart(link, part, isWritten, slot);
      if (status === STATUS_OK) isEqual.add(link.replica.store_id);
      else link.fail(status);
    }
    await shard.host.world.clock.sleep(WAIT_MS);
  }
}

/** In-sync replicas held the same extents before the write: one that lacks this extent says that the write allocated it. */
async function isMissingSomewhere(links: readonly ReplicaLink[], extentNumber: number): Promise<boolean> {
  for (const link of links) {
    if (link.isRecovering) continue;
    const { shard } = link;
    const objectIndex = Math.floor(extentNumber / EXTENTS_PER_OBJECT);
    try {
      const client = new StoreClient(shard.host.world, link.replica.http_address);
      const list = await client.listExtents(
        { volume_id: shard.volumeId, shard_index: shard.index, from_object: objectIndex, above: 0 },
        { timeoutMs: 1000 },
      );
      const isHeld = list.extents.some(
        (each) => each.objectIndex === objectIndex && each.extentIndex === extentNumber % EXTENTS_PER_OBJECT,
      );
      if (!isHeld) return true;
    } catch (error) {
      shard.host.world.log.warn('cannot ask a secondary what a failed write left', {
        replica: link.replica.address,
        code: errorCodeOf(error),
      });
      link.fail(STATUS_CONNECTION_LOST);
    }
  }
  return false;
}

async function trimLocally(shard: Shard, part: Part): Promise<void> {
  shard.diskWrites += 1;
  shard.unstampedUpTo = Math.max(shard.unstampedUpTo, part.sequence);
  await diskCall(shard, (io) => {
    io.operation = DISK_TRIM;
    io.offset = part.offset;
    io.length = part.length;
    io.generation = part.generation;
    io.sequence = part.sequence;
  });
  shard.diskWriteDone();
}

/** False when the part has unwritten blocks: then it is sent as a trim. */
async function readLocally(shard: Shard, part: Part, slot: number): Promise<boolean> {
  const extent = shard.extents.at(Math.floor(part.offset / EXTENT_BYTES));
  const first = (part.offset / BLOCK_BYTES) % BLOCKS_PER_EXTENT;
  for (let block = first; block < first + part.length / BLOCK_BYTES; block += 1) {
    if (extent === null || ((extent.written >>> block) & 1) === 0) return false;
  }
  const io = await diskCall(shard, (each) => {
    each.operation = DISK_READ;
    each.offset = part.offset;
    each.length = part.length;
    each.memory = slot;
  });
  return io.result === 0;
}

async function sendPart(link: ReplicaLink, part: Part, isWritten: boolean, slot: number): Promise<number> {
  const answered = await callReplica(link, (command) => {
    command.opcode = isWritten ? OP_REPLICATE_WRITE : OP_REPLICATE_TRIM;
    command.offset = part.offset;
    command.length = part.length;
    command.memory = slot;
    command.commandSequence = part.generation;
    command.sequence = part.sequence;
  });
  return answered.status;
}
