// The primary's duties that take time, for all shards of a store: watching that secondaries answer, reporting those that do not,
// promises for reads, promotions and recoveries. The host of every shard.
//
// Heartbeats are sent for a shard while it is read ("warm") and for two seconds after: an idle shard costs nothing, and the first
// read after a pause waits one round trip for its promise. Without anything to look after, the tick itself stops: ages are counted
// in ticks, and nothing has an age then.
import { formatErrorChain } from '../base/errors.ts';
import type { ConductorClient } from '../api/conductor-client.ts';
import type { VolumeConfig } from '../api/model.ts';
import type { Timer } from '../world/clock.ts';
import type { World } from '../world/world.ts';
import { STATUS_IO_ERROR, STATUS_REPLICATING_TIMEOUT } from '../wire/status.ts';
import { lockRange } from './cold-io.ts';
import type { Counters } from './counters.ts';
import { reportPushFailure } from './extent-sync.ts';
import { healRange } from './healer.ts';
import type { Peers } from './peers.ts';
import { promote } from './promotion.ts';
import { RecoveryQueue } from './recovery-queue.ts';
import { recoverReplica } from './recovery.ts';
import type { ReplicaLink } from './replica-link.ts';
import { rollBack } from './roll-back.ts';
import type { Shard, ShardHost } from './shard.ts';
import type { OperationPool, ShardOperation } from './shard-operation.ts';

const TICK_MS = 100;
const TIMEOUT_TICKS = 10;
/** A write that waits this long for the conductor ends, so that the client looks for another way. */
const GIVE_UP_TICKS = 50;
const BEAT_TICKS = 2;
const WARM_TICKS = 20;
/** A disk that answers nothing for so long while it has requests: another replica shall serve. */
const STUCK_TICKS = 15;
/** So long without work, and the tick stops: a client that sends one request after another does not start it each time. */
const REST_TICKS = 10;
const REPORT_ATTEMPT_MS = 2000;
const REPORT_PAUSE_MS = 100;

export interface ReplicatorPorts {
  readonly world: World;
  readonly peers: Peers;
  readonly counters: Counters;
  readonly operations: OperationPool;
  readonly conductor: ConductorClient;
  readonly incarnation: string;
  /** Takes over what the conductor answered. */
  readonly applyConfig: (config: VolumeConfig) => void;
  readonly recoveryParallel: number;
}

export class Replicator implements ShardHost {
  readonly world: World;
  readonly peers: Peers;
  readonly counters: Counters;
  readonly startedAt: number;
  readonly recoveries: RecoveryQueue;
  storeId = 0;
  readonly #ports: ReplicatorPorts;
  readonly #watched = new Set<Shard>();
  readonly #warm = new Set<Shard>();
  /** Replica id and meta version of what is being recovered. */
  readonly #recovering = new Set<string>();
  #timer: Timer | null = null;
  #restingTicks = 0;
  readonly #closed = new AbortController();
  readonly #tasks = new Set<Promise<void>>();

  constructor(ports: ReplicatorPorts) {
    this.#ports = ports;
    this.world = ports.world;
    this.peers = ports.peers;
    this.counters = ports.counters;
    this.recoveries = new RecoveryQueue(ports.recoveryParallel);
    this.startedAt = ports.world.clock.now();
  }

