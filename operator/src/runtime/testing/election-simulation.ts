// Candidates with clocks of different rates, a network that loses and delays, pauses, crashes and steps of wall time, around one Lease
// with compare-and-swap. Drives ElectionState as LeaderElection does, and checks after every event that at most one process may write.
import { ElectionState, type ElectionDuty, type ElectionTimes, type LeaseRecord, type Moment } from '../leader-election.ts';
import { SeededRandom } from './seeded-random.ts';

export interface SimulationResult {
  /** Moments at which two processes would have written, "at 1234 ms: a#1 and b#2". */
  readonly violations: readonly string[];
  readonly elections: number;
  /** Share of the time in which somebody led. */
  readonly ledShare: number;
  /** Is there a leader after a minute without faults? */
  readonly endedWithLeader: boolean;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly times: ElectionTimes;
  readonly durationMs: number;
  /** Clock rates lie between 1 - spread and 1 + spread. */
  readonly rateSpread: number;
}

interface SimEvent {
  readonly at: number;
  readonly run: () => void;
}

const REQUEST_TIMEOUT_MS = 5_000;
const QUIET_MS = 60_000;

export function simulateElection(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Candidate {
  readonly name: string;
  readonly rate: number;
  incarnation = 0;
  state: ElectionState;
  wallSkewMs: number;
  pausedUntil = 0;
  isWaitingForAnswer = false;

  constructor(name: string, rate: number, wallSkewMs: number, state: ElectionState) {
    this.name = name;
    this.rate = rate;
    this.wallSkewMs = wallSkewMs;
    this.state = state;
  }

  moment(at: number): Moment {
    return { nowMs: at * this.rate, wallMs: at * this.rate + this.wallSkewMs };
  }
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #events: SimEvent[] = [];
  readonly #candidates: Candidate[];
  readonly #violations: string[] = [];
  #lease: LeaseRecord | null = null;
  #version = 0;
  #now = 0;
  #elections = 0;
  #ledMs = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#candidates = ['a', 'b', 'c'].map((name) => {
      const rate = this.#random.between(1 - options.rateSpread, 1 + options.rateSpread);
      return new Candidate(name, rate, this.#random.between(-1e9, 1e9), this.#newState(`${name}#0`));
    });
  }

  run(): SimulationResult {
    for (const candidate of this.#candidates) this.#at(this.#random.float() * 3_000, () => this.#step(candidate, 0));
    for (let at = 2_000; at < this.#options.durationMs; at += this.#random.between(500, 15_000))
      this.#at(at, () => this.#fault());
    const endAt = this.#options.durationMs + QUIET_MS;
    while (this.#events.length > 0 && this.#now < endAt) {
      const event = this.#takeFirst();
      if (this.#leaders(this.#now).length > 0) this.#ledMs += event.at - this.#now;
      this.#now = event.at;
      event.run();
      this.#check();
    }
    return {
      violations: this.#violations,
      elections: this.#elections,
      ledShare: this.#ledMs / this.#now,
      endedWithLeader: this.#leaders(this.#now).length === 1,
    };
  }

  #newState(identity: string): ElectionState {
    return new ElectionState(identity, this.#options.times, this.#random);
  }

  #leaders(at: number): Candidate[] {
    return this.#candidates.filter((candidate) => candidate.state.isLeader(candidate.moment(at)));
  }

  #check(): void {
    const leaders = this.#leaders(this.#now).map(({ name, incarnation }) => `${name}#${incarnation}`);
    if (leaders.length > 1) this.#violations.push(`at ${this.#now.toFixed(0)} ms: ${leaders.join(' and ')}`);
  }

  #step(candidate: Candidate, incarnation: number): void {
    if (candidate.incarnation !== incarnation || candidate.isWaitingForAnswer) return;
    if (this.#now < candidate.pausedUntil) {
      this.#at(candidate.pausedUntil, () => this.#step(candidate, incarnation));
      return;
    }
    const duty = candidate.state.next(candidate.moment(this.#now));
    if (duty.kind === 'stop') this.#restart(candidate, 1_000);
    else if (duty.kind === 'wait') this.#after(duty.delayMs / candidate.rate, () => this.#step(candidate, incarnation));
    else this.#request(candidate, incarnation, duty);
  }

  /** One request: maybe lost, maybe done with its answer lost, maybe done much later than its sender waits. */
  #request(candidate: Candidate, incarnation: number, duty: Extract<ElectionDuty, { kind: 'read' | 'write' }>): void {
    const sentAt = candidate.moment(this.#now);
    let isOpen = true;
    candidate.isWaitingForAnswer = true;
    const answer = (handle: (at: Moment) => void): void => {
      if (this.#now < candidate.pausedUntil) {
        this.#at(candidate.pausedUntil, () => answer(handle));
        return;
      }
      if (!isOpen || candidate.incarnation !== incarnation) return;
      isOpen = false;
      candidate.isWaitingForAnswer = false;
      handle(candidate.moment(this.#now));
      this.#step(candidate, incarnation);
    };
    this.#after(REQUEST_TIMEOUT_MS / candidate.rate, () => answer((at) => candidate.state.onFailure(false, at)));
    if (this.#isLost()) return;
    this.#after(this.#delay(), () => {
      const result = this.#serve(duty);
      if (this.#isLost()) return;
      this.#after(this.#delay(), () => answer((at) => this.#deliver(candidate, duty, result, sentAt, at)));
    });
  }

  #deliver(candidate: Candidate, duty: ElectionDuty, result: LeaseRecord | null | 'conflict', sentAt: Moment, at: Moment): void {
    if (result === 'conflict') {
      candidate.state.onFailure(true, at);
    } else if (duty.kind === 'read') {
      candidate.state.onRead(result, at);
    } else {
      const wasLeading = candidate.state.phase === 'leading';
      candidate.state.onWritten(result!, sentAt, at);
      if (!wasLeading && candidate.state.phase === 'leading') this.#elections += 1;
    }
  }

  #serve(duty: Extract<ElectionDuty, { kind: 'read' | 'write' }>): LeaseRecord | null | 'conflict' {
    if (duty.kind === 'read') return this.#lease;
    if ((this.#lease?.version ?? null) !== duty.version) return 'conflict';
    this.#version += 1;
    this.#lease = { ...duty.record, version: String(this.#version) };
    return this.#lease;
  }

  #fault(): void {
    const candidate = this.#candidates[this.#random.below(3)]!;
    const kind = this.#random.below(4);
    if (kind === 0) candidate.pausedUntil = this.#now + this.#random.between(100, 40_000);
    else if (kind === 1) this.#restart(candidate, this.#random.between(10, 5_000));
    else if (kind === 2) candidate.wallSkewMs += this.#random.between(-60_000, 60_000);
    else this.#resign(candidate);
  }

  #resign(candidate: Candidate): void {
    const resignation = candidate.state.resign(candidate.moment(this.#now));
    this.#restart(candidate, 2_000);
    if (resignation === null || this.#isLost()) return;
    this.#after(this.#delay(), () => void this.#serve({ kind: 'write', ...resignation }));
  }

  #restart(candidate: Candidate, delayMs: number): void {
    candidate.incarnation += 1;
    const { incarnation } = candidate;
    candidate.state = this.#newState(`${candidate.name}#${incarnation}`);
    candidate.isWaitingForAnswer = false;
    this.#after(delayMs, () => this.#step(candidate, incarnation));
  }

  #isFaulty(): boolean {
    return this.#now < this.#options.durationMs;
  }

  #isLost(): boolean {
    return this.#isFaulty() && this.#random.chance(0.1);
  }

  #delay(): number {
    return this.#isFaulty() && this.#random.chance(0.08) ? this.#random.between(1_000, 25_000) : this.#random.between(1, 50);
  }

  #after(delayMs: number, run: () => void): void {
    this.#at(this.#now + delayMs, run);
  }

  #at(at: number, run: () => void): void {
    this.#events.push({ at, run });
  }

  #takeFirst(): SimEvent {
    let first = 0;
    for (let index = 1; index < this.#events.length; index += 1)
      if (this.#events[index]!.at < this.#events[first]!.at) first = index;
    return this.#events.splice(first, 1)[0]!;
  }
}
