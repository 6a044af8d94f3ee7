// The simulated universe: a seed, virtual time, and one event at a time. The same seed gives the same run, which
// `traceHash` proves. Between two events every promise that is ready runs to its end, so programs use async/await as usual.
// Made by tests and by bin/sim; machines, processes and the world they see hang off it (sim-host.ts, sim-process.ts).
import { assert } from '../base/assert.ts';
import { formatErrorChain } from '../base/errors.ts';
import { drainMicrotasks } from './drain.ts';
import { EventQueue, SimEvent } from './event-queue.ts';
import type { EventOwner } from './event-queue.ts';
import { hashText, SeededRandom } from './seeded-random.ts';
import { SimHost } from './sim-host.ts';
import type { HostOptions } from './sim-host.ts';
import { SimNetwork } from './sim-network.ts';
import { SimLog } from './sim-log.ts';

export interface SimulatorOptions {
  /** Waits until no promise can go on without an event; the default uses the host's immediates. */
  readonly drain?: () => Promise<void>;
  /** Arena of each process; default 16 MiB. */
  readonly memoryBytes?: number;
  /** Log lines kept for the report of a failure; default 2000. */
  readonly logLines?: number;
}

export interface RunLimits {
  /** Default 50 million. */
  readonly maxEvents?: number;
  /** Virtual time that a predicate may take; default 10 minutes. */
  readonly withinMs?: number;
}

export class SimFailure extends Error {
  override readonly name = 'SimFailure';
}

export class Simulator {
  readonly seed: number;
  readonly random: SeededRandom;
  readonly network: SimNetwork;
  readonly log: SimLog;
  readonly memoryBytes: number;
  readonly hosts = new Map<string, SimHost>();
  /** Virtual milliseconds since the start of the run. */
  now = 0;
  eventCount = 0;

  readonly #events = new EventQueue();
  readonly #drain: () => Promise<void>;
  readonly #labels = new Map<string, number>();
  #hashLow = 0x6a09e667;
  #hashHigh = 0xbb67ae85;
  #failure: unknown = null;
  #isRunning = false;
  #nextId = 1;

  constructor(seed: number, options: SimulatorOptions = {}) {
    this.seed = seed;
    this.random = new SeededRandom(seed, 'run');
    this.memoryBytes = options.memoryBytes ?? 16 * 1024 * 1024;
    this.#drain = options.drain ?? drainMicrotasks;
    this.log = new SimLog(options.logLines ?? 2000);
    this.network = new SimNetwork(this);
  }

