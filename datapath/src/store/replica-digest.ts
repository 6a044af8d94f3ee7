// A digest of what one object of a replica reads as: equal for replicas that read the same, whatever blocks each has stored.
// Cold: reads every written block from the disk.
import { PfError } from '../base/errors.ts';
import { BLOCK_BYTES } from '../base/sizes.ts';
import { diskCall, takeSlot } from './cold-io.ts';
import { DISK_READ } from './disk/disk-io.ts';
import { BLOCKS_PER_EXTENT, EXTENT_BYTES, OBJECT_BYTES } from './disk/layout.ts';
import type { Shard } from './shard.ts';

export interface ReplicaDigest {
  readonly sha256: string;
  /** Blocks that are stored, zeros or not. */
  readonly writtenBlocks: number;
}

/** SHA-256 over "block index:SHA-256 of the block" of every block that is not all zeros, in order. Errors: IO_ERROR, CORRUPT. */
export async function digestObject(shard: Shard, objectIndex: number): Promise<ReplicaDigest> {
  const { world } = shard.host;
  const slot = await takeSlot(world.memory, EXTENT_BYTES);
  const lines: string[] = [];
  let writtenBlocks = 0;
  try {
    for (const extent of shard.extents.list(objectIndex, objectIndex + 1, 0)) {
      const start = objectIndex * OBJECT_BYTES + extent.extentIndex * EXTENT_BYTES;
      const length = Math.min(EXTENT_BYTES, shard.endOffset - start);
      await readWhole(shard, start, length, slot);
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
        if ((extent.written >>> block) & 1) writtenBlocks += 1;
        const bytes = world.memory.bytes.subarray(slot + block * BLOCK_BYTES, slot + Math.min((block + 1) * BLOCK_BYTES, length));
        if (bytes.some((byte) => byte !== 0))
          lines.push(`${extent.extentIndex * BLOCKS_PER_EXTENT + block}:${world.sha256(bytes)}`);
      }
    }
  } finally {
    world.memory.releaseSlot(slot);
  }
  return { sha256: world.sha256(new TextEncoder().encode(lines.join('\n'))), writtenBlocks };
}

async function readWhole(shard: Shard, start: number, length: number, slot: number): Promise<void> {
  const io = await diskCall(shard, (each) => {
    each.operation = DISK_READ;
    each.offset = start;
    each.length = length;
    each.memory = slot;
  });
  if (io.result === 0) return;
  throw new PfError(
    io.isCorrupt ? 'CORRUPT' : 'IO_ERROR',
    `cannot digest volume "${shard.volume.name}" at ${start}: errno ${io.result}; read the range through a client to have it repaired`,
  );
}
