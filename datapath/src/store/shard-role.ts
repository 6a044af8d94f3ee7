// What this store may do for one shard: which configuration it holds, what it has promised to a primary, and which promises it
// has itself as a primary. Pure: time comes in as a number (monotonic milliseconds), nothing is sent from here.
// docs/internals/replication.md section 2 is the normative text; shard.ts feeds it.
//
//   none --offer--> held                    same primary as held: at once
//   held --offer, other primary--> closing  serves nothing; promise runs out, own writes drain --> held
//
// Invariants: the held meta version only grows; while `closing` nothing is served and no heartbeat is answered; a promise
// ends at the promiser after the grant at the primary, since one counts from receiving and the other from sending.
import type { ReplicaConfig, ShardConfig } from '../api/model.ts';
import { MAX_REPLICAS } from '../api/bodies.ts';

export const GRANT_MS = 1000;
/** A primary counts this much less, for clocks that run at different rates. */
export const GRANT_MARGIN_MS = 10;

/** What the primary of a new configuration must compare before it serves. */
export type PromotionKind = 'none' | 'limited' | 'full';
export type Offer = 'taken' | 'waiting' | 'known';
export type RoleName = 'PRIMARY' | 'SECONDARY' | 'NONE';

export class ShardRole {
  readonly #storeId: number;
  readonly #startedAt: number;
  #held: ShardConfig | null = null;
  #pending: ShardConfig | null = null;
  #self: ReplicaConfig | null = null;
  #role: RoleName = 'NONE';
  #promisedUntil = -Infinity;
  /** By replica index: until when that secondary has promised. */
  readonly #granted = new Float64Array(MAX_REPLICAS).fill(-Infinity);
  readonly #isGrantNeeded = new Uint8Array(MAX_REPLICAS);
  /** Reads may be served before this: Infinity when no grant is needed. */
  grantedUntil = -Infinity;
  promotion: PromotionKind = 'none';
  /** Meta versions were skipped since the last configuration: what a secondary answered before may have been undone. */
  hasSkipped = false;
  /** The last configuration taken has another primary than the one before. */
  isNewPrimary = false;

  /** `startedAt`: when this process started. */
  constructor(storeId: number, startedAt: number) {
    this.#storeId = storeId;
    this.#startedAt = startedAt;
  }

  get config(): ShardConfig | null {
    return this.#held;
  }

  /** Of the held configuration; 0 = none. */
  get metaVersion(): number {
    return this.#held === null ? 0 : this.#held.meta_ver;
  }

  /** The newest known configuration, held or waiting. */
  get newestMetaVersion(): number {
    return this.#pending === null ? this.metaVersion : this.#pending.meta_ver;
  }

  get role(): RoleName {
    return this.#role;
  }

  /** This store's replica in the held configuration. */
  get self(): ReplicaConfig | null {
    return this.#self;
  }

  /** A newer configuration waits for a promise to run out or for writes to drain: nothing may be served. */
  get isClosing(): boolean {
    return this.#pending !== null;
  }

  get isRecovering(): boolean {
    return this.#self !== null && this.#self.status === 'RECOVERING';
  }

