// How much each store carries: primaries, replicas, recoveries, promised bytes by disk. Counted from the state at the start of a
// plan and kept up while the plan goes on, so that its own choices count.
import type { ClusterState, ShardRecord, VolumeRecord } from '../state/cluster-state.ts';

export class StoreLoad {
  readonly #primaries = new Map<number, number>();
  readonly #recoveries = new Map<number, number>();
  readonly #promised = new Map<string, number>();

  constructor(state: ClusterState) {
    for (const volume of state.volumes.values()) {
      for (const [index, shard] of volume.shards.entries()) this.#count(volume, index, shard);
    }
  }

  primaries(storeId: number): number {
    return this.#primaries.get(storeId) ?? 0;
  }

  /** Recoveries that the store is part of, as source or as target. */
  recoveries(storeId: number): number {
    return this.#recoveries.get(storeId) ?? 0;
  }

  /** Bytes that volumes may come to need on this disk: shards are thin, this is what was promised. */
  promisedBytes(diskUuid: string): number {
    return this.#promised.get(diskUuid) ?? 0;
  }

  promise(diskUuid: string, bytes: number): void {
    add(this.#promised, diskUuid, bytes);
  }

  addPrimary(storeId: number): void {
    add(this.#primaries, storeId, 1);
  }

  movePrimary(fromStoreId: number, toStoreId: number): void {
    add(this.#primaries, fromStoreId, -1);
    add(this.#primaries, toStoreId, 1);
  }

  startRecovery(sourceStoreId: number, targetStoreId: number): void {
    add(this.#recoveries, sourceStoreId, 1);
    add(this.#recoveries, targetStoreId, 1);
  }

  endRecovery(shard: ShardRecord, targetStoreId: number): void {
    add(this.#recoveries, shard.replicas[shard.primary]!.storeId, -1);
    add(this.#recoveries, targetStoreId, -1);
  }

  /** Of these candidates the one on the store with the fewest primaries; the first one among equals. */
  leastPrimaries(candidates: readonly number[], storeOf: (candidate: number) => number): number {
    let best = candidates[0]!;
    for (const candidate of candidates) if (this.primaries(storeOf(candidate)) < this.primaries(storeOf(best))) best = candidate;
    return best;
  }

  #count(volume: VolumeRecord, shardIndex: number, shard: ShardRecord): void {
    const primaryStore = shard.replicas[shard.primary]!.storeId;
    const bytes = shardBytes(volume.sizeBytes, volume.shardSizeBytes, shardIndex);
    this.addPrimary(primaryStore);
    for (const replica of shard.replicas) {
      this.promise(replica.diskUuid, bytes);
      if (replica.status === 'RECOVERING') this.startRecovery(primaryStore, replica.storeId);
    }
  }
}

/** The last shard of a volume may be shorter. */
export function shardBytes(sizeBytes: number, shardSizeBytes: number, shardIndex: number): number {
  return Math.min(shardSizeBytes, sizeBytes - shardIndex * shardSizeBytes);
}

function add<K>(counts: Map<K, number>, key: K, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}