  /** 16 hex digits over the order, times and kinds of all events so far. */
  get traceHash(): string {
    return (this.#hashHigh >>> 0).toString(16).padStart(8, '0') + (this.#hashLow >>> 0).toString(16).padStart(8, '0');
  }

  get pendingEvents(): number {
    return this.#events.size;
  }

  nextId(): number {
    this.#nextId += 1;
    return this.#nextId - 1;
  }

  /** The machine of that name, made when it is new; its address is 10.0.0.n in the order of making. */
  machine(name: string, options: HostOptions = {}): SimHost {
    let host = this.hosts.get(name);
    if (host === undefined) {
      host = new SimHost(this, name, `10.0.${this.hosts.size >> 8}.${(this.hosts.size & 255) + 1}`, options);
      this.hosts.set(name, host);
    }
    return host;
  }

  /** An event of the harness, which no crash or pause touches. */
  schedule(delayMs: number, run: () => void, label = 'harness'): SimEvent {
    return this.post(null, delayMs, label, run, true);
  }

  /** For the parts of the world. `isProgram` says whether code of a program may run in it. */
  post(owner: EventOwner | null, delayMs: number, label: string, run: () => void, isProgram: boolean): SimEvent {
    assert(delayMs >= 0, `event "${label}" lies ${delayMs} ms from now`);
    const event = new SimEvent(this.now + delayMs, owner, label, run, isProgram);
    if (owner === null || owner.isAlive) this.#events.push(event);
    return event;
  }

  /** Puts an event that was held for a paused process back, to happen now. */
  repost(event: SimEvent): void {
    event.timeMs = this.now;
    this.#events.push(event);
  }

  /** Mixes a value into the trace hash: what happened, besides when. */
  note(value: number): void {
    this.#hashLow = Math.imul(this.#hashLow ^ value, 0x9e3779b1);
    this.#hashLow ^= this.#hashLow >>> 15;
    this.#hashHigh = Math.imul((this.#hashHigh + this.#hashLow) | 0, 0x85ebca6b);
    this.#hashHigh ^= this.#hashHigh >>> 13;
  }

  /** Ends the run with this error: the running or next run() rejects with a report. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /**
   * Runs until virtual time `until`, or until the predicate holds (looked at after every event).
   * Rejects with SimFailure on a failed program, an exceeded limit, or a predicate that nothing can make true any more.
   */
  async run(until: number | (() => boolean), limits: RunLimits = {}): Promise<void> {
    assert(!this.#isRunning, 'the simulator is running already; wait for that run');
    this.#isRunning = true;
    try {
      await this.#loop(until, limits);
    } finally {
      this.#isRunning = false;
    }
  }

  /** Runs events in the background, as a test of ordinary async code needs it. Call the result to stop; it rethrows a failure. */
  runInBackground(): () => Promise<void> {
    assert(!this.#isRunning, 'the simulator is running already; wait for that run');
    this.#isRunning = true;
    let isStopped = false;
    const pump = async (): Promise<void> => {
      while (!isStopped && this.#failure === null) {
        const event = this.#events.pop();
        if (event !== null) this.#execute(event);
        await this.#drain();
      }
      this.#isRunning = false;
      if (this.#failure !== null) throw this.#report(this.#failure);
    };
    const pumping = pump();
    return () => {
      isStopped = true;
      return pumping;
    };
  }

  /** Runs until `work` settles; its result or error is the caller's. */
  async settle<T>(work: Promise<T>, limits: RunLimits = {}): Promise<T> {
    let isSettled = false;
    const mark = (): void => void (isSettled = true);
    work.then(mark, mark);
    if (this.#isRunning) return work;
    await this.#drain();
    await this.run(() => isSettled, limits);
    return work;
  }

  async #loop(until: number | (() => boolean), limits: RunLimits): Promise<void> {
    const lastEvent = this.eventCount + (limits.maxEvents ?? 50_000_000);
    const endMs = typeof until === 'number' ? until : this.now + (limits.withinMs ?? 600_000);
    await this.#drain();
    for (;;) {
      if (this.#failure !== null) throw this.#report(this.#failure);
      if (typeof until !== 'number' && until()) return;
      const next = this.#events.peek();
      if (next === null || next.timeMs > endMs) {
        if (typeof until === 'number') {
          this.now = Math.max(this.now, endMs);
          return;
        }
        const why = next === null ? 'no event is left' : `${limits.withinMs ?? 600_000} ms of virtual time have passed`;
        throw this.#report(new Error(`the awaited state was not reached: ${why}`));
      }
      if (this.eventCount >= lastEvent)
        throw this.#report(new Error(`the run exceeded ${limits.maxEvents ?? 50_000_000} events`));
      this.#events.pop();
      this.#execute(next);
      if (next.isProgram) await this.#drain();
    }
  }

  #execute(event: SimEvent): void {
    this.now = Math.max(this.now, event.timeMs);
    const owner = event.owner;
    if (owner !== null && owner.isPaused) {
      owner.hold(event);
      return;
    }
    this.eventCount += 1;
    this.note(Math.floor(this.now * 1e6) >>> 0);
    this.note(this.#labelHash(event.label) + (owner?.id ?? 0));
    try {
      event.run();
    } catch (error) {
      if (owner === null) this.fail(error);
      else owner.eventFailed(error, event.label);
    }
  }

  #labelHash(label: string): number {
    let hash = this.#labels.get(label);
    if (hash === undefined) {
      hash = hashText(label);
      this.#labels.set(label, hash);
    }
    return hash;
  }

  #report(error: unknown): SimFailure {
    const head = `seed ${this.seed} failed at ${this.now.toFixed(3)} ms after ${this.eventCount} events: ${formatErrorChain(error)}`;
    return new SimFailure(`${head}\nlast log lines:\n${this.log.tail(60)}`, { cause: error });
  }
}
