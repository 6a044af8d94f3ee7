// One seed of the whole cluster: draws a profile, runs clients against it while faults strike, heals everything, and checks.
// Called by bin/sim.ts, by tests and by the mutants' runner. The same seed gives the same run: the report's trace hash proves it.
//
//   peace (200 ms) -> load and faults -> healing -> all in sync -> read back, agree, account, close
import { formatErrorChain } from '../../base/errors.ts';
import { EIO } from '../../world/completion.ts';
import { formatFaults, planFaults, type PlannedFault } from '../fault-plan.ts';
import { FaultRunner } from '../fault-runner.ts';
import { SeededRandom } from '../seeded-random.ts';
import { SimFailure } from '../simulator.ts';
import { installThrowingGlobals } from '../throwing-globals.ts';
import { checkEverything, settle } from './final-checks.ts';
import { growVolume } from './grow-volume.ts';
import { allowNoSpace, type LoadClient, type LoadClientOptions } from './load-client.ts';
import { drawProfile, faultKnobs, formatProfile, START_MS, type Profile } from './profile.ts';
import { emptyDisk, fillDisk, SimCluster } from './sim-cluster.ts';
import { VolumeUnderLoad } from './volume-under-load.ts';

export interface RunReport {
  readonly seed: number;
  /** Null when all was well. */
  readonly violation: string | null;
  readonly profile: string;
  readonly faults: string;
  readonly faultCount: number;
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly eventCount: number;
  readonly requestCount: number;
  readonly sectorsChecked: number;
  /** The last log lines, only of a run that failed. */
  readonly log: string;
}

const RUN_EVENTS_MAX = 5_000_000;
const BLACKOUT_MS = 400;
const GROW_DEADLINE_MS = 120_000;
/** Until somebody starts a store again whose disk had errors. */
const REPLACE_MS = 100;

/** Never throws for what the cluster does; the report says what was wrong. */
export async function runSeed(seed: number): Promise<RunReport> {
  const profile = drawProfile(new SeededRandom(seed, 'profile'));
  const run = new ClusterRun(seed, profile);
  const uninstall = installThrowingGlobals();
  try {
    await run.run();
    return run.report(null);
  } catch (error) {
    return run.report(error);
  } finally {
    uninstall();
  }
}

/** Fails the run that is under way: for promises of its programs that nobody waited for. */
export function failRunningSeed(error: unknown): void {
  running?.cluster.sim.fail(error);
}

let running: ClusterRun | null = null;

class ClusterRun {
  readonly cluster: SimCluster;
  readonly #seed: number;
  readonly #profile: Profile;
  readonly #volumes: VolumeUnderLoad[];
  #plan: PlannedFault[] = [];
  #faultCount = 0;
  #isHealing = false;
  #isGrowing = false;

