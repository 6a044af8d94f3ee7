// What will go wrong in a run, drawn from the seed before it starts, so that a plan can be printed, shortened and replayed.
// A plan stays within what the system promises to survive: of each group of machines (the stores, the conductors) at most
// `maxImpaired` are in trouble at once, with time to recover before the next one, and corrupting disks are confined to
// `corruptible` machines of the group for the whole run. Hence a run that fails is a bug and not bad luck.
import { assert } from '../base/assert.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Faults that take a machine out of service while they last. */
export const IMPAIRING = ['kill', 'power-cut', 'pause', 'isolate', 'mute', 'deafen', 'stuck-disk', 'disk-errors'] as const;
/** Faults that anybody may suffer at any time. */
export const HARMLESS = ['stall', 'resets', 'cut-link', 'slow-disk', 'lost-answers'] as const;
/** Faults that damage stored bytes without a word. */
export const CORRUPTING = ['bit-rot', 'lost-writes', 'misdirected-writes', 'torn-writes'] as const;

export type FaultName = (typeof IMPAIRING)[number] | (typeof HARMLESS)[number] | (typeof CORRUPTING)[number];

export interface PlannedFault {
  readonly kind: FaultName;
  readonly host: string;
  /** The other end, for stall, resets, cut-link. */
  readonly other: string | null;
  readonly atMs: number;
  /** When it is over: healed, resumed, restarted. */
  readonly untilMs: number;
}

export interface FaultGroup {
  readonly hosts: readonly string[];
  /** At once; 0 for machines that must not be harmed. */
  readonly maxImpaired: number;
  /** Of its machines, how many may have corrupting disks. */
  readonly maxCorruptible: number;
}

export interface FaultKnobs {
  readonly groups: readonly FaultGroup[];
  /** Faults begin after this much peace ... */
  readonly startMs: number;
  /** ... and all are over by then. */
  readonly endMs: number;
  /** Mean time between two faults of a group that impair. */
  readonly impairEveryMs: number;
  /** Mean time between two harmless ones of a group. */
  readonly disturbEveryMs: number;
  readonly corruptEveryMs: number;
  readonly meanDurationMs: number;
  /** Peace for a machine's group after it has come back, before another one may go. */
  readonly recoveryMs: number;
  /** What may be drawn; default everything. */
  readonly kinds?: readonly FaultName[];
}

export function planFaults(random: SeededRandom, knobs: FaultKnobs): PlannedFault[] {
  assert(knobs.endMs > knobs.startMs, 'a fault plan must end after it starts');
  const allows = (kind: FaultName): boolean => knobs.kinds === undefined || knobs.kinds.includes(kind);
  const everyHost = knobs.groups.flatMap((group) => group.hosts);
  const faults = knobs.groups.flatMap((group) => [
    ...planImpairing(random, knobs, group, IMPAIRING.filter(allows)),
    ...planHarmless(random, knobs, group, everyHost, HARMLESS.filter(allows)),
    ...planCorrupting(random, knobs, group, CORRUPTING.filter(allows)),
  ]);
  return faults.sort((left, right) => left.atMs - right.atMs);
}

/** One line a fault, for a failure's report. */
export function formatFaults(faults: readonly PlannedFault[]): string {
  return faults
    .map(
      ({ kind, host, other, atMs, untilMs }) =>
        `${atMs.toFixed(0)}..${untilMs.toFixed(0)} ms: ${kind} ${host}${other === null ? '' : ` - ${other}`}`,
    )
    .join('\n');
}

/** Each of `maxImpaired` lanes impairs one machine after the other; two lanes never hold the same machine. */
function planImpairing(random: SeededRandom, knobs: FaultKnobs, group: FaultGroup, kinds: readonly FaultName[]): PlannedFault[] {
  const faults: PlannedFault[] = [];
  if (kinds.length === 0) return faults;
  for (let lane = 0; lane < Math.min(group.maxImpaired, group.hosts.length); lane += 1) {
    let atMs = knobs.startMs + random.exponential(knobs.impairEveryMs);
    while (atMs < knobs.endMs) {
      const untilMs = Math.min(atMs + duration(random, knobs), knobs.endMs);
      const isFree = (host: string): boolean =>
        !faults.some(
          (fault) => fault.host === host && fault.atMs < untilMs + knobs.recoveryMs && atMs < fault.untilMs + knobs.recoveryMs,
        );
      const free = group.hosts.filter(isFree);
      if (free.length > 0) faults.push({ kind: random.pick(kinds), host: random.pick(free), other: null, atMs, untilMs });
      atMs = untilMs + knobs.recoveryMs + random.exponential(knobs.impairEveryMs);
    }
  }
  return faults;
}

function planHarmless(
  random: SeededRandom,
  knobs: FaultKnobs,
  group: FaultGroup,
  everyHost: readonly string[],
  kinds: readonly FaultName[],
): PlannedFault[] {
  const faults: PlannedFault[] = [];
  // A cut link makes two machines deaf to each other, which only groups that may lose one must bear.
  const usable = kinds.filter((kind) => kind !== 'cut-link' || group.maxImpaired > 0);
  if (usable.length === 0) return faults;
  for (
    let atMs = next(random, knobs.startMs, knobs.disturbEveryMs);
    atMs < knobs.endMs;
    atMs = next(random, atMs, knobs.disturbEveryMs)
  ) {
    const host = random.pick(group.hosts);
    const others = everyHost.filter((other) => other !== host);
    const kind = random.pick(usable);
    const isPair = kind === 'stall' || kind === 'resets' || kind === 'cut-link';
    if (isPair && others.length === 0) continue;
    // Shorter than any failure detector's patience by far, except where the knobs say otherwise.
    const untilMs = Math.min(atMs + duration(random, knobs) * (kind === 'cut-link' ? 0.1 : 0.5), knobs.endMs);
    faults.push({ kind, host, other: isPair ? random.pick(others) : null, atMs, untilMs });
  }
  return faults;
}

function planCorrupting(random: SeededRandom, knobs: FaultKnobs, group: FaultGroup, kinds: readonly FaultName[]): PlannedFault[] {
  const faults: PlannedFault[] = [];
  const victims = random.shuffled(group.hosts).slice(0, group.maxCorruptible);
  if (victims.length === 0 || kinds.length === 0) return faults;
  for (
    let atMs = next(random, knobs.startMs, knobs.corruptEveryMs);
    atMs < knobs.endMs;
    atMs = next(random, atMs, knobs.corruptEveryMs)
  ) {
    faults.push({
      kind: random.pick(kinds),
      host: random.pick(victims),
      other: null,
      atMs,
      untilMs: Math.min(atMs + duration(random, knobs), knobs.endMs),
    });
  }
  return faults;
}

function next(random: SeededRandom, fromMs: number, meanMs: number): number {
  return fromMs + random.exponential(meanMs);
}

function duration(random: SeededRandom, knobs: FaultKnobs): number {
  return knobs.meanDurationMs * 0.1 + random.exponential(knobs.meanDurationMs * 0.9);
}
