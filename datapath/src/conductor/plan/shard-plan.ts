// Decides configurations: what must change now that stores died, came back or recovered. Pure: (state, liveness) -> one reconfigure
// command, or null when everything is as it should be. Rules: sections 5 and 6 of docs/internals/replication.md.
//   in-sync, live           stays
//   in-sync, returned       leaves if a live one stays; else all returned ones stay, since they hold everything acknowledged
//   in-sync, dead           leaves if any of the others stays
//   recovering, not live    becomes out of sync
//   out of sync, reachable  starts to recover, within the limit per store
// A shard that counts on a returned store always gets a new meta version: a configuration never outlives a restart. While
// one in-sync replica's store is UNKNOWN, or quiet, the shard waits, and so does the return of any store in it. So stores that die
// together (or a conductor that is cut off) make one decision at the end, not a cascade that leaves the replica that was heard last.
import type { ReplicaStatus } from '../../api/model.ts';
import type { ClusterState, ReplicaRecord, ShardRecord, StoreFacts, VolumeRecord } from '../state/cluster-state.ts';
import type { ShardChange } from '../state/commands.ts';
import { replicaLiveness, type Liveness, type LivenessView } from './liveness.ts';
import { StoreLoad } from './store-load.ts';

/** Recoveries at a time that a store takes part in, as source or as target. */
export const RECOVERIES_PER_STORE = 4;

export interface ShardPlanInput {
  readonly state: ClusterState;
  readonly view: LivenessView;
  /** The facts of a store that is RETURNED, as it reports them. */
  returnedFacts(storeId: number): StoreFacts;
  /** A replica whose recovery failed a moment ago rests before the next attempt. */
  isResting(volumeId: number, shardIndex: number, replicaIndex: number): boolean;
}

export interface ShardPlan {
  readonly stores: readonly StoreFacts[];
  readonly changes: readonly ShardChange[];
}

interface Draft {
  readonly volume: VolumeRecord;
  readonly shardIndex: number;
  readonly shard: ShardRecord;
  readonly liveness: readonly Liveness[];
  readonly statuses: ReplicaStatus[];
  primary: number;
  isTouched: boolean;
}

export function planShards(input: ShardPlanInput): ShardPlan | null {
  const { state, view } = input;
  const drafts = draftsOf(state, view);
  const waiting = waitingStores(drafts);
  const returning = [...state.stores.keys()]
    .filter((id) => view.livenessOf(id) === 'RETURNED' && !view.isQuiet(id) && !waiting.has(id))
    .sort((a, b) => a - b);
  const returningSet = new Set(returning);
  const load = new StoreLoad(state);
  for (const draft of drafts) if (!isWaiting(draft, waiting)) settle(draft, returningSet, load);
  startRecoveries(
    input,
    drafts.filter((draft) => !isWaiting(draft, waiting)),
    load,
  );
  const changes = drafts.filter((draft) => draft.isTouched).map(changeOf);
  if (changes.length === 0 && returning.length === 0) return null;
  return { stores: returning.map((id) => input.returnedFacts(id)), changes };
}

function draftsOf(state: ClusterState, view: LivenessView): Draft[] {
  const drafts: Draft[] = [];
  for (const volume of state.volumes.values()) {
    for (const [shardIndex, shard] of volume.shards.entries()) {
      const liveness = shard.replicas.map((replica) => plannedLiveness(view, replica));
      const statuses = shard.replicas.map((replica) => replica.status);
      drafts.push({ volume, shardIndex, shard, liveness, statuses, primary: shard.primary, isTouched: false });
    }
  }
  return drafts;
}

/** A quiet store is heard of, or dead, in a moment: until then nothing is known. */
function plannedLiveness(view: LivenessView, replica: ReplicaRecord): Liveness {
  const liveness = replicaLiveness(view, replica);
  return liveness !== 'DEAD' && view.isQuiet(replica.storeId) ? 'UNKNOWN' : liveness;
}

