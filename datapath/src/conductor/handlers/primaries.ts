// Whether the primaries of a volume hold what the conductor has decided: what opening, growing and detaching wait for.
import type { ConductorContext } from '../context.ts';
import { isServed } from '../plan/liveness.ts';
import type { ShardRecord } from '../state/cluster-state.ts';

/** How long an operation waits for the primaries. */
export const PRIMARIES_DEADLINE_MS = 10_000;

/** Index of a shard whose primary does not hold the current configuration and the epoch, or null. A deleted volume has none. */
export function firstUnready(context: ConductorContext, volumeId: number, epoch: number): number | null {
  return firstOf(context, volumeId, (shard, index) => {
    return !isServed(context.monitor, shard) || !isHeld(context, volumeId, index, shard, epoch);
  });
}

/** As firstUnready, of the shards that somebody serves: a primary that is gone serves nothing before it has been told everything anew. */
export function firstUntold(context: ConductorContext, volumeId: number): number | null {
  return firstOf(context, volumeId, (shard, index) => {
    return isServed(context.monitor, shard) && !isHeld(context, volumeId, index, shard, 0);
  });
}

function isHeld(context: ConductorContext, volumeId: number, index: number, shard: ShardRecord, epoch: number): boolean {
  return context.pusher.holds(shard.replicas[shard.primary]!.storeId, volumeId, index, shard.metaVersion, epoch);
}

function firstOf(
  context: ConductorContext,
  volumeId: number,
  isWanted: (shard: ShardRecord, index: number) => boolean,
): number | null {
  for (const [index, shard] of context.state.volumes.get(volumeId)?.shards.entries() ?? [])
    if (isWanted(shard, index)) return index;
  return null;
}
