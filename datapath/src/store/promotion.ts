// Before a new primary serves, the in-sync replicas are made equal: what the old primary had not acknowledged may have reached
// some of them. docs/internals/replication.md section 4. Started by the shard for each configuration in which it must.
//
//   drain --> compare with every in-sync secondary --> push what differs --> serve
//                 \--no answer: reported; the next configuration starts over
//
// Invariants: nothing is served and no own write is on its way while this runs; the next sequence is above all that was seen.
import { forEachParallel, passBarrier } from './cold-io.ts';
import { OBJECT_BYTES } from './disk/layout.ts';
import { SYNC_DEPTH, compareObjects, isFailure, pushExtent, reportPushFailure } from './extent-sync.ts';
import type { ReplicaLink } from './replica-link.ts';
import type { Shard } from './shard.ts';

export async function promote(shard: Shard): Promise<void> {
  const version = shard.role.metaVersion;
  const isCurrent = (): boolean => shard.state === 'promoting' && shard.role.metaVersion === version && !shard.role.isClosing;
  const startedAt = shard.host.world.clock.now();
  await passBarrier(shard);
  if (!isCurrent()) return;
  const isLimited = shard.role.promotion === 'limited' && shard.unstampedUpTo <= shard.heardMark;
  const above = isLimited ? shard.heardMark : 0;
  const links = shard.links.filter((link) => !link.isRecovering);
  let largest = above === 0 ? await largestOwnSequence(shard, isCurrent) : shard.maxSequence;
  const results = await Promise.all(links.map((link) => makeEqual(link, above, isCurrent)));
  if (!isCurrent() || results.includes(null)) return;
  for (const sequence of results) largest = Math.max(largest, sequence!);
  shard.host.counters.promotions += 1;
  shard.host.world.log.info('shard is served from here', {
    volume: shard.volume.name,
    shard: shard.index,
    metaVersion: version,
    comparedAbove: above,
    tookMs: Math.round(shard.host.world.clock.now() - startedAt),
  });
  shard.promoted(largest);
}

/** The largest sequence seen, or null: given up, a new configuration will follow. */
async function makeEqual(link: ReplicaLink, above: number, isCurrent: () => boolean): Promise<number | null> {
  const { shard } = link;
  const firstObject = Math.floor(shard.startOffset / OBJECT_BYTES);
  let limit = above;
  let largest = 0;
  for (let object: number | null = firstObject; object !== null; ) {
    const result = await compareObjects(link, object, limit);
    if (!isCurrent()) return null;
    if (result === 'needs full') {
      limit = 0;
      object = firstObject;
      continue;
    }
    if (isFailure(result)) {
      if (result !== 'outdated') link.fail(result.status);
      return null;
    }
    largest = Math.max(largest, result.largestSequence);
    const isPushed = await forEachParallel(result.differing, SYNC_DEPTH, async (extentNumber) => {
      if (!isCurrent()) return false;
      const failure = await pushExtent(link, extentNumber);
      if (failure === null) shard.host.counters.promotedExtents += 1;
      else if (isCurrent()) reportPushFailure(link, failure);
      return failure === null;
    });
    if (!isPushed) return null;
    object = result.nextObject;
  }
  return largest;
}

/** Walks all own extents of the shard, in steps, so that other work goes on. */
async function largestOwnSequence(shard: Shard, isCurrent: () => boolean): Promise<number> {
  const STEP_OBJECTS = 16;
  let largest = shard.maxSequence;
  const endObject = Math.ceil(shard.endOffset / OBJECT_BYTES);
  for (let object = Math.floor(shard.startOffset / OBJECT_BYTES); object < endObject && isCurrent(); object += STEP_OBJECTS) {
    const sequence = shard.extents.largestSequence(object, Math.min(endObject, object + STEP_OBJECTS));
    largest = Math.max(largest, sequence);
    if (sequence > 0) await shard.host.world.clock.sleep(0);
  }
  return largest;
}
