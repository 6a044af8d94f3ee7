// A whole cluster as child processes of this one: a conductor, stores on file-backed disks in simulated hosts (one loopback
// address each, so that every daemon has its standard ports), and NBD fronts. Used by `make run`, the end-to-end suites and the
// benchmark. The folder keeps everything; a cluster started again in it goes on with its data.
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Daemon } from './daemon.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);
const PROGRAMS = resolve(import.meta.dirname, '../../datapath/bin');
const START_PATIENCE_MS = 30_000;

export interface LocalClusterOptions {
  readonly folder: string;
  /** First three numbers of the loopback addresses: "127.0.0". Clusters that run at the same time need different ones. */
  readonly subnet?: string;
  readonly storeCount?: number;
  /** Size of each store's one disk; the files are sparse. */
  readonly diskSize?: string;
}

export interface StoreRow {
  readonly id: number;
  readonly mngt_ip: string;
  readonly status: string;
  readonly data_address: string;
}

export interface ShardView {
  readonly index: number;
  readonly meta_ver: number;
  readonly primary_rep_index: number;
  readonly status: string;
  readonly replicas: readonly {
    readonly index: number;
    readonly store_id: number;
    readonly status: string;
    readonly address: string;
  }[];
}

/** A running NBD front and how to reach it. */
export interface Front {
  readonly daemon: Daemon;
  readonly uri: string;
}

export class LocalCluster {
  readonly folder: string;
  readonly conductor: Daemon;
  readonly stores: readonly Daemon[];
  readonly conductorAddress: string;
  readonly #fronts: Daemon[] = [];
  readonly #subnet: string;

