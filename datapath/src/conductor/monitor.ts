// Who is alive: listens to heartbeats and to the silence between them. Nothing in here is durable.
//   never heard of --(STORE_DEAD_MS after this conductor's start)--> DEAD     (until then UNKNOWN)
//   heard of --(STORE_DEAD_MS of silence)--> DEAD --(heartbeat)--> LIVE or RETURNED
//   all DEAD --(a heartbeat)--> all others UNKNOWN, as at the start: this conductor was cut off, or everybody was away
// One timer, armed for the first moment at which somebody could be dead: an idle conductor sleeps.
import { PfError } from '../base/errors.ts';
import type { HeartbeatRequest } from '../api/model.ts';
import type { Clock, Timer } from '../world/clock.ts';
import type { Liveness, LivenessView } from './plan/liveness.ts';
import { isReturn } from './state/apply.ts';
import type { ClusterState, StoreFacts } from './state/cluster-state.ts';

export const STORE_DEAD_MS = 1600;
/** Heartbeats come every 600 ms; after this silence the next one is overdue. */
const STORE_QUIET_MS = 850;
/** Old incarnations of a store that are remembered, to refuse their late heartbeats. */
const REMEMBERED_INCARNATIONS = 16;

interface Watched {
  readonly report: HeartbeatRequest;
  readonly facts: StoreFacts;
  heardAt: number;
  isDead: boolean;
}

export class Monitor implements LivenessView {
  readonly #clock: Clock;
  readonly #state: () => ClusterState;
  readonly #onChange: (storeId: number) => void;
  #startedAt: number;
  readonly #watched = new Map<number, Watched>();
  readonly #superseded = new Map<number, string[]>();
  #timer: Timer | null = null;
  /** The first STORE_DEAD_MS, and as long again after everybody was silent: silence means nothing yet. */
  #isStarting = true;
  #isClosed = false;

  /** `onChange` is called when a store's liveness or the state of its disks may have changed. */
  constructor(clock: Clock, state: () => ClusterState, onChange: (storeId: number) => void) {
    this.#clock = clock;
    this.#state = state;
    this.#onChange = onChange;
    this.#startedAt = clock.now();
    this.#arm();
  }

  /**
   * Error INVALID_STATE: the sender's process has been replaced by a newer one. Once the newer one is dead the sender is taken back:
   * a heartbeat of a process that had died may have arrived late, after the first one of its successor.
   */
  checkIncarnation(storeId: number, incarnation: string): void {
    const superseded = this.#superseded.get(storeId);
    if (!superseded?.includes(incarnation)) return;
    if (this.livenessOf(storeId) === 'DEAD') return void superseded.splice(superseded.indexOf(incarnation), 1);
    throw new PfError(
      'INVALID_STATE',
      `store ${storeId} runs under a newer incarnation than "${incarnation}": end the older process`,
    );
  }

