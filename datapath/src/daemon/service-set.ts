// All services of one manager: found again when it starts, managed, stopped and shown together. Called by programs that keep daemons.
// One failing service stops no other: each operation gives one result a service. A lock keeps a second manager out of the folder.
import { formatErrorChain, PfError } from '../base/errors.ts';
import { formatTable } from '../base/table.ts';
import type { World } from '../world/world.ts';
import { Mutex } from './mutex.ts';
import { RecordFolder } from './process-record.ts';
import { Service, type ServiceDefinition, type ServiceListener, type ServicePlaces, type ServiceStatus } from './service.ts';

export interface ServiceSetOptions {
  /** Of records, sockets and configurations; best on a file system that a reboot clears. Its path may have 77 bytes. */
  readonly runFolder: string;
  readonly logFolder: string;
  /** What becomes of a process that has a record and is wished no longer: it runs on and is shown, or it is stopped. */
  readonly orphans: 'adopt' | 'stop';
  readonly listener?: ServiceListener;
}

export interface ServiceResult {
  readonly name: string;
  readonly outcome: 'done' | 'failed' | 'orphan kept' | 'orphan stopped';
  readonly error: PfError | null;
}

export interface SetDump {
  readonly orphans: 'adopt' | 'stop';
  readonly services: readonly (ServiceStatus & { readonly isOrphan: boolean })[];
}

const AT_A_TIME = 16;

export class ServiceSet {
  readonly #world: World;
  readonly #options: ServiceSetOptions;
  readonly #places: ServicePlaces;
  readonly #services = new Map<string, Service>();
  readonly #orphans = new Set<string>();
  readonly #opening = new Mutex();
  #lock: { release(): Promise<void> } | null = null;

  private constructor(world: World, options: ServiceSetOptions) {
    this.#world = world;
    this.#options = options;
    const { runFolder, logFolder } = options;
    this.#places = { records: new RecordFolder(world, runFolder), runFolder, logFolder };
  }

  /** Starts and stops nothing. Errors: INVALID_STATE when another manager has the folder. */
  static async open(world: World, options: ServiceSetOptions): Promise<ServiceSet> {
    const set = new ServiceSet(world, options);
    await world.files.makeFolder(options.runFolder, { isPrivate: true });
    await world.files.makeFolder(options.logFolder);
    set.#lock = await world.files.lock(`${options.runFolder}/manager.lock`);
    return set;
  }

  get(name: string): Service | null {
    return this.#services.get(name) ?? null;
  }

