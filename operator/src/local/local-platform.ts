// The local platform: what is wanted becomes processes of this machine, under the daemon library. Called by local-cluster.ts and by the
// verbs of the `pureflash` command.
// Invariants: one platform at a time has a data folder (a lock); daemons outlive it, and the next one finds them; a store that is wanted
// no longer is stopped, and its data stays.
import { formatHostPort } from '@pureflash/datapath/api';
import type { Json, JsonObject } from '@pureflash/datapath/base';
import { compareConfigs, RecordFolder, ServiceSet } from '@pureflash/datapath/daemon';
import type { Notice, Registry, Service, ServiceDefinition, ServiceResult, ServiceTimings } from '@pureflash/datapath/daemon';
import type { World } from '@pureflash/datapath/world';
import { folderOf, pathOnHost, type DataFolder } from './host-paths.ts';
import { conductorName, frontName, storeName } from './instances.ts';
import type { InstanceReport, LocalConductor, LocalFront, LocalInstances, LocalStore } from './instances.ts';
import { createRegistry, kindOf, stopRank } from './kinds/registry.ts';

export interface LocalPlatformOptions {
  readonly data: DataFolder;
  /** Folder with pfconductor, pfstore and nbd-serve. */
  readonly programs: string;
  readonly onNotice?: (report: InstanceReport, notice: Notice) => void;
}

/** A laptop that starts everything at once is slow. */
const TIMINGS: Partial<ServiceTimings> = { onlineMs: 30_000 };

export class LocalPlatform {
  readonly #world: World;
  readonly #data: DataFolder;
  readonly #registry: Registry;
  readonly #set: ServiceSet;

  private constructor(world: World, data: DataFolder, registry: Registry, set: ServiceSet) {
    this.#world = world;
    this.#data = data;
    this.#registry = registry;
    this.#set = set;
  }

  /** Starts and stops nothing. Errors: INVALID_STATE when another one has the data folder. */
  static async open(world: World, options: LocalPlatformOptions): Promise<LocalPlatform> {
    const { data, programs, onNotice } = options;
    const set = await ServiceSet.open(world, {
      runFolder: data.run,
      logFolder: data.log,
      orphans: 'stop',
      listener: (service, notice) => onNotice?.(reportOf(service), notice),
    });
    return new LocalPlatform(world, data, createRegistry(programs), set);
  }

  /**
   * Makes these, and no others, the daemons that run, and waits for them. Idempotent. Conductors and stores come before fronts that do not
   * run yet. The results say per instance what went wrong; one that fails stops no other.
   */
  async apply(wanted: LocalInstances, signal?: AbortSignal): Promise<readonly ServiceResult[]> {
    for (const folder of this.#foldersOf(wanted)) await this.#world.files.makeFolder(folder);
    const base = [
      ...wanted.conductors.map((each) => this.#defineConductor(each)),
      ...wanted.stores.map((each) => this.#defineStore(each)),
    ];
    const fronts = wanted.fronts.map((each) => this.#defineFront(each));
    const known = await this.known();
    const running = fronts.filter(({ name }) => known.has(name));
    const results = await this.#set.manageAll([...base, ...running], signal);
    if (running.length === fronts.length || results.some((each) => each.error !== null)) return results;
    return this.#set.manageAll([...base, ...fronts], signal);
  }

  /** Names of instances that run or have run, those that an earlier platform has left included. */
  async known(): Promise<ReadonlySet<string>> {
    const recorded = await new RecordFolder(this.#world, this.#data.run).names();
    return new Set([...recorded, ...this.#set.statedump().services.map(({ name }) => name)]);
  }

  reports(): readonly InstanceReport[] {
    return this.#set
      .statedump()
      .services.map(({ name }) => this.#set.get(name))
      .filter((service) => service !== null)
      .map(reportOf);
  }

  /** Fronts first, then stores, then conductors: whatever runs, also what an earlier platform has left. */
  stop(signal?: AbortSignal): Promise<readonly ServiceResult[]> {
    return this.#set.stopAll(signal, (name) => stopRank(this.#registry, name));
  }

  /** Lets go: the daemons run on. */
  close(): Promise<void> {
    return this.#set.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #defineConductor(wanted: LocalConductor): ServiceDefinition {
    const { ordinal, node, address, port, dataPath, clusterName, logLevel } = wanted;
    const config = {
      data: pathOnHost(this.#data, node, dataPath),
      listen: formatHostPort(address, port),
      cluster: clusterName,
      logLevel,
    };
    return this.#define('conductor', null, config, conductorName(ordinal));
  }

  #defineStore(wanted: LocalStore): ServiceDefinition {
    const { node, address, logLevel, recoveryParallel } = wanted;
    const disks = wanted.disks.map(({ path, sizeBytes }) => {
      const place = pathOnHost(this.#data, node, path);
      return sizeBytes === null ? place : `${place}=${sizeBytes}`;
    });
    const config = {
      disk: disks,
      host: wanted.failureDomain,
      data: formatHostPort(address, wanted.dataPort),
      http: formatHostPort(address, wanted.managementPort),
      conductor: [...wanted.conductors],
      legacyClients: wanted.servesLegacyClients,
      logLevel,
      recoveryParallel,
    };
    return this.#define('store', null, config, storeName(node));
  }

  #defineFront({ volume, socketPath, conductors }: LocalFront): ServiceDefinition {
    return this.#define('front', volume, { unix: socketPath, conductor: [...conductors] as Json }, frontName(volume));
  }

  #define(kind: string, volume: string | null, config: JsonObject, name: string): ServiceDefinition {
    const place = volume === null ? name.slice(kind.length + 1) : null;
    return { ...this.#registry.define(kind, volume, config, place), timings: TIMINGS };
  }

  #foldersOf({ conductors, stores }: LocalInstances): readonly string[] {
    const disks = stores.flatMap(({ node, disks }) => disks.map(({ path }) => folderOf(pathOnHost(this.#data, node, path))));
    const states = conductors.map(({ node, dataPath }) => folderOf(pathOnHost(this.#data, node, dataPath)));
    return [...new Set([...disks, ...states])];
  }
}

function reportOf(service: Service): InstanceReport {
  const { name, isOnline, pid, restarts, lastExit, lastFailure, logPath, phase } = service.status;
  const { running, wanted } = service.state;
  return {
    name,
    kind: kindOf(name),
    isOnline,
    pid,
    restarts,
    lastFailure:
      [...(phase === 'crash-loop' ? ['crash loop'] : []), lastFailure ?? lastExit].filter((part) => part !== null).join(': ') ||
      null,
    isCurrent: running !== null && compareConfigs(running, wanted) === 'identical',
    logPath,
  };
}
