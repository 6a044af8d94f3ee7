// What one seed tries: the shape of the cluster, of its volumes and of the load, and which kinds of faults may strike.
// Drawn before anything runs, so that a run can be described in one line. Each seed turns most knobs off and a few of them
// high ("swarm testing", Groce et al., 2012): a fault that is always on hides what only happens without it.
import { KiB, MiB } from '../../base/sizes.ts';
import type { FaultKnobs, FaultName } from '../fault-plan.ts';
import type { SeededRandom } from '../seeded-random.ts';

export interface VolumeShape {
  readonly name: string;
  readonly sizeBytes: number;
  readonly shardSizeBytes: number;
  readonly replicaCount: number;
}

export interface LoadShape {
  /** Requests of the writer in flight. */
  readonly depth: number;
  readonly readerCount: number;
  readonly readerDepth: number;
  /** Requests come in bursts of this many times the depth, back to back ... */
  readonly burstRounds: number;
  /** ... and with pauses, so that each client sends about so many requests a second. */
  readonly requestRate: number;
  /** Share of reads, of trims and of write-zeroes among the writer's requests; the rest are writes. */
  readonly readShare: number;
  readonly trimShare: number;
  readonly zeroShare: number;
  /** Regions of the hot set beside the boundaries. */
  readonly extraRegions: number;
  readonly connections: number;
}

export interface Profile {
  readonly storeCount: number;
  readonly diskBytes: number;
  readonly clockDriftPpm: number;
  /** Timers of the daemons are up to this late. */
  readonly timerLatenessMs: number;
  /** Shortest delay between two machines, one way. */
  readonly latencyMs: number;
  /** All delays of the disks are this many times those of a fast one. */
  readonly diskDelayFactor: number;
  /** Stores have a door of their own for each other. */
  readonly hasReplicationNetwork: boolean;
  readonly volumes: readonly VolumeShape[];
  readonly load: LoadShape;
  /** How long clients send while faults strike. */
  readonly durationMs: number;
  /** A second writer takes the first volume over at this moment, or never (0). */
  readonly takeoverAtMs: number;
  /** What happens to the first writer before: it lives on, dies, or dies together with its primaries. */
  readonly takeoverFrom: 'living' | 'dead' | 'dead with stores';
  /** The first volume grows at this moment, or never (0) ... */
  readonly growAtMs: number;
  /** ... by so many bytes. */
  readonly growBytes: number;
  /** Every store and the conductor lose power at once at this moment, or never (0). */
  readonly blackoutAtMs: number;
  /** Stores lose power once more when all is healed, before everything is read back. */
  readonly hasFinalBlackout: boolean;
  readonly storeFaults: readonly FaultName[];
  readonly conductorFaults: readonly FaultName[];
  readonly maxImpairedStores: number;
  readonly impairEveryMs: number;
  readonly meanFaultMs: number;
  /** Chance, for each segment, that its connection breaks. */
  readonly resetChance: number;
  /** Extents of 64 KiB that are left on each disk before the load begins, so that requests end with ENOSPC; 0: the whole disk. */
  readonly freeExtents: number;
}

const STORE_FAULTS: readonly FaultName[] = [
  'kill',
  'power-cut',
  'pause',
  'isolate',
  'mute',
  'deafen',
  'stuck-disk',
  'disk-errors',
  'stall',
  'resets',
  'cut-link',
  'slow-disk',
  'lost-answers',
];
const CONDUCTOR_FAULTS: readonly FaultName[] = [
  'kill',
  'power-cut',
  'pause',
  'isolate',
  'mute',
  'deafen',
  'stall',
  'lost-answers',
];

export const START_MS = 200;

