// Repairs blocks that fail their checksum or cannot be read: reads them from an in-sync secondary and writes them again in place, with
// the extent's stamp left as it is. Called for reads and partial writes that met such a block, and by extent-sync.
// The caller holds the range lock, so no write can come in between and all in-sync replicas hold the same bytes.
import { BLOCK_BYTES, alignDown, alignUp } from '../base/sizes.ts';
import { OP_READ_REPLICA } from '../wire/messages.ts';
import { STATUS_OK } from '../wire/status.ts';
import { callReplica, diskCall, takeSlot } from './cold-io.ts';
import { DISK_READ, DISK_WRITE } from './disk/disk-io.ts';
import type { Shard } from './shard.ts';

/** Repaired: every block of the range can be read now. Damaged: no replica has one of them. Disk failed: it cannot be stored here. */
export type HealResult = 'repaired' | 'damaged' | 'disk failed';

export async function healRange(shard: Shard, offset: number, length: number): Promise<HealResult> {
  const { memory } = shard.host.world;
  const slot = await takeSlot(memory, BLOCK_BYTES);
  let result: HealResult = 'repaired';
  try {
    for (let at = alignDown(offset, BLOCK_BYTES); at < alignUp(offset + length, BLOCK_BYTES); at += BLOCK_BYTES) {
      if (await isReadable(shard, at, slot)) continue;
      const healed = await healBlock(shard, at, slot);
      if (healed !== 'repaired' && result !== 'disk failed') result = healed;
    }
  } finally {
    memory.releaseSlot(slot);
  }
  return result;
}

async function isReadable(shard: Shard, offset: number, slot: number): Promise<boolean> {
  const io = await diskCall(shard, (each) => {
    each.operation = DISK_READ;
    each.offset = offset;
    each.length = BLOCK_BYTES;
    each.memory = slot;
  });
  return io.result === 0;
}

async function healBlock(shard: Shard, offset: number, slot: number): Promise<HealResult> {
  for (const link of shard.links) {
    if (link.isFailed || link.isRecovering) continue;
    const answered = await callReplica(link, (command) => {
      command.opcode = OP_READ_REPLICA;
      command.offset = offset;
      command.length = BLOCK_BYTES;
      command.memory = slot;
    });
    if (answered.status !== STATUS_OK) continue;
    // Another primary may write this block by now: what was read is no longer the truth.
    if (shard.role.metaVersion !== link.metaVersion || shard.role.isClosing) return 'damaged';
    shard.diskWrites += 1;
    const io = await diskCall(shard, (each) => {
      each.operation = DISK_WRITE;
      each.offset = offset;
      each.length = BLOCK_BYTES;
      each.memory = slot;
      each.keepStamp = true;
    });
    shard.diskWriteDone();
    if (io.result !== 0) return 'disk failed';
    shard.host.counters.healedBlocks += 1;
    shard.host.world.log.warn('repaired a block from another replica', {
      volume: shard.volume.name,
      offset,
      from: link.replica.address,
    });
    return 'repaired';
  }
  return 'damaged';
}
