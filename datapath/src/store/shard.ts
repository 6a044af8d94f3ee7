// One shard of a volume on this store: its role, locks, sequence numbers and the writes in flight. Configurations come in through
// offer(); what follows from one (serve, promote, recover, stop) starts here and nowhere else.
//
//   none --config--> secondary | promoting --equal--> serving --newer: other primary--> closing --> secondary
//                                   ^                    |
//                                   '--new config-- stopped (a secondary knows more; the conductor cannot be reached; disk failed)
//
// Invariants: servedMeta is -1 unless state is 'serving'; a write in flight with replicas, and a read at the disk, is in the list; `diskWrites` counts
// the writes and trims that the local disk has not made durable, whoever sent them.
import type { ShardConfig } from '../api/model.ts';
import type { Timer } from '../world/clock.ts';
import type { World } from '../world/world.ts';
import { STATUS_NOT_PRIMARY_REOPEN, STATUS_NOT_READY, STATUS_REPLICATING_TIMEOUT, STATUS_STALE } from '../wire/status.ts';
import { CommitWindow } from './commit-window.ts';
import type { Counters } from './counters.ts';
import type { Peers } from './peers.ts';
import { RangeLocks } from './range-locks.ts';
import type { DiskStore } from './disk/disk-store.ts';
import { ShardExtents } from './shard-extents.ts';
import { ReplicaLink } from './replica-link.ts';
import type { ShardOperation } from './shard-operation.ts';
import { ShardRole, primaryStore } from './shard-role.ts';
import type { Volume } from './volumes.ts';

export type ShardState = 'none' | 'secondary' | 'recovering' | 'out of sync' | 'closing' | 'promoting' | 'serving' | 'stopped';

/** What a shard needs of its store. */
export interface ShardHost {
  readonly world: World;
  readonly peers: Peers;
  readonly counters: Counters;
  readonly storeId: number;
  readonly startedAt: number;
  /** Reports the replica to the conductor and applies what it answers. */
  replicaFailed(link: ReplicaLink, status: number): void;
  /** The primary's own disk failed. */
  localReplicaFailed(shard: Shard, status: number): void;
  /** Makes the in-sync replicas equal, then calls shard.promoted(). */
  promote(shard: Shard): void;
  /** Copies to the replicas that are RECOVERING. */
  recover(shard: Shard): void;
  /** Reads wait for promises: heartbeats now and for a while. */
  wantGrants(shard: Shard): void;
  /** Requests are in flight: somebody must see when they take too long. */
  watch(shard: Shard): void;
  /** Repairs corrupt blocks of the range from a secondary; then operation.healed(). */
  heal(operation: ShardOperation, isLocked: boolean): void;
  /** A secondary had no space for the write: rolls it back, then operation.rolledBack(). */
  rollBack(operation: ShardOperation): void;
}

const RETRY_MS = 3;

export class Shard {
  readonly host: ShardHost;
  readonly volume: Volume;
  readonly volumeId: number;
  readonly index: number;
  readonly disk: DiskStore;
  readonly role: ShardRole;
  readonly locks = new RangeLocks();
  readonly window = new CommitWindow();
  state: ShardState = 'none';
  /** Low 16 bits of the meta version that is served to clients, or -1. */
  servedMeta = -1;
  /** As primary: the secondaries that get writes. */
  links: readonly ReplicaLink[] = [];
  diskWrites = 0;
  /** Clients' requests that the disk has not answered, and when it last answered one (or got the first). */
  #atDisk = 0;
  #diskAnsweredTick = 0;
  /** As secondary: what the primary said of its commit mark. */
  heardMark = 0;
  /** Largest sequence seen. */
  maxSequence = 0;
  /** Up to this sequence there may be changes that no extent's stamp tells of: plain writes while recovering, and trims. */
  unstampedUpTo = 0;
  /** The replicator's: heartbeats are sent; when a read last wanted a promise. */
  isWarm = false;
  wantedTick = 0;
  readonly extents: ShardExtents;
  firstOperation: ShardOperation | null = null;
  lastOperation: ShardOperation | null = null;
  #parked: ShardOperation[] = [];
  #timer: Timer | null = null;
  #retryTimer: Timer | null = null;
  #isDropped = false;

  constructor(host: ShardHost, volume: Volume, index: number, disk: DiskStore) {
    this.host = host;
    this.volume = volume;
    this.volumeId = volume.id;
    this.index = index;
    this.disk = disk;
    this.role = new ShardRole(host.storeId, host.startedAt);
    this.extents = new ShardExtents(disk, volume.id);
  }