export function drawProfile(random: SeededRandom): Profile {
  const storeCount = random.chance(0.7) ? 3 : 4;
  const isDiskSmall = random.chance(0.1);
  const volumes = drawVolumes(random);
  const durationMs = random.integer(3_000, 9_000);
  const isQuiet = random.chance(0.06);
  const blackoutAtMs = random.chance(0.15) ? START_MS + random.integer(500, durationMs - 500) : 0;
  // A block rots on one replica only, and only the others can repair it: nothing may take those out meanwhile.
  const isCorrupting = !isQuiet && !isDiskSmall && random.chance(0.1);
  return {
    storeCount,
    diskBytes: isDiskSmall ? 96 * MiB : random.pick([88, 128]) * MiB,
    clockDriftPpm: random.chance(0.4) ? random.integer(1, 100) : 0,
    timerLatenessMs: random.fork('timers').pick([0, 0, 1, 40]),
    latencyMs: random.pick([0.05, 0.05, 1, 4]),
    diskDelayFactor: random.pick([1, 1, 10, 60]),
    hasReplicationNetwork: random.fork('networks').chance(0.3),
    volumes: isCorrupting ? volumes.map((volume) => ({ ...volume, replicaCount: Math.max(2, volume.replicaCount) })) : volumes,
    load: drawLoad(random, isDiskSmall, durationMs, volumes.length),
    durationMs,
    takeoverAtMs:
      blackoutAtMs > 0 && random.chance(0.5)
        ? blackoutAtMs
        : random.chance(0.4)
          ? START_MS + random.integer(200, durationMs - 500)
          : 0,
    ...drawGrowth(random.fork('growth'), durationMs, isDiskSmall),
    takeoverFrom: isQuiet || isCorrupting ? 'living' : random.pick(['living', 'dead', 'dead with stores']),
    blackoutAtMs: isQuiet || isCorrupting ? 0 : blackoutAtMs,
    hasFinalBlackout: random.chance(0.3),
    storeFaults: isQuiet ? [] : isCorrupting ? ['bit-rot', 'slow-disk'] : subset(random, STORE_FAULTS),
    conductorFaults: isQuiet || isCorrupting ? [] : subset(random, CONDUCTOR_FAULTS),
    maxImpairedStores: random.chance(0.6) ? 1 : random.integer(2, storeCount),
    impairEveryMs: random.pick([300, 800, 2000]),
    meanFaultMs: random.pick([150, 600, 1800]),
    resetChance: !isQuiet && !isCorrupting && random.chance(0.25) ? random.pick([1e-4, 1e-3, 4e-3]) : 0,
    freeExtents: isDiskSmall ? random.integer(8, 60) : 0,
  };
}

/** The two halves of the plan: faults of stores, and of the links to everybody else; then faults of the conductor. */
export function faultKnobs(
  profile: Profile,
  stores: readonly string[],
  conductor: string,
  clients: readonly string[],
): FaultKnobs[] {
  const times = { startMs: START_MS, endMs: START_MS + profile.durationMs, corruptEveryMs: 1500, recoveryMs: 50 };
  return [
    {
      ...times,
      groups: [
        { hosts: stores, maxImpaired: profile.maxImpairedStores, maxCorruptible: 1 },
        { hosts: [...clients, conductor], maxImpaired: 0, maxCorruptible: 0 },
      ],
      kinds: profile.storeFaults,
      impairEveryMs: profile.impairEveryMs,
      disturbEveryMs: 900,
      meanDurationMs: profile.meanFaultMs,
    },
    {
      ...times,
      groups: [{ hosts: [conductor], maxImpaired: 1, maxCorruptible: 0 }],
      kinds: profile.conductorFaults,
      impairEveryMs: 2 * profile.impairEveryMs,
      disturbEveryMs: 2500,
      meanDurationMs: profile.meanFaultMs,
    },
  ];
}

