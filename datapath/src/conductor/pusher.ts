// Tells stores what they must know: configurations (prepare_volume) until the store holds exactly the current one, and deletions until
// they are confirmed. Work is by (store, volume): one call at a time for each, at most CALLS_PER_STORE for a store, later
// changes are picked up by the call that follows. Stores that are not LIVE are told nothing; what they held is forgotten when
// they return. Nothing here is durable: a new conductor tells everybody everything again, and stores take it as often as it comes.
import { errorCodeOf, formatErrorChain } from '../base/errors.ts';
import type { PrepareVolumeReply } from '../api/model.ts';
import { StoreClient } from '../api/store-client.ts';
import type { Timer } from '../world/clock.ts';
import type { World } from '../world/world.ts';
import type { LivenessView } from './plan/liveness.ts';
import type { ClusterState, VolumeRecord } from './state/cluster-state.ts';
import { isOnStore, volumeConfig, volumeIdsOfStore } from './state/queries.ts';

const CALLS_PER_STORE = 8;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/** What a store said it holds of a volume. */
interface Held {
  attachEpoch: number;
  /** By shard index. */
  readonly metaVersions: Map<number, number>;
}

interface StoreQueue {
  readonly incarnation: string;
  /** Calls of an incarnation end with it. */
  readonly abort: AbortController;
  readonly held: Map<number, Held>;
  /** Volume ids that may need a call, in order. */
  readonly pending: Set<number>;
  readonly calling: Set<number>;
  /** Volume id -> failures in a row. */
  readonly failures: Map<number, number>;
  /** Volume id -> until it becomes pending again. */
  readonly pauses: Map<number, Timer>;
}

export interface PusherOwner {
  readonly state: ClusterState;
  readonly view: LivenessView;
  /** A store has confirmed a deletion; resolves when that is durable. */
  deletionConfirmed(volumeId: number, storeId: number): Promise<void>;
  /** Some store holds something new. */
  held(): void;
}

export class Pusher {
  readonly #world: Pick<World, 'http' | 'clock' | 'log'>;
  readonly #owner: PusherOwner;
  readonly #queues = new Map<number, StoreQueue>();
  readonly #running = new Set<Promise<void>>();
  #isClosed = false;

  constructor(world: Pick<World, 'http' | 'clock' | 'log'>, owner: PusherOwner) {
    this.#world = world;
    this.#owner = owner;
  }