  constructor(seed: number, profile: Profile) {
    this.#seed = seed;
    this.#profile = profile;
    this.cluster = new SimCluster(seed, profile);
    this.#volumes = profile.volumes.map((shape) => new VolumeUnderLoad(this.cluster, shape, profile.load));
    for (const volume of this.#volumes) volume.isFailureAllowed = allowedFailures(profile);
  }

  async run(): Promise<void> {
    running = this;
    try {
      await this.#prepare();
      await this.#strike();
      await this.#heal();
      await checkEverything(this.cluster, this.#volumes);
    } finally {
      running = null;
    }
  }

  report(error: unknown): RunReport {
    const { sim } = this.cluster;
    const clients = this.#volumes.flatMap((volume) => volume.clients);
    return {
      seed: this.#seed,
      violation: error === null ? null : formatErrorChain(error instanceof SimFailure ? error.cause : error),
      profile: formatProfile(this.#profile),
      faults: formatFaults(this.#plan),
      faultCount: this.#faultCount,
      traceHash: sim.traceHash,
      virtualMs: sim.now,
      eventCount: sim.eventCount,
      requestCount: clients.reduce((sum, client) => sum + client.requestCount, 0),
      sectorsChecked: this.#volumes.reduce((sum, volume) => sum + volume.history.sectorsChecked, 0),
      log: error === null ? '' : `${error instanceof Error ? (error.stack ?? '') : ''}\n${sim.log.tail(400)}`,
    };
  }

  async #prepare(): Promise<void> {
    await this.cluster.start();
    for (const volume of this.#volumes) await this.cluster.createVolume(volume.shape);
    if (this.#profile.freeExtents > 0) for (const store of this.cluster.stores) await fillDisk(store, this.#profile.freeExtents);
    for (const volume of this.#volumes) {
      (await volume.opened('writer', false)).run(this.#profile.load.depth);
      for (let index = 0; index < this.#profile.load.readerCount; index += 1) {
        (await volume.opened(`reader${index}`, true)).run(this.#profile.load.readerDepth);
      }
    }
  }

  /** Load and faults, until the faults are over. */
  async #strike(): Promise<void> {
    const { cluster } = this;
    const { sim } = cluster;
    const profile = this.#profile;
    const random = sim.random.fork('faults');
    const startedAt = sim.now;
    const storeNames = cluster.stores.map((store) => store.host.name);
    const clientNames = this.#volumes.flatMap((volume) => volume.clients.map((client) => client.process.host.name));
    const knobs = faultKnobs(profile, storeNames, cluster.conductor.host.name, clientNames);
    const plans = knobs.flatMap((each) => planFaults(random, each));
    this.#plan = plans
      .map((fault) => ({ ...fault, atMs: fault.atMs + startedAt, untilMs: fault.untilMs + startedAt }))
      .sort((left, right) => left.atMs - right.atMs);
    const runner = new FaultRunner(sim, this.#plan, (host) => {
      for (const node of [cluster.conductor, ...cluster.stores]) if (node.host === host) node.start();
    });
    for (const fault of this.#plan) {
      if (fault.kind === 'disk-errors')
        sim.schedule(fault.untilMs - sim.now + REPLACE_MS, () => this.#restartFailed(fault.host), 'repair');
    }
    sim.network.faults.resetChance = profile.resetChance;
    if (profile.takeoverAtMs > 0) sim.schedule(profile.takeoverAtMs, () => this.#takeOver(), 'takeover');
    if (profile.growAtMs > 0) sim.schedule(profile.growAtMs, () => this.#grow(), 'growth');
    if (profile.blackoutAtMs > 0) {
      sim.schedule(profile.blackoutAtMs, () => cluster.blackout(), 'blackout');
      sim.schedule(
        profile.blackoutAtMs + BLACKOUT_MS,
        () => [cluster.conductor, ...cluster.stores].forEach((node) => node.powerOn()),
        'power back',
      );
    }
    await sim.run(startedAt + START_MS + profile.durationMs + 1, { maxEvents: RUN_EVENTS_MAX });
    this.#faultCount = runner.begun.length;
  }

  async #heal(): Promise<void> {
    const { cluster } = this;
    this.#isHealing = true;
    cluster.heal();
    if (this.#profile.storeFaults.includes('disk-errors')) for (const store of cluster.stores) store.restart();
    // A while of load in peace: what was broken must work again.
    await cluster.sim.run(cluster.sim.now + 500);
    if (this.#profile.freeExtents > 0) await this.#makeRoom();
    await cluster.sim.run(() => !this.#isGrowing, { withinMs: GROW_DEADLINE_MS, maxEvents: RUN_EVENTS_MAX });
    await settle(cluster, this.#volumes);
    if (!this.#profile.hasFinalBlackout) return;
    cluster.blackout();
    await cluster.sim.run(cluster.sim.now + BLACKOUT_MS);
    cluster.heal();
    await settle(cluster, this.#volumes);
  }

  #grow(): void {
    const volume = this.#volumes[0]!;
    const process = this.cluster.clientProcess('grower');
    this.#isGrowing = true;
    process.post(0, 'growth', () => {
      void growVolume(process.world, volume, volume.sizeBytes + this.#profile.growBytes).then(() => {
        this.#isGrowing = false;
      });
    });
  }

  /** Some of the writes under way have reached some of the replicas, and nobody will send them again. */
  #killPrimaries(volume: VolumeUnderLoad): void {
    const { cluster } = this;
    const random = cluster.sim.random.fork('primaries');
    for (const store of cluster.primariesOf(volume.shape.name)) {
      store.kill();
      cluster.sim.schedule(random.integer(50, 2_000), () => store.start(), 'restart');
    }
  }

  /** A store whose disk has failed stays without it until it is started again. */
  #restartFailed(host: string): void {
    const store = this.cluster.stores.find((each) => each.host.name === host);
    if (store?.process?.isPaused === false) store.restart();
  }

  /** A replica that found no space comes back only when there is space again. */
  async #makeRoom(): Promise<void> {
    const { sim, stores } = this.cluster;
    for (const store of stores) {
      await sim.run(() => store.isUp, { withinMs: 10_000 });
      await emptyDisk(store);
    }
  }

  /** A second writer opens the first volume; the first one is dead by then, or is about to be refused for good. */
  #takeOver(): void {
    const volume = this.#volumes[0]!;
    const first: LoadClient = volume.clients[0]!;
    const second = volume.client('writer-two', false);
    first.mayBeFenced = true;
    if (this.#profile.takeoverFrom !== 'living') first.die();
    if (this.#profile.takeoverFrom === 'dead with stores') this.#killPrimaries(volume);
    second.process.post(0, 'takeover', () => {
      void second.open().then(() => {
        first.superseded();
        if (!this.#isHealing) second.run(this.#profile.load.depth);
      });
    });
  }
}

/** Full disks refuse what needs space; a disk that fails is the end of requests that only it could serve. */
function allowedFailures(profile: Profile): LoadClientOptions['isFailureAllowed'] {
  const mayFail = profile.storeFaults.includes('disk-errors');
  return (operation, errno) => (profile.freeExtents > 0 && allowNoSpace(operation, errno)) || (mayFail && errno === EIO);
}