export function formatProfile(profile: Profile): string {
  const { load, volumes } = profile;
  const shapes = volumes.map(
    (volume) => `${volume.replicaCount}x${(volume.sizeBytes / MiB).toFixed(2)} MiB by ${volume.shardSizeBytes / MiB}`,
  );
  const parts = [
    `${profile.storeCount} stores of ${profile.diskBytes / MiB} MiB, volumes ${shapes.join(', ')}`,
    `${profile.durationMs} ms at depth ${load.depth}x${load.burstRounds}, ${load.requestRate} requests a second each, with ${load.readerCount} readers, ${load.connections} connections`,
    `store faults ${profile.storeFaults.join(' ') || 'none'} (${profile.maxImpairedStores} at once, ${profile.meanFaultMs} ms)`,
    `conductor faults ${profile.conductorFaults.join(' ') || 'none'}`,
  ];
  if (profile.latencyMs > 1 || profile.diskDelayFactor > 1)
    parts.push(`latency ${profile.latencyMs} ms, disks ${profile.diskDelayFactor} times slower`);
  if (profile.hasReplicationNetwork) parts.push('replication by doors of its own');
  if (profile.resetChance > 0) parts.push(`resets ${profile.resetChance}`);
  if (profile.takeoverAtMs > 0) parts.push(`takeover from ${profile.takeoverFrom} at ${profile.takeoverAtMs}`);
  if (profile.growAtMs > 0) parts.push(`grows by ${(profile.growBytes / MiB).toFixed(2)} MiB at ${profile.growAtMs}`);
  if (profile.blackoutAtMs > 0) parts.push(`blackout at ${profile.blackoutAtMs}`);
  if (profile.hasFinalBlackout) parts.push('final blackout');
  if (profile.freeExtents > 0) parts.push(`${profile.freeExtents} extents free`);
  if (profile.timerLatenessMs > 0) parts.push(`timers up to ${profile.timerLatenessMs} ms late`);
  if (profile.clockDriftPpm > 0) parts.push(`clocks drift ${profile.clockDriftPpm} ppm`);
  return parts.join('; ');
}

function drawVolumes(random: SeededRandom): VolumeShape[] {
  const count = random.chance(0.7) ? 1 : random.integer(2, 3);
  return Array.from({ length: count }, (_, index) => {
    const shardSizeBytes = random.chance(0.75) ? 64 * MiB : 128 * MiB;
    const tail = random.pick([0, 4 * KiB, 20 * KiB, 132 * KiB]);
    const objects = index === 0 ? random.integer(1, 3) : 1;
    return {
      name: `volume${index}`,
      sizeBytes: objects * 64 * MiB + tail,
      shardSizeBytes,
      replicaCount: random.chance(0.15) ? 1 : random.chance(0.5) ? 2 : 3,
    };
  });
}

/** Within the last shard, into further ones, or both; not on disks that may have no room for another shard. */
function drawGrowth(random: SeededRandom, durationMs: number, isDiskSmall: boolean): Pick<Profile, 'growAtMs' | 'growBytes'> {
  if (isDiskSmall || !random.chance(0.2)) return { growAtMs: 0, growBytes: 0 };
  const growBytes = random.pick([4 * KiB, 132 * KiB, 64 * MiB, 64 * MiB + 20 * KiB, 128 * MiB]);
  return { growAtMs: START_MS + random.integer(100, durationMs - 500), growBytes };
}

function drawLoad(random: SeededRandom, isDiskSmall: boolean, durationMs: number, volumeCount: number): LoadShape {
  const depth = random.pick([1, 4, 8, 16]);
  const burstRounds = random.integer(1, 4);
  const readerCount = random.integer(0, 2);
  const clients = volumeCount * (1 + readerCount);
  const requests = random.pick([250, 500, 900]);
  return {
    depth,
    readerCount,
    readerDepth: random.integer(1, 4),
    burstRounds,
    requestRate: Math.ceil(requests / clients / (durationMs / 1000)),
    readShare: random.pick([0.1, 0.3, 0.6]),
    trimShare: random.pick([0, 0.05, 0.2]),
    zeroShare: random.pick([0, 0.03, 0.1]),
    extraRegions: isDiskSmall ? 40 : random.integer(0, 4),
    connections: random.chance(0.7) ? 1 : 2,
  };
}

function subset(random: SeededRandom, kinds: readonly FaultName[]): FaultName[] {
  const chance = random.pick([0.2, 0.5, 0.9]);
  return kinds.filter(() => random.chance(chance));
}