  /** A registered store has been heard of. */
  hear(storeId: number, report: HeartbeatRequest): void {
    this.checkIncarnation(storeId, report.incarnation);
    if (this.#wasDeaf()) this.#startOver();
    const known = this.#state().stores.get(storeId)!;
    const watched = this.#watched.get(storeId);
    const previous = watched?.report.incarnation ?? known.incarnation;
    if (previous !== report.incarnation) this.#supersede(storeId, previous);
    const wasAway = watched === undefined || watched.isDead || this.isQuiet(storeId);
    const hasChanged = wasAway || !isSameProcess(watched.report, report) || !haveSameDisks(watched.report, report);
    this.#watched.set(storeId, { report, facts: factsOf(report), heardAt: this.#clock.now(), isDead: false });
    if (hasChanged) {
      this.#arm();
      this.#onChange(storeId);
    }
  }

  /** Another report of the same process has been heard that it made later. */
  isOutdated(storeId: number, { incarnation, report }: HeartbeatRequest): boolean {
    const heard = this.#watched.get(storeId)?.report;
    return heard !== undefined && heard.incarnation === incarnation && heard.report > report;
  }

  /** False when that report does not stand for it: it is dead, another process, was never heard of, or has told something else since. */
  hearAgain(storeId: number, incarnation: string, report: number): boolean {
    const watched = this.#watched.get(storeId);
    if (watched === undefined || watched.isDead || watched.report.incarnation !== incarnation) return false;
    if (watched.report.report !== report) return false;
    const wasQuiet = this.isQuiet(storeId);
    watched.heardAt = this.#clock.now();
    if (wasQuiet) this.#onChange(storeId);
    return true;
  }

  livenessOf(storeId: number): Liveness {
    const watched = this.#watched.get(storeId);
    if (watched === undefined) return this.#isStarting ? 'UNKNOWN' : 'DEAD';
    if (watched.isDead) return 'DEAD';
    return isReturn(this.#state().stores.get(storeId)!, watched.facts) ? 'RETURNED' : 'LIVE';
  }

  isQuiet(storeId: number): boolean {
    const watched = this.#watched.get(storeId);
    return watched !== undefined && !watched.isDead && this.#clock.now() - watched.heardAt > STORE_QUIET_MS;
  }

  isDiskUsable(storeId: number, diskUuid: string): boolean {
    return this.#watched.get(storeId)?.report.disks.some((disk) => disk.uuid === diskUuid && disk.status === 'OK') ?? false;
  }

  freeBytes(storeId: number, diskUuid: string): number {
    return this.#watched.get(storeId)?.report.disks.find((disk) => disk.uuid === diskUuid)?.free ?? 0;
  }

  /** Milliseconds since the last heartbeat, or null when there was none. */
  silenceMs(storeId: number): number | null {
    const watched = this.#watched.get(storeId);
    return watched === undefined ? null : this.#clock.now() - watched.heardAt;
  }

  /** The last report of a store that was heard of. */
  factsOf(storeId: number): StoreFacts {
    return this.#watched.get(storeId)!.facts;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  /** All stores together are silent for longer than any may be: rather this conductor was cut off than all of them died. */
  #wasDeaf(): boolean {
    if (this.#isStarting || this.#watched.size === 0) return false;
    for (const watched of this.#watched.values()) if (!watched.isDead) return false;
    return true;
  }

  /** As after a start: silence means nothing until everybody has had the time to be heard again. */
  #startOver(): void {
    this.#watched.clear();
    this.#isStarting = true;
    this.#startedAt = this.#clock.now();
    this.#arm();
  }

  #supersede(storeId: number, incarnation: string): void {
    const list = this.#superseded.get(storeId) ?? [];
    list.push(incarnation);
    if (list.length > REMEMBERED_INCARNATIONS) list.shift();
    this.#superseded.set(storeId, list);
  }

  #arm(): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#timer = null;
    const now = this.#clock.now();
    let next = Infinity;
    if (this.#isStarting) next = this.#startedAt + STORE_DEAD_MS;
    for (const watched of this.#watched.values()) if (!watched.isDead) next = Math.min(next, watched.heardAt + STORE_DEAD_MS);
    if (next !== Infinity) this.#timer = this.#clock.after(Math.max(1, Math.ceil(next - now)), () => this.#check());
  }

  #check(): void {
    const now = this.#clock.now();
    const changed: number[] = [];
    for (const [storeId, watched] of this.#watched) {
      if (watched.isDead || now - watched.heardAt < STORE_DEAD_MS) continue;
      watched.isDead = true;
      changed.push(storeId);
    }
    if (this.#isStarting && now - this.#startedAt >= STORE_DEAD_MS) {
      this.#isStarting = false;
      for (const storeId of this.#state().stores.keys()) if (!this.#watched.has(storeId)) changed.push(storeId);
    }
    this.#arm();
    for (const storeId of changed) this.#onChange(storeId);
  }
}

export function factsOf(report: HeartbeatRequest): StoreFacts {
  return {
    uuid: report.store_uuid,
    incarnation: report.incarnation,
    host: report.host,
    dataAddress: report.data_address,
    replicationAddress: report.replication_address,
    httpAddress: report.http_address,
    version: report.version,
    disks: report.disks.map((disk) => ({
      uuid: disk.uuid,
      device: disk.device,
      status: disk.status,
      rawCapacity: disk.raw_capacity,
      objectSize: disk.object_size,
    })),
  };
}

function isSameProcess(a: HeartbeatRequest, b: HeartbeatRequest): boolean {
  return (
    a.incarnation === b.incarnation &&
    a.data_address === b.data_address &&
    a.replication_address === b.replication_address &&
    a.http_address === b.http_address
  );
}

function haveSameDisks(a: HeartbeatRequest, b: HeartbeatRequest): boolean {
  return (
    a.disks.length === b.disks.length &&
    a.disks.every((disk, index) => disk.uuid === b.disks[index]!.uuid && disk.status === b.disks[index]!.status)
  );
}