/** Stores whose return must wait: they are in a shard that waits. Grows until it stands: a shard of a waiting store waits with it. */
function waitingStores(drafts: readonly Draft[]): ReadonlySet<number> {
  const waiting = new Set<number>();
  let hasGrown = true;
  while (hasGrown) {
    hasGrown = false;
    for (const draft of drafts) {
      if (!isWaiting(draft, waiting)) continue;
      for (const [index, replica] of draft.shard.replicas.entries()) {
        if (draft.liveness[index] !== 'RETURNED' || draft.statuses[index] === 'OUT_OF_SYNC' || waiting.has(replica.storeId))
          continue;
        waiting.add(replica.storeId);
        hasGrown = true;
      }
    }
  }
  return waiting;
}

/** An in-sync replica may or may not be alive, or a replica that counts is on a store whose return waits. */
function isWaiting(draft: Draft, waitingStoreIds: ReadonlySet<number>): boolean {
  return draft.shard.replicas.some(
    (replica, index) =>
      (replica.status === 'IN_SYNC' && draft.liveness[index] === 'UNKNOWN') ||
      (replica.status !== 'OUT_OF_SYNC' && waitingStoreIds.has(replica.storeId)),
  );
}

/** Takes out what is gone and chooses the primary. */
function settle(draft: Draft, returning: ReadonlySet<number>, load: StoreLoad): void {
  const { shard, liveness, statuses } = draft;
  const inSync = (wanted: Liveness): number[] =>
    statuses.flatMap((status, index) => (status === 'IN_SYNC' && liveness[index] === wanted ? [index] : []));
  const live = inSync('LIVE');
  const keep = live.length > 0 ? live : inSync('RETURNED');
  for (const [index, replica] of shard.replicas.entries()) {
    if (replica.status !== 'OUT_OF_SYNC' && returning.has(replica.storeId)) draft.isTouched = true;
    const isLost =
      replica.status === 'IN_SYNC' ? keep.length > 0 && !keep.includes(index) : isRecoveryLost(replica.status, liveness[index]!);
    if (!isLost) continue;
    statuses[index] = 'OUT_OF_SYNC';
    draft.isTouched = true;
    if (replica.status === 'RECOVERING') load.endRecovery(shard, replica.storeId);
  }
  if (keep.length > 0 && !keep.includes(draft.primary)) {
    draft.primary = load.leastPrimaries(keep, (index) => shard.replicas[index]!.storeId);
    load.movePrimary(shard.replicas[shard.primary]!.storeId, shard.replicas[draft.primary]!.storeId);
    draft.isTouched = true;
  }
}

function isRecoveryLost(status: ReplicaStatus, liveness: Liveness): boolean {
  return status === 'RECOVERING' && (liveness === 'DEAD' || liveness === 'RETURNED');
}

/** Shards with the fewest copies first. */
function startRecoveries(input: ShardPlanInput, drafts: readonly Draft[], load: StoreLoad): void {
  const inSyncCount = (draft: Draft): number => draft.statuses.filter((status) => status === 'IN_SYNC').length;
  const wanting = drafts.filter((draft) => draft.statuses.includes('OUT_OF_SYNC'));
  for (const draft of wanting.sort((a, b) => inSyncCount(a) - inSyncCount(b))) {
    const primaryStore = draft.shard.replicas[draft.primary]!.storeId;
    if (!isReachable(draft.liveness[draft.primary]!)) continue;
    for (const [index, replica] of draft.shard.replicas.entries()) {
      if (draft.statuses[index] !== 'OUT_OF_SYNC' || !isReachable(draft.liveness[index]!)) continue;
      if (input.isResting(draft.volume.id, draft.shardIndex, index)) continue;
      if (load.recoveries(replica.storeId) >= RECOVERIES_PER_STORE || load.recoveries(primaryStore) >= RECOVERIES_PER_STORE)
        continue;
      load.startRecovery(primaryStore, replica.storeId);
      draft.statuses[index] = 'RECOVERING';
      draft.isTouched = true;
    }
  }
}

const isReachable = (liveness: Liveness): boolean => liveness === 'LIVE' || liveness === 'RETURNED';

function changeOf(draft: Draft): ShardChange {
  return {
    volumeId: draft.volume.id,
    shardIndex: draft.shardIndex,
    metaVersion: draft.shard.metaVersion,
    primary: draft.primary,
    statuses: draft.statuses,
  };
}