  /** Calls that are due or under way. */
  get backlog(): number {
    let count = 0;
    for (const queue of this.#queues.values()) count += queue.pending.size + queue.calling.size;
    return count;
  }

  /** The store holds the shard's current configuration, and at least this epoch. */
  holds(storeId: number, volumeId: number, shardIndex: number, metaVersion: number, attachEpoch: number): boolean {
    const held = this.#queues.get(storeId)?.held.get(volumeId);
    return held !== undefined && held.attachEpoch >= attachEpoch && held.metaVersions.get(shardIndex) === metaVersion;
  }

  /** A store's liveness may have changed. */
  storeChanged(storeId: number): void {
    const { state, view } = this.#owner;
    const store = state.stores.get(storeId);
    if (store === undefined || this.#isClosed) return;
    let queue = this.#queues.get(storeId);
    if (view.livenessOf(storeId) !== 'LIVE') {
      if (queue !== undefined) stop(queue);
      return;
    }
    if (queue === undefined || queue.incarnation !== store.incarnation || queue.abort.signal.aborted) {
      if (queue !== undefined) stop(queue);
      queue = {
        incarnation: store.incarnation,
        abort: new AbortController(),
        held: queue !== undefined && queue.incarnation === store.incarnation ? queue.held : new Map<number, Held>(),
        pending: new Set(volumeIdsOfStore(state, storeId)),
        calling: new Set(),
        failures: new Map(),
        pauses: new Map(),
      };
      this.#queues.set(storeId, queue);
    }
    this.#run(storeId, queue);
  }

  /** A volume's configuration, epoch or existence has changed. */
  volumeChanged(volumeId: number): void {
    const { state } = this.#owner;
    const volume = state.volumes.get(volumeId);
    const deletion = state.deletions.get(volumeId);
    for (const [storeId, queue] of this.#queues) {
      if (volume === undefined ? !deletion?.storeIds.includes(storeId) : !isOnStore(volume, storeId)) continue;
      queue.pending.add(volumeId);
      this.#run(storeId, queue);
    }
  }

  /** Ends calls under way; resolves when none is left. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const queue of this.#queues.values()) stop(queue);
    await Promise.allSettled([...this.#running]);
  }

  #run(storeId: number, queue: StoreQueue): void {
    for (const volumeId of queue.pending) {
      if (this.#isClosed || queue.abort.signal.aborted || queue.calling.size >= CALLS_PER_STORE) return;
      if (queue.calling.has(volumeId)) continue;
      queue.pending.delete(volumeId);
      queue.calling.add(volumeId);
      const call = this.#tell(storeId, queue, volumeId).finally(() => {
        this.#running.delete(call);
        queue.calling.delete(volumeId);
        this.#run(storeId, queue);
      });
      this.#running.add(call);
    }
  }

  async #tell(storeId: number, queue: StoreQueue, volumeId: number): Promise<void> {
    const { state } = this.#owner;
    const volume = state.volumes.get(volumeId);
    try {
      let isDone = true;
      if (volume !== undefined) isDone = await this.#prepare(storeId, queue, volume);
      else if (state.deletions.get(volumeId)?.storeIds.includes(storeId)) await this.#delete(storeId, queue, volumeId);
      if (isDone) queue.failures.delete(volumeId);
      else this.#again(storeId, queue, volumeId, FIRST_PAUSE_MS);
    } catch (error) {
      if (queue.abort.signal.aborted || this.#isClosed) return;
      const failures = (queue.failures.get(volumeId) ?? 0) + 1;
      queue.failures.set(volumeId, failures);
      const message = `cannot tell store ${storeId} about volume ${volume?.name ?? volumeId} (attempt ${failures}): ${formatErrorChain(error)}`;
      if (failures === 1 || errorCodeOf(error) === 'INTERNAL') this.#world.log.warn(message);
      else this.#world.log.debug(message);
      this.#again(storeId, queue, volumeId, Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, failures)));
    }
  }

  /** True when the store now holds all that was sent. */
  async #prepare(storeId: number, queue: StoreQueue, volume: VolumeRecord): Promise<boolean> {
    const { state, view } = this.#owner;
    const config = volumeConfig(state, view, volume, storeId);
    const request = { op: 'prepare_volume', volume: config, cluster_token: state.cluster!.token, store_id: storeId } as const;
    const reply = await this.#client(storeId).prepareVolume(request, { signal: queue.abort.signal });
    this.#remember(queue, volume.id, reply);
    const held = queue.held.get(volume.id)!;
    this.#owner.held();
    return (
      held.attachEpoch >= config.attach_epoch &&
      config.shards.every((shard) => held.metaVersions.get(shard.index) === shard.meta_ver)
    );
  }

  #remember(queue: StoreQueue, volumeId: number, reply: PrepareVolumeReply): void {
    const held = queue.held.get(volumeId) ?? { attachEpoch: 0, metaVersions: new Map<number, number>() };
    held.attachEpoch = Math.max(held.attachEpoch, reply.attach_epoch);
    for (const { index, meta_ver } of reply.accepted) held.metaVersions.set(index, meta_ver);
    queue.held.set(volumeId, held);
  }

  async #delete(storeId: number, queue: StoreQueue, volumeId: number): Promise<void> {
    await this.#client(storeId).deleteVolume(
      { op: 'delete_volume', volume_id: volumeId, store_id: storeId },
      { signal: queue.abort.signal },
    );
    queue.held.delete(volumeId);
    await this.#owner.deletionConfirmed(volumeId, storeId);
    this.#owner.held();
  }

  #again(storeId: number, queue: StoreQueue, volumeId: number, pauseMs: number): void {
    if (queue.abort.signal.aborted || queue.pauses.has(volumeId)) return;
    const timer = this.#world.clock.after(pauseMs, () => {
      queue.pauses.delete(volumeId);
      queue.pending.add(volumeId);
      this.#run(storeId, queue);
    });
    queue.pauses.set(volumeId, timer);
  }

  #client(storeId: number): StoreClient {
    return new StoreClient(this.#world, this.#owner.state.stores.get(storeId)!.httpAddress);
  }
}

function stop(queue: StoreQueue): void {
  queue.abort.abort();
  for (const timer of queue.pauses.values()) timer.cancel();
  queue.pauses.clear();
}