  /** When a waiting configuration may be taken at the earliest, as far as time matters; Infinity when none waits. */
  get pendingUntil(): number {
    const config = this.#pending;
    if (config === null) return Infinity;
    const until = this.#held !== null && primaryStore(config) !== primaryStore(this.#held) ? this.#promisedUntil : -Infinity;
    const mustForget = this.#held === null && primaryStore(config) === this.#storeId && config.replicas.length > 1;
    return mustForget ? Math.max(until, this.#startedAt + GRANT_MS) : until;
  }

  /** `isIdle`: no write of this shard is on its way to the local disk. */
  offer(config: ShardConfig, now: number, isIdle: boolean): Offer {
    if (config.meta_ver < this.newestMetaVersion) return 'known';
    if (config.meta_ver === this.newestMetaVersion) return this.#refresh(config);
    this.#pending = config;
    return this.tryTake(now, isIdle) ? 'taken' : 'waiting';
  }

  /** Takes the waiting configuration if nothing stands in its way any more. */
  tryTake(now: number, isIdle: boolean): boolean {
    const config = this.#pending;
    if (config === null || now < this.pendingUntil) return false;
    if (!isIdle && this.#mustDrain(config)) return false;
    this.#pending = null;
    this.#take(config);
    return true;
  }

  /** A heartbeat of the primary of the held configuration has arrived: true = answer it, the promise is given. */
  promise(metaVersionLow: number, now: number): boolean {
    if (this.isClosing || this.#role !== 'SECONDARY' || this.#self!.status === 'OUT_OF_SYNC') return false;
    if (metaVersionLow !== (this.metaVersion & 0xffff)) return false;
    this.#promisedUntil = now + GRANT_MS;
    return true;
  }

  /** A secondary has answered the heartbeat that was sent at `sentAt`. */
  granted(replicaIndex: number, sentAt: number): void {
    this.#granted[replicaIndex] = Math.max(this.#granted[replicaIndex]!, sentAt + GRANT_MS - GRANT_MARGIN_MS);
    this.#recount();
  }

  /** Reads wait for this secondary's promise. */
  isGrantMissing(replicaIndex: number, now: number): boolean {
    return this.#isGrantNeeded[replicaIndex] === 1 && this.#granted[replicaIndex]! <= now;
  }

  /** From now on reads need this secondary's promise: the conductor may be making it in-sync without this store knowing yet. */
  needGrantOf(replicaIndex: number): void {
    this.#isGrantNeeded[replicaIndex] = 1;
    this.#recount();
  }

  #refresh(config: ShardConfig): Offer {
    // Same version: only addresses may differ.
    if (this.#pending !== null) {
      this.#pending = config;
      return 'waiting';
    }
    this.#held = config;
    this.#self = this.#ownReplica(config);
    return 'known';
  }

  /** Writes under way must land before another primary compares, or before this replica's status makes them late. */
  #mustDrain(config: ShardConfig): boolean {
    const held = this.#held;
    if (held === null) return false;
    if (primaryStore(config) !== primaryStore(held)) return true;
    return this.#role !== 'PRIMARY' && this.#self?.status === 'OUT_OF_SYNC';
  }

  #take(config: ShardConfig): void {
    const previous = this.#held;
    const hadSamePrimary = previous !== null && primaryStore(previous) === primaryStore(config);
    this.#held = config;
    this.#self = this.#ownReplica(config);
    const isPrimary = primaryStore(config) === this.#storeId;
    this.#role = isPrimary ? 'PRIMARY' : this.#self === null ? 'NONE' : 'SECONDARY';
    this.hasSkipped = previous !== null && config.meta_ver !== previous.meta_ver + 1;
    this.isNewPrimary = !hadSamePrimary;
    if (!hadSamePrimary) {
      this.#granted.fill(-Infinity);
      this.promotion = !isPrimary ? 'none' : previous === null ? 'full' : 'limited';
    }
    for (let index = 0; index < MAX_REPLICAS; index += 1) {
      const replica = config.replicas[index];
      this.#isGrantNeeded[index] =
        isPrimary && replica !== undefined && replica.status === 'IN_SYNC' && replica.store_id !== this.#storeId ? 1 : 0;
    }
    this.#recount();
  }

  #recount(): void {
    let until = this.#role === 'PRIMARY' ? Infinity : -Infinity;
    for (let index = 0; index < MAX_REPLICAS; index += 1)
      if (this.#isGrantNeeded[index] === 1) until = Math.min(until, this.#granted[index]!);
    this.grantedUntil = until;
  }

  #ownReplica(config: ShardConfig): ReplicaConfig | null {
    return config.replicas.find((replica) => replica.store_id === this.#storeId) ?? null;
  }
}

/** 0 when the configuration names no primary. */
export function primaryStore(config: ShardConfig): number {
  return config.replicas[config.primary_rep_index]?.store_id ?? 0;
}