  /** Ends reports, promotions and recoveries. */
  async close(): Promise<void> {
    this.#closed.abort();
    this.recoveries.dropOutdated();
    this.#timer?.cancel();
    this.#timer = null;
    await Promise.all(this.#tasks);
  }

  replicaFailed(link: ReplicaLink, status: number): void {
    const { shard, replica } = link;
    this.counters.replicasReported += 1;
    this.world.log.warn('a secondary failed; reporting it', {
      volume: shard.volume.name,
      shard: shard.index,
      replica: replica.address,
      status,
    });
    this.#start(this.#report(shard, replica.id, status));
  }

  localReplicaFailed(shard: Shard, status: number): void {
    const { self } = shard.role;
    shard.stop(`its own disk failed with status ${status}`);
    if (self !== null) this.#start(this.#report(shard, self.id, status));
  }

  promote(shard: Shard): void {
    this.#start(promote(shard));
  }

  recover(shard: Shard): void {
    for (const link of shard.links) if (link.isRecovering) this.#start(this.#recover(link));
    if (shard.role.grantedUntil !== Infinity) this.wantGrants(shard);
  }

  wantGrants(shard: Shard): void {
    shard.wantedTick = this.#ports.operations.tick;
    if (shard.isWarm) return;
    shard.isWarm = true;
    this.#warm.add(shard);
    this.#wake();
    shard.beat();
  }

  watch(shard: Shard): void {
    this.#watched.add(shard);
    this.#wake();
  }

  heal(operation: ShardOperation, isLocked: boolean): void {
    this.#start(this.#heal(operation, isLocked));
  }

  rollBack(operation: ShardOperation): void {
    this.counters.outOfSpaceOnReplica += 1;
    this.#start(rollBack(operation));
  }

  #wake(): void {
    this.#restingTicks = 0;
    if (!this.#closed.signal.aborted) this.#timer ??= this.world.clock.every(TICK_MS, () => this.#tick());
  }

  #rest(): void {
    const isResting = this.#watched.size === 0 && this.#warm.size === 0 && this.recoveries.isIdle;
    this.#restingTicks = isResting ? this.#restingTicks + 1 : 0;
    if (this.#restingTicks <= REST_TICKS) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #tick(): void {
    const tick = (this.#ports.operations.tick += 1);
    this.recoveries.dropOutdated();
    for (const shard of this.#watched) {
      if (shard.isIdle) this.#watched.delete(shard);
      else if (shard.isDiskStuck(tick, STUCK_TICKS) && shard.state === 'serving' && shard.hasOtherReplica)
        this.localReplicaFailed(shard, STATUS_IO_ERROR);
      else this.#expire(shard, tick);
    }
    for (const shard of this.#warm) {
      shard.expireParked(tick, TIMEOUT_TICKS);
      const isWanted = shard.role.role === 'PRIMARY' && tick - shard.wantedTick <= WARM_TICKS;
      if (!isWanted && shard.parkedReads === 0) {
        shard.isWarm = false;
        this.#warm.delete(shard);
      } else if (tick % BEAT_TICKS === 0) {
        shard.beat();
      }
    }
    this.#rest();
  }

  /** Operations are in the order of their start. */
  #expire(shard: Shard, tick: number): void {
    for (let operation = shard.firstOperation; operation !== null; operation = operation.next) {
      const age = tick - operation.startedTick;
      if (age <= TIMEOUT_TICKS) return;
      const outcome = operation.expire(STATUS_REPLICATING_TIMEOUT);
      if (outcome === 'outdated') return shard.stop('a secondary holds a newer configuration');
      if (outcome === 'waiting' && age > GIVE_UP_TICKS)
        return shard.stop('no conductor has taken the report of a failed secondary');
    }
  }

  /** Until the conductor has answered with another configuration. */
  async #report(shard: Shard, replicaId: number, status: number): Promise<void> {
    const version = shard.role.metaVersion;
    const { conductor, incarnation, applyConfig } = this.#ports;
    while (!this.#closed.signal.aborted && shard.volume.isOpen && shard.role.newestMetaVersion === version) {
      try {
        const report = {
          op: 'handle_error',
          store_id: this.storeId,
          incarnation,
          rep_id: replicaId,
          meta_ver: version,
          sc: status,
        } as const;
        const reply = await conductor.handleError(report, { deadlineMs: REPORT_ATTEMPT_MS, signal: this.#closed.signal });
        if (reply.volume !== null && shard.volume.isOpen) applyConfig(reply.volume);
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        this.world.log.warn('cannot report a failed replica; trying again', {
          volume: shard.volume.name,
          shard: shard.index,
          error: formatErrorChain(error),
        });
      }
      if (shard.role.newestMetaVersion === version) await this.#pause(REPORT_PAUSE_MS);
    }
  }

  async #recover(link: ReplicaLink): Promise<void> {
    const { shard, replica } = link;
    const version = shard.role.metaVersion;
    const key = `${replica.id}/${version}`;
    if (this.#recovering.has(key)) return;
    this.#recovering.add(key);
    const isCurrent = (): boolean =>
      !this.#closed.signal.aborted &&
      shard.state === 'serving' &&
      shard.role.metaVersion === version &&
      !shard.role.isClosing &&
      !link.isFailed;
    try {
      this.#wake();
      const end = await this.recoveries.run(isCurrent, () => recoverReplica(link, isCurrent));
      if (end === 'done') await this.#reportRecovered(link, version, isCurrent);
      else if (end !== 'outdated' && isCurrent()) reportPushFailure(link, end);
    } finally {
      this.#recovering.delete(key);
    }
  }

  async #reportRecovered(link: ReplicaLink, version: number, isCurrent: () => boolean): Promise<void> {
    const { shard, replica } = link;
    const { conductor, incarnation, applyConfig } = this.#ports;
    // The conductor may make it in-sync, and even primary, before this store hears of it.
    shard.role.needGrantOf(replica.index);
    shard.beat();
    while (isCurrent()) {
      try {
        const done = { op: 'recovery_done', store_id: this.storeId, incarnation, rep_id: replica.id, meta_ver: version } as const;
        const reply = await conductor.recoveryDone(done, { deadlineMs: REPORT_ATTEMPT_MS, signal: this.#closed.signal });
        if (reply.volume !== null && shard.volume.isOpen) applyConfig(reply.volume);
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        this.world.log.warn('cannot report a recovered replica; trying again', {
          volume: shard.volume.name,
          error: formatErrorChain(error),
        });
      }
      if (isCurrent()) await this.#pause(REPORT_PAUSE_MS);
    }
  }

  async #heal(operation: ShardOperation, isLocked: boolean): Promise<void> {
    const shard = operation.shard!;
    const { offset, length } = operation.io;
    const lock = isLocked ? null : await lockRange(shard, offset, length);
    const version = shard.role.metaVersion;
    const outcome = await healRange(shard, offset, length);
    if (lock !== null) shard.locks.release(lock);
    const isSame = shard.role.metaVersion === version && !shard.role.isClosing;
    operation.healed(outcome === 'repaired' || isSame ? outcome : 'interrupted');
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.world.clock.sleep(ms, this.#closed.signal);
    } catch {
      // Closing: the loop that pauses looks at the signal itself.
    }
  }

  #start(work: Promise<void>): void {
    const task = work.catch((error: unknown) => {
      if (!this.#closed.signal.aborted) throw error;
    });
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }
}
