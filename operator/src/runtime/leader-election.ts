// One leader among the operator's replicas, by a Lease (coordination.k8s.io/v1). A pure state machine decides; LeaderElection performs it.
//
//   waiting --(free, or unchanged for its whole duration)--> taking --accepted--> leading --renewed--> leading
//      ^                                                       |                     |
//      \------------------ refused, unknown ------------------/                     \--deadline, or another holds it--> lost (for good)
//
// Why two never lead: a leader stops `renewDeadlineMs` after the moment at which its last accepted renewal was SENT, by its own clock.
// Another takes over no sooner than `leaseDurationMs` after it SAW that renewal, which was later. So clocks may run apart by the ratio of
// the two (15 to 10), and may show any time of day. Every write to the Lease is conditional on its resourceVersion, so a delayed one of an
// old leader is refused. `isLeader` looks at the clock: it is false after a pause of the process even before any timer has run.
// Wall time counts too where it is further on than the monotonic clock: a machine that was suspended has only the former.
import type { Clock, Logger, Random, Timer } from '@pureflash/datapath/world';
import { PfError, errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import { formatMicros } from './iso-time.ts';

export interface ElectionTimes {
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

export const DEFAULT_ELECTION_TIMES: ElectionTimes = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000 };

/** What the Lease says. */
export interface LeaseRecord {
  /** Empty: free. */
  readonly holder: string;
  readonly durationSeconds: number;
  readonly acquireTime: string;
  readonly renewTime: string;
  readonly transitions: number;
  /** Changes with every write. */
  readonly version: string;
}

export type LeaseWrite = Omit<LeaseRecord, 'version'>;

/** The Lease in its store. Errors of writes: STALE or ALREADY_EXISTS when somebody else was first; any other leaves it unknown. */
export interface LeaseStore {
  read(timeoutMs: number): Promise<LeaseRecord | null>;
  /** `version` null creates it. Returns what is written now. */
  write(record: LeaseWrite, version: string | null, timeoutMs: number): Promise<LeaseRecord>;
}

/** A moment by both clocks of this machine. */
export interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
}

export type ElectionDuty =
  | { readonly kind: 'wait'; readonly delayMs: number }
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly record: LeaseWrite; readonly version: string | null }
  | { readonly kind: 'stop'; readonly why: string };

export type ElectionPhase = 'waiting' | 'leading' | 'lost';

/** Pure: told of moments and answers, says what to do next. One request at a time. */
export class ElectionState {
  readonly #identity: string;
  readonly #times: ElectionTimes;
  readonly #random: Random;
  #phase: ElectionPhase = 'waiting';
  #why = '';
  /** The Lease as last seen, null when there is none, undefined when unknown. */
  #record: LeaseRecord | null | undefined = undefined;
  #holder = '';
  #seenVersion: string | null = null;
  #changedAt = 0;
  /** When the last accepted write was sent. */
  #heldSince: Moment = { nowMs: 0, wallMs: 0 };
  #retryAt = 0;

  constructor(identity: string, times: ElectionTimes, random: Random) {
    this.#identity = identity;
    this.#times = times;
    this.#random = random;
  }

  get phase(): ElectionPhase {
    return this.#phase;
  }

  /** Who holds it, as last seen. */
  get holder(): string {
    return this.#holder;
  }

  /** May this process write at this moment? */
  isLeader(at: Moment): boolean {
    return this.#phase === 'leading' && this.msLeft(at) > 0;
  }