  get startOffset(): number {
    return this.index * this.volume.shardBytes;
  }

  /** End of the shard inside the volume. */
  get endOffset(): number {
    return Math.min(this.startOffset + this.volume.shardBytes, this.volume.sizeBytes);
  }

  get attachEpoch(): number {
    return this.volume.attachEpoch;
  }

  get parkedReads(): number {
    return this.#parked.length;
  }

  /** Whether another replica could be primary in this store's place. */
  get hasOtherReplica(): boolean {
    return this.links.some((link) => !link.isRecovering && !link.isFailed);
  }

  get isIdle(): boolean {
    return this.firstOperation === null && this.#atDisk === 0;
  }

  diskStarted(tick: number): void {
    if (this.#atDisk === 0) {
      this.#diskAnsweredTick = tick;
      if (this.links.length > 0) this.host.watch(this);
    }
    this.#atDisk += 1;
  }

  diskEnded(tick: number): void {
    this.#atDisk -= 1;
    this.#diskAnsweredTick = tick;
  }

  /** The disk has requests and has answered none for more than so many ticks. */
  isDiskStuck(tick: number, limitTicks: number): boolean {
    return this.#atDisk > 0 && tick - this.#diskAnsweredTick > limitTicks;
  }

  offer(config: ShardConfig): void {
    const outcome = this.role.offer(config, this.host.world.clock.now(), this.diskWrites === 0);
    if (outcome === 'taken') this.#taken();
    else if (outcome === 'waiting') this.#close();
  }

  /** Why a client's request is not served now: a wire status. */
  refusal(): number {
    if (this.state === 'serving') return STATUS_STALE;
    return this.state === 'promoting' || this.state === 'closing' || this.state === 'stopped'
      ? STATUS_NOT_READY
      : STATUS_NOT_PRIMARY_REOPEN;
  }

  diskWriteDone(): void {
    this.diskWrites -= 1;
    if (this.diskWrites === 0 && this.role.isClosing) this.#poll();
  }

  /** All in-sync replicas are equal; `sequence` is the largest that any of them holds. */
  promoted(sequence: number): void {
    this.maxSequence = Math.max(this.maxSequence, sequence);
    this.window.reset(this.maxSequence);
    this.role.promotion = 'none';
    this.state = 'serving';
    this.servedMeta = this.role.metaVersion & 0xffff;
    this.host.recover(this);
  }

  /** Gives up being served under this configuration: writes in flight end with NOT_READY, the next configuration starts with a promotion. */
  stop(why: string): void {
    if (this.state !== 'serving') return;
    this.host.world.log.warn('shard stops serving until it gets a new configuration', {
      volume: this.volume.name,
      shard: this.index,
      why,
    });
    this.#stopServing('stopped');
  }

  addOperation(operation: ShardOperation): void {
    operation.previous = this.lastOperation;
    operation.next = null;
    if (this.lastOperation === null) {
      this.firstOperation = operation;
      this.host.watch(this);
    } else {
      this.lastOperation.next = operation;
    }
    this.lastOperation = operation;
  }

  removeOperation(operation: ShardOperation): void {
    if (operation.previous === null) this.firstOperation = operation.next;
    else operation.previous.next = operation.next;
    if (operation.next === null) this.lastOperation = operation.previous;
    else operation.next.previous = operation.previous;
    operation.previous = null;
    operation.next = null;
  }

  linkTo(storeId: number): ReplicaLink | null {
    for (const link of this.links) if (link.replica.store_id === storeId) return link;
    return null;
  }

  /** A read without a valid promise waits for one. */
  park(operation: ShardOperation): void {
    this.#parked.push(operation);
    this.host.counters.readsParkedForGrants += 1;
    this.host.wantGrants(this);
  }

