// Is what was seen of one sector explained by some order of the operations? (Linearizability of a register.)
//
// Every written value is unique, so each value has one zone: `firstFinish`, the first moment at which it was certainly there
// (its write was acknowledged, or a read that saw it ended), and `lastStart`, the last moment at which it was certainly
// still to be seen (the start of its write, or of a later read that saw it). Two zones contradict each other exactly when
// each was certainly there before the other was last seen: a.firstFinish < b.lastStart and b.firstFinish < a.lastStart.
// (Gibbons and Korach, "Testing Shared Memories", 1997, section 4, where this is the zone theorem.)
// Zeros are not unique: a read of zeros has a zone of its own, and must have a source, which is a trim or the beginning.
// A client sends a request again when its connection breaks, so a change may happen twice before it is answered. That shows only
// where one client has several changes of a sector under way at once: these may be seen in alternation (a disk orders them in no
// way), and only the replicas' agreement tells whether they ended in one order everywhere.

/** A write or a trim, as far as one sector cares. Ticks count all calls to the history. */
export interface Mutation {
  readonly number: number;
  readonly client: string;
  readonly startTick: number;
  /** When its client heard of it, success or not; Infinity until then. */
  answeredTick: number;
  /** Infinity until it is acknowledged. */
  endTick: number;
  /** If it took effect at all, then before this tick: its client was fenced. */
  deadlineTick: number;
}

export interface Zone {
  /** Null: a read of zeros. */
  readonly mutation: Mutation | null;
  readonly isZero: boolean;
  firstFinish: number;
  lastStart: number;
}

export interface Contradiction {
  readonly zone: Zone;
  readonly other: Zone;
}

export class SectorZones {
  readonly #zones: Zone[] = [];
  /** Zeros from the beginning may still be read. */
  #isInitialZeroPossible = true;

  /** A write or trim of this sector begins. */
  begin(mutation: Mutation, isZero: boolean): void {
    this.#zones.push({ mutation, isZero, firstFinish: Infinity, lastStart: mutation.startTick });
  }

  /** It was acknowledged. */
  acknowledge(mutation: Mutation): Contradiction | null {
    const zone = this.#zones.find((each) => each.mutation === mutation);
    if (zone === undefined) return null;
    zone.firstFinish = Math.min(zone.firstFinish, mutation.endTick, mutation.deadlineTick);
    return this.#contradictionOf(zone);
  }

  /** A read saw this write: null when that is fine, 'stale' when the value is long gone. */
  seeWrite(writeNumber: number, readStart: number, readEnd: number): Contradiction | 'stale' | null {
    const zone = this.#zones.find((each) => !each.isZero && each.mutation!.number === writeNumber);
    if (zone === undefined) return 'stale';
    zone.firstFinish = Math.min(zone.firstFinish, readEnd, zone.mutation!.deadlineTick);
    zone.lastStart = Math.max(zone.lastStart, readStart);
    return this.#contradictionOf(zone);
  }

  /** A read saw zeros: null when that is fine. */
  seeZeros(readStart: number, readEnd: number): Contradiction | null {
    const zone: Zone = { mutation: null, isZero: true, firstFinish: readEnd, lastStart: readStart };
    if (!this.#hasZeroSource(readStart)) return { zone, other: this.#latestWrite() };
    if (!this.#zones.some((each) => !each.isZero)) return null;
    this.#zones.push(zone);
    return this.#contradictionOf(zone);
  }

  /**
   * Forgets zones that no legal read can show any more: another zone was certainly there later, and certainly there before
   * the oldest read under way began. That other zone stays, and contradicts whatever the forgotten one would.
   */
  prune(oldestReadStart: number): void {
    if (this.#zones.some((zone) => !zone.isZero && zone.firstFinish < oldestReadStart)) this.#isInitialZeroPossible = false;
    for (let index = this.#zones.length - 1; index >= 0; index -= 1) {
      const zone = this.#zones[index]!;
      const isBuried = this.#zones.some(
        (other) => other !== zone && buries(other, zone, oldestReadStart) && !this.#mayAlternate(other, zone),
      );
      if (isBuried) this.#zones.splice(index, 1);
    }
  }

  get zoneCount(): number {
    return this.#zones.length;
  }

  #contradictionOf(zone: Zone): Contradiction | null {
    for (const other of this.#zones) {
      if (other === zone || (zone.isZero && other.isZero)) continue;
      const isContradiction = zone.firstFinish < other.lastStart && other.firstFinish < zone.lastStart;
      if (isContradiction && !this.#mayAlternate(zone, other)) return { zone, other };
    }
    return null;
  }

  /** Both are from changes that one client had under way at the same time. */
  #mayAlternate(zone: Zone, other: Zone): boolean {
    return this.#sourcesOf(zone).some((left) => this.#sourcesOf(other).some((right) => areOfOneBurst(left, right)));
  }

  #sourcesOf(zone: Zone): readonly Mutation[] {
    if (zone.mutation !== null) return [zone.mutation];
    return this.#zones.flatMap((each) => (each.isZero && each.mutation !== null ? [each.mutation] : []));
  }

  /** Is there a trim, or the beginning, that no write certainly lies after which is certainly before `readStart`? */
  #hasZeroSource(readStart: number): boolean {
    const isHidden = (sourceFinish: number): boolean =>
      this.#zones.some((zone) => !zone.isZero && sourceFinish < zone.lastStart && zone.firstFinish < readStart);
    if (this.#isInitialZeroPossible && !isHidden(-1)) return true;
    return this.#zones.some((zone) => zone.isZero && zone.mutation !== null && !isHidden(zone.firstFinish));
  }

  #latestWrite(): Zone {
    const writes = this.#zones.filter((zone) => !zone.isZero && zone.firstFinish < Infinity);
    return writes.reduce((latest, zone) => (zone.lastStart > latest.lastStart ? zone : latest));
  }
}

function areOfOneBurst(left: Mutation, right: Mutation): boolean {
  return left.client === right.client && left.startTick < right.answeredTick && right.startTick < left.answeredTick;
}

function buries(later: Zone, zone: Zone, oldestReadStart: number): boolean {
  const isCertainlyLater = zone.firstFinish < later.lastStart && zone.lastStart <= later.lastStart;
  if (!isCertainlyLater || later.firstFinish >= oldestReadStart) return false;
  // A trim is also the source of later zeros, which a read of zeros does not take away.
  const isTrim = zone.isZero && zone.mutation !== null;
  return !isTrim || later.mutation !== null;
}
