// What the conductor believes about stores at one moment: the input of plans and of everything that is shown. The monitor
// implements it; tests write it down by hand.
import type { ReplicaRecord, ShardRecord } from '../state/cluster-state.ts';

/**
 * LIVE: heard of lately, under the incarnation that the state knows. RETURNED: heard of lately, but as another incarnation (or under
 * another address) than the state reckons with. UNKNOWN: not heard of, by a conductor that has itself just started. DEAD: silent for too long.
 */
export type Liveness = 'LIVE' | 'RETURNED' | 'UNKNOWN' | 'DEAD';

export interface LivenessView {
  livenessOf(storeId: number): Liveness;
  /** Not dead yet, but a heartbeat is overdue: no decision should count on it. */
  isQuiet(storeId: number): boolean;
  /** Present in the store's last report, without an error. Asked for stores that are LIVE or RETURNED. */
  isDiskUsable(storeId: number, diskUuid: string): boolean;
  /** As last reported; 0 when never. */
  freeBytes(storeId: number, diskUuid: string): number;
}

/** A replica lives as long as its store and its disk do. */
export function replicaLiveness(view: LivenessView, replica: ReplicaRecord): Liveness {
  const liveness = view.livenessOf(replica.storeId);
  const needsDisk = liveness === 'LIVE' || liveness === 'RETURNED';
  return needsDisk && !view.isDiskUsable(replica.storeId, replica.diskUuid) ? 'DEAD' : liveness;
}

/** Somebody can serve this shard, as far as this conductor knows: one that has just started believes its state. */
export function isServed(view: LivenessView, shard: ShardRecord): boolean {
  const liveness = replicaLiveness(view, shard.replicas[shard.primary]!);
  return liveness === 'LIVE' || liveness === 'UNKNOWN';
}