  /** How long the leadership surely lasts. */
  msLeft(at: Moment): number {
    const elapsedMs = Math.max(at.nowMs - this.#heldSince.nowMs, at.wallMs - this.#heldSince.wallMs);
    return this.#times.renewDeadlineMs - elapsedMs;
  }

  /** What to do at this moment. */
  next(at: Moment): ElectionDuty {
    if (this.#phase === 'leading' && !this.isLeader(at)) this.#lose(`it was not renewed for ${this.#times.renewDeadlineMs} ms`);
    if (this.#phase === 'lost') return { kind: 'stop', why: this.#why };
    if (at.nowMs < this.#retryAt) return { kind: 'wait', delayMs: this.#retryAt - at.nowMs };
    if (this.#record === undefined) return { kind: 'read' };
    if (this.#mayWrite(at)) return { kind: 'write', record: this.#ownRecord(at), version: this.#record?.version ?? null };
    this.#retryAt = at.nowMs + this.#jittered();
    this.#record = undefined; // Look again then.
    return { kind: 'wait', delayMs: this.#retryAt - at.nowMs };
  }

  onRead(record: LeaseRecord | null, at: Moment): void {
    this.#record = record;
    this.#holder = record?.holder ?? '';
    if (record !== null && record.version !== this.#seenVersion) {
      this.#seenVersion = record.version;
      this.#changedAt = at.nowMs;
    }
    if (this.#phase === 'leading' && this.#holder !== this.#identity) this.#lose(`"${this.#holder}" holds it`);
  }

  /** Our write was accepted. `sentAt`: just before it was sent. */
  onWritten(record: LeaseRecord, sentAt: Moment, at: Moment): void {
    if (this.#phase === 'lost') return;
    this.onRead(record, at);
    this.#phase = 'leading';
    this.#heldSince = sentAt;
    this.#retryAt = at.nowMs + this.#times.retryPeriodMs;
  }

  /** A read or a write failed. After a conflict we look at once, else after a pause: the write may have been done or not. */
  onFailure(isConflict: boolean, at: Moment): void {
    this.#record = undefined;
    this.#retryAt = isConflict
      ? at.nowMs
      : at.nowMs + (this.#phase === 'leading' ? this.#times.retryPeriodMs / 2 : this.#jittered());
  }

  /** Gives up leadership; returns the write that lets another start at once, or null when it is not ours to write. */
  resign(at: Moment): { readonly record: LeaseWrite; readonly version: string } | null {
    const isOurs = this.isLeader(at) && this.#record?.holder === this.#identity;
    this.#lose('it was given up');
    if (!isOurs || !this.#record) return null;
    return { record: { ...this.#ownRecord(at), holder: '', durationSeconds: 1 }, version: this.#record.version };
  }

  #mayWrite(at: Moment): boolean {
    const record = this.#record;
    if (record === null || record === undefined || record.holder === '' || record.holder === this.#identity) return true;
    // Its own word, but not less than ours: a holder with shorter times would be overtaken by one with longer, never the other way.
    const durationMs = Math.max(record.durationSeconds * 1000, this.#times.leaseDurationMs);
    return at.nowMs - this.#changedAt > durationMs;
  }

  #ownRecord(at: Moment): LeaseWrite {
    const time = formatMicros(at.wallMs);
    const before = this.#record ?? null;
    const isRenewal = before !== null && before.holder === this.#identity;
    return {
      holder: this.#identity,
      durationSeconds: Math.max(1, Math.ceil(this.#times.leaseDurationMs / 1000)),
      acquireTime: isRenewal ? before.acquireTime : time,
      renewTime: time,
      transitions: before === null ? 0 : before.transitions + (isRenewal ? 0 : 1),
    };
  }

  #lose(why: string): void {
    if (this.#phase === 'lost') return;
    this.#phase = 'lost';
    this.#why = why;
  }

  /** Candidates look at different times. */
  #jittered(): number {
    return this.#times.retryPeriodMs * (1 + 0.2 * this.#random.float());
  }
}

export interface LeaderElectionPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Performs the state machine. Loss is final: the process ends, and its next life stands for election again. */
export class LeaderElection {
  /** Resolves when this process leads; rejects when it was closed before. */
  readonly elected: Promise<void>;
  readonly #ports: LeaderElectionPorts;
  readonly #store: LeaseStore;
  readonly #state: ElectionState;
  readonly #times: ElectionTimes;
  readonly #leading = new AbortController();
  readonly #waking = new AbortController();
  readonly #done: Promise<void>;
  #isReleasing = false;
  #elect!: () => void;
  #refuse!: (reason: unknown) => void;

  /** Starts at once. `identity` is of this process alone: a restart has another. */
  constructor(ports: LeaderElectionPorts, store: LeaseStore, identity: string, times: ElectionTimes = DEFAULT_ELECTION_TIMES) {
    this.#ports = ports;
    this.#store = store;
    this.#times = times;
    this.#state = new ElectionState(identity, times, ports.random);
    this.elected = new Promise((resolve, reject) => {
      this.#elect = resolve;
      this.#refuse = reject;
    });
    this.elected.catch(() => {}); // Waiting for it is the caller's choice.
    this.#done = this.#run();
  }

  /** Aborted (FENCED) when leadership ends, before any other process can hold it. */
  get signal(): AbortSignal {
    return this.#leading.signal;
  }

  /** To be asked before each write: true only while no other can lead. */
  get isLeader(): boolean {
    return !this.#leading.signal.aborted && this.#state.isLeader(this.#moment());
  }

  get holder(): string {
    return this.#state.holder;
  }

  /** Ends leadership (aborts `signal`), waits for the request under way, frees the Lease. Finish your writes before. Idempotent. */
  async release(): Promise<void> {
    this.#isReleasing = true;
    this.#waking.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#isReleasing) {
      const duty = this.#state.next(this.#moment());
      if (duty.kind === 'stop') {
        this.#end(duty.why);
        return;
      }
      if (duty.kind === 'wait') await this.#sleep(duty.delayMs);
      else await this.#withDeadline(() => this.#perform(duty));
    }
    const resignation = this.#state.resign(this.#moment());
    this.#end('it was given up');
    if (resignation === null) return;
    await this.#store.write(resignation.record, resignation.version, this.#times.retryPeriodMs * 2).catch((error: unknown) => {
      this.#ports.log.info(`the Lease could not be freed, the next leader waits for its end: ${formatErrorChain(error)}`);
    });
  }

  async #perform(duty: Extract<ElectionDuty, { kind: 'read' | 'write' }>): Promise<void> {
    const sentAt = this.#moment();
    const timeoutMs = Math.max(1_000, this.#times.renewDeadlineMs / 2);
    try {
      if (duty.kind === 'read') {
        this.#state.onRead(await this.#store.read(timeoutMs), this.#moment());
        return;
      }
      const record = await this.#store.write(duty.record, duty.version, timeoutMs);
      this.#state.onWritten(record, sentAt, this.#moment());
      if (!this.#isReleasing && this.isLeader) this.#elect();
    } catch (error) {
      const isConflict = ['STALE', 'ALREADY_EXISTS'].includes(errorCodeOf(error));
      if (!isConflict)
        this.#ports.log.warn(`cannot ${duty.kind} the Lease: ${formatErrorChain(error)}`, { phase: this.#state.phase });
      this.#state.onFailure(isConflict, this.#moment());
    }
  }

  /** The end of leadership does not wait for an answer. */
  async #withDeadline(work: () => Promise<void>): Promise<void> {
    let timer: Timer | null = null;
    const watch = (): void => {
      const msLeft = this.#state.msLeft(this.#moment());
      if (msLeft <= 0) this.#end('its last renewal is too long ago');
      else timer = this.#ports.clock.after(msLeft, watch);
    };
    if (this.#state.phase === 'leading') watch();
    try {
      await work();
    } finally {
      (timer as Timer | null)?.cancel();
    }
  }

  async #sleep(delayMs: number): Promise<void> {
    const limitMs = this.#state.phase === 'leading' ? Math.max(0, this.#state.msLeft(this.#moment())) : delayMs;
    await this.#ports.clock.sleep(Math.min(delayMs, limitMs), this.#waking.signal).catch(() => {}); // Released: the loop ends.
  }

  #end(why: string): void {
    const reason = new PfError('FENCED', `this process does not lead (any more): ${why}`);
    this.#refuse(reason);
    this.#leading.abort(reason);
  }

  #moment(): Moment {
    const { clock } = this.#ports;
    return { nowMs: clock.now(), wallMs: clock.wallTimeMs() };
  }
}
