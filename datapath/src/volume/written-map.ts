// The map of a volume's written blocks as extents, from the bitmaps that its stores answer. Called by VolumeDevice.extents().
import { PfError } from '../base/errors.ts';
import { alignDown, alignUp, BLOCK_BYTES } from '../base/sizes.ts';
import type { BlockExtent } from '../block/device.ts';
import { ExtentList } from '../block/extent-list.ts';
import { CompletionPromise } from '../world/completion.ts';
import type { IoMemory } from '../world/memory.ts';
import { payloadBytesFromStore } from '../wire/frame-codec.ts';
import { MAX_TRIM_BYTES, OP_QUERY_WRITTEN } from '../wire/messages.ts';

/** Fills memory with one bit per block of the range, which lies in one shard; resolves with an errno. */
export type WrittenQuery = (offset: number, length: number, memory: number) => Promise<number>;

export async function readWrittenMap(
  memory: IoMemory,
  volume: { readonly name: string; readonly shardBytes: number },
  offset: number,
  length: number,
  query: WrittenQuery,
): Promise<readonly BlockExtent[]> {
  const list = new ExtentList();
  const end = offset + length;
  for (let from = alignDown(offset, BLOCK_BYTES); from < end; ) {
    const shardEnd = (Math.floor(from / volume.shardBytes) + 1) * volume.shardBytes;
    const to = Math.min(alignUp(end, BLOCK_BYTES), shardEnd, from + MAX_TRIM_BYTES);
    const bitmapBytes = payloadBytesFromStore(OP_QUERY_WRITTEN, to - from);
    const slot = await slotOf(memory, bitmapBytes);
    try {
      const errno = await query(from, to - from, slot);
      if (errno !== 0)
        throw new PfError('IO_ERROR', `cannot map ${to - from} bytes at ${from} of volume "${volume.name}": errno ${errno}`);
      addRuns(list, memory.bytes, slot, from, to, offset, end);
    } finally {
      memory.releaseSlot(slot);
    }
    from = to;
  }
  return list.extents;
}

/** Runs of equal bits, cut to [offset, end). */
function addRuns(
  list: ExtentList,
  bytes: Uint8Array,
  bitmap: number,
  from: number,
  to: number,
  offset: number,
  end: number,
): void {
  const count = (to - from) / BLOCK_BYTES;
  for (let block = 0; block < count; ) {
    const isWritten = isSet(bytes, bitmap, block);
    let next = block + 1;
    while (next < count && isSet(bytes, bitmap, next) === isWritten) next += 1;
    const start = Math.max(offset, from + block * BLOCK_BYTES);
    const stop = Math.min(end, from + next * BLOCK_BYTES);
    list.add(stop - start, isWritten, !isWritten);
    block = next;
  }
}

const isSet = (bytes: Uint8Array, bitmap: number, block: number): boolean =>
  (bytes[bitmap + (block >> 3)]! & (1 << (block & 7))) !== 0;

async function slotOf(memory: IoMemory, sizeBytes: number): Promise<number> {
  for (;;) {
    const slot = memory.acquireSlot(sizeBytes);
    if (slot !== 0) return slot;
    const free = new CompletionPromise();
    memory.whenSlotFree(sizeBytes, free);
    await free.done;
  }
}