  grantArrived(link: ReplicaLink, sentAt: number): void {
    if (this.linkTo(link.replica.store_id) !== link) return;
    this.host.counters.grantsReceived += 1;
    this.role.granted(link.replica.index, sentAt);
    if (this.#parked.length > 0 && this.host.world.clock.now() < this.role.grantedUntil) this.flushParked();
  }

  /** Heartbeats to all secondaries. */
  beat(): void {
    const now = this.host.world.clock.now();
    for (const link of this.links) link.beat(now);
  }

  /** Runs the parked reads again: they are served, refused, or park once more. */
  flushParked(): void {
    const parked = this.#parked;
    this.#parked = [];
    for (const operation of parked) operation.lockGranted();
  }

  /** Ends parked reads that have waited long enough, and reports the secondaries whose promise they waited for. */
  expireParked(tick: number, limitTicks: number): void {
    if (!this.#parked.some((operation) => tick - operation.startedTick >= limitTicks)) return;
    const parked = this.#parked;
    this.#parked = [];
    for (const operation of parked) {
      if (tick - operation.startedTick >= limitTicks) operation.refuse(STATUS_NOT_READY);
      else this.#parked.push(operation);
    }
    const now = this.host.world.clock.now();
    for (const link of this.links) {
      if (this.role.isGrantMissing(link.replica.index, now)) link.fail(STATUS_REPLICATING_TIMEOUT);
    }
  }

  /** As secondary: what the primary's requests tell. */
  hear(sequence: number, commitMark: number): void {
    if (sequence > this.maxSequence) this.maxSequence = sequence;
    if (commitMark > this.heardMark) this.heardMark = commitMark;
  }

  /** A secondary is behind: its legs are sent again in a moment. */
  retrySoon(): void {
    this.#retryTimer ??= this.host.world.clock.after(RETRY_MS, () => {
      this.#retryTimer = null;
      if (this.#parked.length > 0) this.beat();
      for (const operation of this.#inFlight()) if (operation.shard === this) operation.retryLegs();
    });
  }

  /** The volume leaves this store. */
  drop(): void {
    this.#isDropped = true;
    this.#timer?.cancel();
    this.#retryTimer?.cancel();
    this.#stopServing('none');
    this.links = [];
  }

  /** A copy: what is done with one operation may end others. */
  #inFlight(): ShardOperation[] {
    const operations: ShardOperation[] = [];
    for (let operation = this.firstOperation; operation !== null; operation = operation.next) operations.push(operation);
    return operations;
  }

  #poll(): void {
    if (this.#isDropped) return;
    if (this.role.tryTake(this.host.world.clock.now(), this.diskWrites === 0)) this.#taken();
    else if (this.diskWrites === 0) this.#scheduleTake();
  }

  #close(): void {
    if (this.state !== 'closing') this.#stopServing('closing');
    this.#scheduleTake();
  }

  /** Also when the moment has come meanwhile: nobody else would look again. */
  #scheduleTake(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const waitMs = this.role.pendingUntil - this.host.world.clock.now();
    if (waitMs < Infinity) this.#timer = this.host.world.clock.after(Math.max(0, waitMs), () => this.#poll());
  }

  #stopServing(state: ShardState): void {
    if (this.servedMeta >= 0) {
      // If this store is primary again, what it knows as one is where its comparison starts.
      this.role.promotion = 'limited';
      this.maxSequence = Math.max(this.maxSequence, this.window.next - 1);
      this.heardMark = this.window.mark;
    }
    this.state = state;
    this.servedMeta = -1;
    for (const operation of this.#inFlight()) if (operation.shard === this) operation.stop();
    this.flushParked();
  }

  #taken(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const { role } = this;
    const config = role.config!;
    if (role.role === 'PRIMARY') return this.#becomePrimary(config);
    if (this.state === 'serving') this.#stopServing('closing');
    this.links = [];
    this.state =
      role.self === null || role.self.status === 'OUT_OF_SYNC' ? 'out of sync' : role.isRecovering ? 'recovering' : 'secondary';
    if (role.isNewPrimary) this.heardMark = 0;
  }

  #becomePrimary(config: ShardConfig): void {
    const { host, role } = this;
    const links: ReplicaLink[] = [];
    for (const replica of config.replicas) {
      if (replica.store_id === primaryStore(config) || replica.status === 'OUT_OF_SYNC') continue;
      links.push(new ReplicaLink(this, config.meta_ver, replica, host.peers.to(replica.address)));
    }
    this.links = links;
    if (this.state !== 'serving' || role.promotion !== 'none') {
      this.state = 'promoting';
      this.servedMeta = -1;
      return host.promote(this);
    }
    this.servedMeta = role.metaVersion & 0xffff;
    for (const operation of this.#inFlight()) if (operation.shard === this) operation.reconfigure(role.hasSkipped);
    this.flushParked();
    host.recover(this);
  }
}