  constructor(options: LocalClusterOptions) {
    this.folder = resolve(options.folder);
    mkdirSync(this.folder, { recursive: true });
    this.#subnet = options.subnet ?? '127.0.0';
    this.conductorAddress = `${this.#subnet}.1:49180`;
    this.conductor = this.#daemon('conductor', 'pfconductor', [
      '--data',
      join(this.folder, 'conductor'),
      '--listen',
      this.conductorAddress,
    ]);
    const count = options.storeCount ?? 3;
    this.stores = Array.from({ length: count }, (_, i) => this.#store(i, options.diskSize ?? '8G'));
  }

  /** Starts what does not run, and waits until every store is known and alive. */
  async start(): Promise<void> {
    for (const daemon of [this.conductor, ...this.stores]) if (!daemon.isRunning) daemon.start();
    await this.waitForStores(this.stores.length);
  }

  async waitForStores(count: number): Promise<void> {
    await this.#waitFor(`${count} stores to be OK`, async () => {
      const alive = (await this.listStores()).filter((store) => store.status === 'OK');
      return alive.length >= count ? alive : null;
    });
  }

  /** Runs pfcli against this cluster; returns its JSON. */
  async pfcli(...words: string[]): Promise<unknown> {
    const args = [...words, '--json', '--conductor', this.conductorAddress];
    const { stdout } = await run(join(PROGRAMS, 'pfcli'), args, { maxBuffer: 64 * 1024 * 1024 });
    return JSON.parse(stdout) as unknown;
  }

  async listStores(): Promise<readonly StoreRow[]> {
    return (await this.pfcli('list_store')) as readonly StoreRow[];
  }

  async layout(volume: string): Promise<readonly ShardView[]> {
    return ((await this.pfcli('open_volume', '-v', volume, '--read-only')) as { shards: readonly ShardView[] }).shards;
  }

  /** The daemon that is primary of the volume's first shard. */
  async primaryOf(volume: string): Promise<Daemon> {
    const shard = (await this.layout(volume))[0]!;
    const address = shard.replicas.find((replica) => replica.index === shard.primary_rep_index)!.address;
    return this.stores[Number(address.split(':')[0]!.split('.')[3]) - 11]!;
  }

  async waitForSync(volume: string, patienceMs = 120_000): Promise<void> {
    await this.#waitFor(
      `all replicas of volume "${volume}" to be in sync`,
      async () => {
        const shards = await this.layout(volume);
        return shards.every((shard) => shard.replicas.every((replica) => replica.status === 'IN_SYNC')) ? shards : null;
      },
      patienceMs,
    );
  }

  /** An NBD front for a volume on a unix socket, as a process of its own; resolves when it answers. */
  async serve(volume: string, socketName = `${volume}.sock`): Promise<Front> {
    return this.#whenServing(volume, this.#startFront(volume, socketName, []));
  }

  /**
   * A front with a store in the same process (for a cluster made with storeCount 0), and a new volume whose one replica
   * it reaches without a TCP hop.
   */
  async serveWithStore(volume: string, size: string, diskSize: string): Promise<Front> {
    const front = this.#startFront(volume, `${volume}.sock`, this.#storeFlags(0, diskSize, 'store-'));
    await this.waitForStores(1);
    await this.pfcli('create_volume', '-v', volume, '-s', size);
    return this.#whenServing(volume, front);
  }

  /** Ends everything, fronts first. */
  async stop(): Promise<void> {
    await Promise.all(this.#fronts.filter((front) => front.isRunning).map((front) => front.stop()));
    await Promise.all(this.stores.filter((store) => store.isRunning).map((store) => store.stop()));
    if (this.conductor.isRunning) await this.conductor.stop();
  }

  async killAll(): Promise<void> {
    await Promise.all([...this.#fronts, ...this.stores, this.conductor].map((daemon) => daemon.kill()));
  }

  #startFront(volume: string, socketName: string, flags: readonly string[]): Front {
    const path = join(this.folder, socketName);
    const daemon = this.#daemon(`nbd-${socketName}`, 'nbd-serve', [
      `volume:${volume}`,
      '--unix',
      path,
      '--conductor',
      this.conductorAddress,
      ...flags,
    ]);
    daemon.start();
    this.#fronts.push(daemon);
    return { daemon, uri: `nbd+unix:///?socket=${path}` };
  }

  async #whenServing(volume: string, front: Front): Promise<Front> {
    const answers = (): Promise<true> => run('nbdinfo', ['--size', front.uri]).then(() => true);
    await this.#waitFor(`the NBD export of volume "${volume}"`, answers, START_PATIENCE_MS, front.daemon);
    return front;
  }

  #store(index: number, diskSize: string): Daemon {
    return this.#daemon(`store-${index + 1}`, 'pfstore', [
      ...this.#storeFlags(index, diskSize, ''),
      '--conductor',
      this.conductorAddress,
    ]);
  }

  /** Store `index` lives at the loopback address .11 + index. */
  #storeFlags(index: number, diskSize: string, prefix: '' | 'store-'): string[] {
    const address = `${this.#subnet}.${11 + index}`;
    const disk = `${join(this.folder, `disk-${index + 1}.img`)}=${diskSize}`;
    const flags = { disk, host: `host-${index + 1}`, data: `${address}:49162`, http: `${address}:49181` };
    return Object.entries(flags).flatMap(([name, value]) => [`--${prefix}${name}`, value]);
  }

  #daemon(name: string, program: string, args: readonly string[]): Daemon {
    return new Daemon(name, this.folder, [join(PROGRAMS, program), ...args]);
  }

  /** Like waitFor, but gives up at once when a daemon has died, with what it said last. */
  async #waitFor<T>(what: string, probe: () => Promise<T | null>, patienceMs = START_PATIENCE_MS, watched?: Daemon): Promise<T> {
    const daemons = watched === undefined ? [this.conductor, ...this.stores] : [watched];
    let death: Error | null = null;
    const answer = await waitFor(what, patienceMs, async () => {
      const dead = daemons.find((daemon) => daemon.hasDied);
      if (dead !== undefined) {
        death = new Error(
          `${dead.name} ended (${await dead.exited}) while waiting for ${what}; its log says:\n${dead.logTail()}`,
        );
        return { answer: null };
      }
      const found = await probe();
      return found === null ? null : { answer: found };
    });
    if (death !== null) throw death as Error;
    return answer.answer as T;
  }
}

/** A loopback subnet that no other cluster of this machine's tests uses: derived from this process's id. */
export function ownSubnet(): string {
  return `127.${64 + (process.pid % 128)}.${(process.pid >> 7) % 256}`;
}
