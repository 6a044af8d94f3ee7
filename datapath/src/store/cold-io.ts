// Promises over the hot path's callbacks, for what happens rarely: promotion, recovery, repair, roll-back. One record per call.
import type { IoMemory } from '../world/memory.ts';
import { StoreCommand } from '../wire/command.ts';
import { DiskIo } from './disk/disk-io.ts';
import { RangeLock } from './range-locks.ts';
import type { ReplicaLink } from './replica-link.ts';
import type { Shard } from './shard.ts';

export const REPLICATE_TIMEOUT_MS = 1000;

/** Resolves when the lock is held; the caller releases it with shard.locks.release. */
export function lockRange(shard: Shard, offset: number, length: number): Promise<RangeLock> {
  return new Promise((resolve) => {
    const lock = new RangeLock({ lockGranted: resolve });
    if (shard.locks.acquire(lock, offset, length, true)) resolve(lock);
  });
}

/** Resolves when everything that came earlier at this shard has ended; holds back what comes later until then. */
export async function passBarrier(shard: Shard): Promise<void> {
  const { startOffset, endOffset } = shard;
  shard.locks.release(await lockRange(shard, startOffset, endOffset - startOffset));
}

/** Fills and submits one request to the shard's disk; resolves when the disk has let go of it. */
export function diskCall(shard: Shard, fill: (io: DiskIo) => void): Promise<DiskIo> {
  return new Promise((resolve) => {
    const io = new DiskIo({ ioDurable() {}, ioSettled: resolve });
    io.volumeId = shard.volumeId;
    fill(io);
    shard.disk.submit(io);
  });
}

/**
 * Fills and submits one command to a secondary, under the link's meta version; resolves with the answered command. A secondary that
 * does not answer within REPLICATE_TIMEOUT_MS loses its connection, which ends the command.
 */
export function callReplica(link: ReplicaLink, fill: (command: StoreCommand) => void): Promise<StoreCommand> {
  return new Promise((resolve) => {
    const timer = link.shard.host.world.clock.after(REPLICATE_TIMEOUT_MS, () => link.peer.reset());
    const command = new StoreCommand({
      commandDone() {
        timer.cancel();
        resolve(command);
      },
    });
    command.volumeId = link.shard.volumeId;
    command.metaVersion = link.metaVersion;
    command.attachEpoch = link.shard.attachEpoch;
    fill(command);
    link.peer.submit(command);
  });
}

/** Waits for a slot. */
export async function takeSlot(memory: IoMemory, sizeBytes: number): Promise<number> {
  for (;;) {
    const slot = memory.acquireSlot(sizeBytes);
    if (slot !== 0) return slot;
    await new Promise<void>((resolve) => memory.whenSlotFree(sizeBytes, { complete: () => resolve() }));
  }
}

/** Runs `work` on each item, at most `depth` at once; stops starting new ones when one answers false. True when all answered true. */
export async function forEachParallel<T>(
  items: readonly T[],
  depth: number,
  work: (item: T) => Promise<boolean>,
): Promise<boolean> {
  let next = 0;
  let isGood = true;
  const worker = async (): Promise<void> => {
    while (isGood && next < items.length) {
      const item = items[next]!;
      next += 1;
      if (!(await work(item))) isGood = false;
    }
  };
  await Promise.all(Array.from({ length: Math.min(depth, items.length) }, worker));
  return isGood;
}
