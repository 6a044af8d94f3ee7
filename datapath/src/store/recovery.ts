// Brings a replica that was away back to being equal, while the shard serves: walks the shard's objects and pushes every extent
// that differs. docs/internals/replication.md section 5. One walk per replica and configuration, started by the replicator.
// Invariants: the walk begins after every write has ended that was started before the replica got writes; the conductor is told
// only after a whole walk without an error, and reads need the replica's promise from then on.
import { forEachParallel, passBarrier } from './cold-io.ts';
import { OBJECT_BYTES } from './disk/layout.ts';
import { SYNC_DEPTH, compareObjects, isFailure, pushExtent, type PushFailure } from './extent-sync.ts';
import type { ReplicaLink } from './replica-link.ts';

export type RecoveryEnd = 'done' | 'outdated' | PushFailure;

/** Copies until the secondary is equal. `isCurrent` turns false when the configuration changes. */
export async function recoverReplica(link: ReplicaLink, isCurrent: () => boolean): Promise<RecoveryEnd> {
  const { shard } = link;
  const { counters, world } = shard.host;
  const startedAt = world.clock.now();
  let copied = 0;
  await passBarrier(shard);
  for (let object: number | null = Math.floor(shard.startOffset / OBJECT_BYTES); object !== null; ) {
    if (!isCurrent()) return 'outdated';
    const result = await compareObjects(link, object, 0);
    if (!isCurrent() || result === 'outdated' || result === 'needs full') return 'outdated';
    if (isFailure(result)) return { ...result, isLocal: false };
    let failure: PushFailure | null = null;
    const isPushed = await forEachParallel(result.differing, SYNC_DEPTH, async (extentNumber) => {
      if (!isCurrent()) return false;
      const result = await pushExtent(link, extentNumber);
      if (result !== null) {
        // Others are under way: their success must not hide this one.
        failure = result;
        return false;
      }
      copied += 1;
      counters.recoveredExtents += 1;
      return true;
    });
    if (!isPushed) return isCurrent() && failure !== null ? failure : 'outdated';
    object = result.nextObject;
  }
  if (!isCurrent()) return 'outdated';
  counters.recoveries += 1;
  world.log.info('replica has been recovered', {
    volume: shard.volume.name,
    shard: shard.index,
    replica: link.replica.address,
    extents: copied,
    tookMs: Math.round(world.clock.now() - startedAt),
  });
  return 'done';
}