  /**
   * Makes these, and no others, the wished services: each is found or started, changed where it differs, and waited for.
   * Errors: INVALID_ARGUMENT for two of one name; everything else is in the results.
   */
  async manageAll(wished: readonly ServiceDefinition[], signal?: AbortSignal): Promise<readonly ServiceResult[]> {
    const names = new Set(wished.map(({ name }) => name));
    if (names.size < wished.length)
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot manage ${wished.length} services under ${names.size} names; give each its own`,
      );
    const recorded = await this.#places.records.names();
    const orphans = [...new Set([...this.#services.keys(), ...recorded])].filter((name) => !names.has(name));
    const treated = await this.#each(orphans, (name) => this.#treatOrphan(name, signal));
    const managed = await this.#each([...wished], async (definition) => {
      const service = await this.#open(definition);
      this.#orphans.delete(definition.name);
      await service.reconfigure(definition, signal);
      await service.manage(signal);
      return 'done';
    });
    return [...managed, ...treated];
  }

  /** Gives new definitions to the services that there are. */
  reconfigureAll(definitions: readonly ServiceDefinition[], signal?: AbortSignal): Promise<readonly ServiceResult[]> {
    return this.#each([...definitions], async (definition) => {
      const service = this.get(definition.name);
      if (service === null) throw new PfError('NOT_FOUND', `cannot reconfigure ${definition.name}: it is not managed here`);
      await service.reconfigure(definition, signal);
      return 'done';
    });
  }

  /**
   * For a node that is drained: stops everything, orphans too; manageAll() starts again. Those with a lower `rankOf` have ended before the
   * next rank is stopped; within a rank it is the reverse order of their coming.
   */
  async stopAll(signal?: AbortSignal, rankOf: (name: string) => number = () => 0): Promise<readonly ServiceResult[]> {
    for (const name of await this.#places.records.names()) await this.#open(orphanDefinition(name));
    const names = [...this.#services.keys()].reverse();
    const results: ServiceResult[] = [];
    for (const rank of [...new Set(names.map(rankOf))].sort((a, b) => a - b)) {
      const stopped = await this.#each(
        names.filter((name) => rankOf(name) === rank),
        async (name) => {
          await this.get(name)!.stop({ isRemembered: false }, signal);
          return 'done';
        },
      );
      results.push(...stopped);
    }
    return results;
  }

  statedump(): SetDump {
    const services = [...this.#services.values()].map((service) => ({
      ...service.status,
      isOrphan: this.#orphans.has(service.name),
    }));
    return { orphans: this.#options.orphans, services: services.sort((a, b) => (a.name < b.name ? -1 : 1)) };
  }

  /** The same for people. */
  table(): string {
    const rows = this.statedump().services.map((each) => [
      each.name,
      each.isOrphan ? `${each.phase}, orphan` : each.isHeld ? `${each.phase} by hand` : each.phase,
      each.isOnline ? 'online' : 'offline',
      each.pid === null ? '-' : String(each.pid),
      String(each.restarts),
      each.lastExit ?? '-',
    ]);
    return formatTable(['service', 'state', 'control', 'pid', 'restarts', 'last exit'], rows);
  }

  /** Lets go: the processes run on, and the next manager finds them. */
  async close(): Promise<void> {
    await Promise.all([...this.#services.values()].map((service) => service.close()));
    this.#services.clear();
    await this.#lock?.release();
    this.#lock = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #open(definition: ServiceDefinition): Promise<Service> {
    return this.#opening.run(async () => {
      const present = this.#services.get(definition.name);
      if (present !== undefined) return present;
      const service = await Service.open(this.#world, this.#places, definition, this.#options.listener);
      this.#services.set(definition.name, service);
      return service;
    });
  }

  async #treatOrphan(name: string, signal?: AbortSignal): Promise<ServiceResult['outcome']> {
    const service = await this.#open(orphanDefinition(name));
    this.#orphans.add(name);
    if (this.#options.orphans === 'adopt' && service.pid !== null) return 'orphan kept';
    await service.stop({ isRemembered: false }, signal);
    await service.forget();
    this.#services.delete(name);
    this.#orphans.delete(name);
    return 'orphan stopped';
  }

  /** A few at a time; the results stand in the order of `items`. */
  async #each<T extends string | ServiceDefinition>(
    items: readonly T[],
    perform: (item: T) => Promise<ServiceResult['outcome']>,
  ): Promise<ServiceResult[]> {
    const results: ServiceResult[] = [];
    const todo = items.entries();
    const work = async (): Promise<void> => {
      for (const [index, item] of todo) results[index] = await resultOf(item, perform);
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    return results;
  }
}

async function resultOf<T extends string | ServiceDefinition>(
  item: T,
  perform: (item: T) => Promise<ServiceResult['outcome']>,
): Promise<ServiceResult> {
  const name = typeof item === 'string' ? item : item.name;
  try {
    return { name, outcome: await perform(item), error: null };
  } catch (error) {
    const reason = error instanceof PfError ? error : new PfError('INTERNAL', formatErrorChain(error), { cause: error });
    return { name, outcome: 'failed', error: reason };
  }
}

/** What is known of a service that is wished no longer: enough to watch and to stop it. */
function orphanDefinition(name: string): ServiceDefinition {
  return {
    name,
    config: {},
    command() {
      return { program: '', args: [] };
    },
  };
}
