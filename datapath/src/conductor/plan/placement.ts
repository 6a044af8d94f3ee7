// Where the replicas of a new volume, or of one that grows, go. Pure. Replicas of a shard are on different hosts (failure domains); where the cluster
// allows it, on different stores of one host when there are too few hosts. Within that: disks with the most capacity that is not
// promised yet, nearly full ones last; primaries go where there are the fewest.
import { PfError } from '../../base/errors.ts';
import { MiB } from '../../base/sizes.ts';
import { withVolume, type ClusterState, type StoreRecord, type VolumeRecord } from '../state/cluster-state.ts';
import type { Placement } from '../state/commands.ts';
import type { LivenessView } from './liveness.ts';
import { StoreLoad, shardBytes } from './store-load.ts';

/** A disk with less room than one object takes nothing new. */
const MIN_FREE_BYTES = 64 * MiB;
/** Below this share of free space a disk is taken only when no other one is left. */
const LOW_FREE_SHARE = 0.1;

export interface PlacementRequest {
  readonly sizeBytes: number;
  readonly shardSizeBytes: number;
  readonly replicaCount: number;
  readonly allowSameHost: boolean;
}

interface Candidate {
  readonly store: StoreRecord;
  readonly diskUuid: string;
  readonly rawCapacity: number;
  readonly isLow: boolean;
}

/** Errors: UNAVAILABLE (too few hosts or stores), NO_SPACE (enough of them, but their disks are full). */
export function placeVolume(state: ClusterState, view: LivenessView, request: PlacementRequest): Placement[] {
  return placeShards(state, view, request, 0);
}

/** The shards that the volume lacks for `sizeBytes`; none when its last one has the room. The others stay where they are. Errors as above. */
export function placeGrowth(
  state: ClusterState,
  view: LivenessView,
  volume: VolumeRecord,
  growth: Pick<PlacementRequest, 'sizeBytes' | 'allowSameHost'>,
): Placement[] {
  // What the last shard may come to need when it is full counts already.
  const grown = withVolume(state, { ...volume, sizeBytes: growth.sizeBytes });
  const { shardSizeBytes, replicaCount } = volume;
  return placeShards(grown, view, { ...growth, shardSizeBytes, replicaCount }, volume.shards.length);
}

function placeShards(state: ClusterState, view: LivenessView, request: PlacementRequest, firstShard: number): Placement[] {
  const shardCount = Math.ceil(request.sizeBytes / request.shardSizeBytes);
  if (shardCount <= firstShard) return [];
  const stores = [...state.stores.values()].filter((store) => view.livenessOf(store.id) === 'LIVE').sort((a, b) => a.id - b.id);
  checkDomains(
    stores.filter((store) => store.disks.some((disk) => view.isDiskUsable(store.id, disk.uuid))),
    request,
  );
  const candidates = stores.flatMap((store) => candidatesOf(store, view));
  const load = new StoreLoad(state);
  const placements: Placement[] = [];
  for (let index = firstShard; index < shardCount; index += 1) {
    placements.push(placeShard(candidates, load, request, shardBytes(request.sizeBytes, request.shardSizeBytes, index)));
  }
  return placements;
}

function checkDomains(stores: readonly StoreRecord[], request: PlacementRequest): void {
  const available = request.allowSameHost ? stores.length : new Set(stores.map((store) => store.host)).size;
  if (available >= request.replicaCount) return;
  const what = request.allowSameHost ? 'stores' : 'hosts';
  throw new PfError(
    'UNAVAILABLE',
    `only ${available} ${what} available but replica is ${request.replicaCount}; start more stores or ask for fewer replicas`,
  );
}

function candidatesOf(store: StoreRecord, view: LivenessView): Candidate[] {
  const usable = store.disks.filter(
    (disk) => view.isDiskUsable(store.id, disk.uuid) && view.freeBytes(store.id, disk.uuid) >= MIN_FREE_BYTES,
  );
  return usable.map((disk) => {
    const isLow = view.freeBytes(store.id, disk.uuid) < disk.rawCapacity * LOW_FREE_SHARE;
    return { store, diskUuid: disk.uuid, rawCapacity: disk.rawCapacity, isLow };
  });
}

function placeShard(candidates: readonly Candidate[], load: StoreLoad, request: PlacementRequest, bytes: number): Placement {
  const room = (candidate: Candidate): number => candidate.rawCapacity - load.promisedBytes(candidate.diskUuid);
  const ranked = candidates.toSorted((a, b) => Number(a.isLow) - Number(b.isLow) || room(b) - room(a));
  const chosen = choose(ranked, request);
  if (chosen.length < request.replicaCount) {
    throw new PfError(
      'NO_SPACE',
      `only ${chosen.length} of ${request.replicaCount} replicas find a disk with ${MIN_FREE_BYTES / MiB} MiB free on a host of its own; add disks or delete volumes`,
    );
  }
  for (const candidate of chosen) load.promise(candidate.diskUuid, bytes);
  const primary = load.leastPrimaries([...chosen.keys()], (index) => chosen[index]!.store.id);
  load.addPrimary(chosen[primary]!.store.id);
  return { primary, replicas: chosen.map((candidate) => ({ storeId: candidate.store.id, diskUuid: candidate.diskUuid })) };
}

/** The best disk of each host; then, where allowed, the best disks of further stores. */
function choose(ranked: readonly Candidate[], request: PlacementRequest): Candidate[] {
  const chosen: Candidate[] = [];
  for (const mayShareHost of request.allowSameHost ? [false, true] : [false]) {
    for (const candidate of ranked) {
      const clashes = chosen.some(
        (other) => other.store.id === candidate.store.id || (!mayShareHost && other.store.host === candidate.store.host),
      );
      if (!clashes && chosen.length < request.replicaCount) chosen.push(candidate);
    }
  }
  return chosen;
}
