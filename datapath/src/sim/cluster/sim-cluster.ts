// A whole cluster in one simulator: a conductor and stores from their own composition roots, each on a machine of its own.
// Made by cluster-run.ts (seeds) and by tests (pinned stories); clients are in load-client.ts, the end of a run in final-checks.ts.
import { ConductorClient } from '../../api/conductor-client.ts';
import { CONDUCTOR_HTTP_PORT, STORE_HTTP_PORT, type GetVolumeReply, type ShardConfig } from '../../api/model.ts';
import { PfError } from '../../base/errors.ts';
import { MiB, SECTOR_BYTES } from '../../base/sizes.ts';
import { startConductor, type Conductor } from '../../conductor/conductor.ts';
import { DISK_WRITE, DiskIo } from '../../store/disk/disk-io.ts';
import { DiskStore } from '../../store/disk/disk-store.ts';
import { EXTENT_BYTES } from '../../store/disk/layout.ts';
import { startStore, type Store } from '../../store/store.ts';
import type { World } from '../../world/world.ts';
import { DEFAULT_LINK } from '../links.ts';
import type { HostOptions } from '../sim-host.ts';
import type { SimProcess } from '../sim-process.ts';
import { Simulator } from '../simulator.ts';
import { ClusterNode } from './cluster-node.ts';
import type { VolumeShape } from './profile.ts';

export interface ClusterShape {
  readonly storeCount: number;
  readonly diskBytes: number;
  readonly clockDriftPpm?: number;
  readonly timerLatenessMs?: number;
  readonly latencyMs?: number;
  readonly diskDelayFactor?: number;
  /** Stores have a door of their own for each other. */
  readonly hasReplicationNetwork?: boolean;
}

export const DISK_PATH = '/dev/disk';
const STORE_DATA_PORT = 49162;
const STORE_REPLICATION_PORT = 49163;
const CONDUCTOR_MEMORY_BYTES = 3 * MiB;
const STORE_MEMORY_BYTES = 16 * MiB;
const CLIENT_MEMORY_BYTES = 12 * MiB;
const BALLAST_VOLUME = 1;

export class SimCluster {
  readonly sim: Simulator;
  readonly conductor: ClusterNode<Conductor>;
  readonly stores: readonly ClusterNode<Store>[];
  /** What clients connect to. */
  readonly conductors: readonly string[];
  /** Names of stores' machines that have lost a network for data, and know it. */
  readonly withoutNetwork = new Set<string>();
  readonly #admin: SimProcess;
  #volumeTags = 0;

  constructor(seed: number, shape: ClusterShape) {
    this.sim = new Simulator(seed, { logLines: 4000 });
    const random = this.sim.random.fork('cluster');
    const driftPpm = shape.clockDriftPpm ?? 0;
    const machine = (): HostOptions => ({
      clockDriftPpm: random.integer(-driftPpm, driftPpm),
      timerLatenessMs: shape.timerLatenessMs ?? 0,
    });
    const latencyMs = shape.latencyMs ?? DEFAULT_LINK.latencyMs;
    this.sim.network.links.default = { ...DEFAULT_LINK, latencyMs, jitterMs: latencyMs / 2 };
    const conductorHost = this.sim.machine('conductor', machine());
    this.conductors = [`${conductorHost.address}:${CONDUCTOR_HTTP_PORT}`];
    this.conductor = new ClusterNode(conductorHost, 'pfconductor', CONDUCTOR_MEMORY_BYTES, (world) =>
      startConductor(world, {
        dataFolder: '/var/lib/pfconductor',
        host: conductorHost.address,
        port: CONDUCTOR_HTTP_PORT,
        clusterName: 'sim',
        allowSameHost: false,
      }),
    );
    this.stores = Array.from({ length: shape.storeCount }, (_, index) => this.#storeNode(`store${index + 1}`, shape, machine()));
    this.#admin = this.clientProcess('admin');
  }

  /** Brings everything up and waits until the conductor knows every store. */
  async start(): Promise<void> {
    this.conductor.start();
    for (const store of this.stores) store.start();
    await this.ask(async (world) => {
      const client = new ConductorClient(world, this.conductors);
      for (;;) {
        const stores = await client.listStore({ deadlineMs: 20_000 });
        if (stores.filter((store) => store.status === 'OK').length === this.stores.length) return;
        await world.clock.sleep(50);
      }
    });
  }

  async createVolume(shape: VolumeShape): Promise<void> {
    const { name, sizeBytes, replicaCount, shardSizeBytes } = shape;
    await this.ask((world) =>
      new ConductorClient(world, this.conductors).createVolume(name, { sizeBytes, replicaCount, shardSizeBytes }),
    );
  }

  /** A number by which the bytes of one volume are told from those of all others. */
  nextVolumeTag(): number {
    this.#volumeTags += 1;
    return this.#volumeTags;
  }

  getVolume(name: string): Promise<GetVolumeReply['volume']> {
    return this.ask((world) => new ConductorClient(world, this.conductors).getVolume(name));
  }

  /** A process on a machine of its own, for one client. */
  clientProcess(name: string): SimProcess {
    return this.sim.machine(name).startProcess(name, async () => undefined, { memoryBytes: CLIENT_MEMORY_BYTES });
  }

  /** Runs `work` in the administrator's process and drives the simulator until it settles. */
  ask<T>(work: (world: World) => Promise<T>, withinMs = 120_000): Promise<T> {
    return this.#admin.perform(work, withinMs);
  }

  /** Ends every fault: power, network, pauses, disks; starts what is down. */
  heal(): void {
    const { network, hosts } = this.sim;
    network.healAll();
    this.withoutNetwork.clear();
    Object.assign(network.faults, { resetChance: 0, connectFailChance: 0, requestLostChance: 0, answerLostChance: 0 });
    for (const host of hosts.values()) {
      for (const disk of host.disks.values()) {
        disk.slowFactor = 1;
        disk.isBroken = false;
        disk.setStuck(false);
      }
      if (!host.isPowered) host.powerOn();
      for (const process of host.processes.values()) process.resume();
    }
    this.conductor.start();
    for (const store of this.stores) store.start();
  }

  /** Every machine but the clients' loses power at once. */
  blackout(): void {
    for (const node of [this.conductor, ...this.stores]) node.powerOff();
  }

  /** Waits until every replica of these volumes is in sync and served; what is missing is in the error. */
  async allInSync(names: readonly string[], withinMs = 60_000): Promise<void> {
    await this.ask(
      async (world) => {
        const client = new ConductorClient(world, this.conductors);
        const end = world.clock.now() + withinMs;
        for (;;) {
          const missing = await whatIsMissing(client, names);
          if (missing === '') return;
          if (world.clock.now() > end) throw new PfError('TIMEOUT', `after ${withinMs} ms without faults ${missing}`);
          await world.clock.sleep(100);
        }
      },
      2 * withinMs + 60_000,
    );
  }

  storeById(id: number): ClusterNode<Store> {
    const address = this.conductor.app!.state.stores.get(id)!.httpAddress;
    return this.stores.find((store) => address.startsWith(`${store.host.address}:`))!;
  }

  async shard(volume: string, index: number): Promise<ShardConfig> {
    return (await this.getVolume(volume)).shards[index]!;
  }

  /** The store that is primary of a shard now. */
  async primaryOf(volume: string, index: number): Promise<ClusterNode<Store>> {
    const shard = await this.shard(volume, index);
    return this.storeById(shard.replicas[shard.primary_rep_index]!.store_id);
  }

  /** The stores that are primary of any shard, as a conductor that is up has it; none while it is down. */
  primariesOf(volume: string): ClusterNode<Store>[] {
    if (!this.conductor.isUp) return [];
    const { volumes } = this.conductor.app!.state;
    const record = [...volumes.values()].find((each) => each.name === volume);
    const ids = new Set(record?.shards.map((shard) => shard.replicas[shard.primary]!.storeId));
    return [...ids].map((id) => this.storeById(id));
  }

  async secondariesOf(volume: string, index: number): Promise<ClusterNode<Store>[]> {
    const shard = await this.shard(volume, index);
    const others = shard.replicas.filter((replica) => replica.index !== shard.primary_rep_index);
    return others.map((replica) => this.storeById(replica.store_id));
  }

  #storeNode(name: string, shape: ClusterShape, machine: HostOptions): ClusterNode<Store> {
    const host = this.sim.machine(name, machine);
    const { speed } = host.addDisk(DISK_PATH, { sizeBytes: shape.diskBytes });
    for (const kind of ['readMs', 'writeMs', 'durableMs', 'flushMs'] as const) speed[kind] *= shape.diskDelayFactor ?? 1;
    return new ClusterNode(host, 'pfstore', STORE_MEMORY_BYTES, (world) =>
      startStore(world, {
        disks: [{ path: DISK_PATH }],
        host: name,
        dataAddress: `${host.address}:${STORE_DATA_PORT}`,
        ...(shape.hasReplicationNetwork === true ? { replicationAddress: `${host.address}:${STORE_REPLICATION_PORT}` } : {}),
        httpAddress: `${host.address}:${STORE_HTTP_PORT}`,
        conductors: this.conductors,
        format: 'blank-only',
        lostNetwork: () => (this.withoutNetwork.has(name) ? 'its network is lost' : null),
      }),
    );
  }
}

/** Takes all but a few extents of a store's disk for a volume that nobody knows. The store is down meanwhile. */
export async function fillDisk(store: ClusterNode<Store>, freeExtents: number): Promise<void> {
  await whileDown(store, async (disk, world) => {
    const memory = world.memory.reserve(SECTOR_BYTES);
    const writes: Promise<void>[] = [];
    for (let extent = disk.freeBytes / EXTENT_BYTES - freeExtents; extent > 0; extent -= 1) {
      writes.push(
        new Promise((resolve) => {
          const io = new DiskIo({ ioDurable() {}, ioSettled: () => resolve() });
          Object.assign(io, {
            operation: DISK_WRITE,
            volumeId: BALLAST_VOLUME,
            offset: extent * EXTENT_BYTES,
            length: SECTOR_BYTES,
            memory,
          });
          disk.submit(io);
        }),
      );
    }
    await Promise.all(writes);
  });
}

/** Gives back what fillDisk took. */
export async function emptyDisk(store: ClusterNode<Store>): Promise<void> {
  await whileDown(store, (disk) => disk.drop(BALLAST_VOLUME, 0, disk.totalBytes + EXTENT_BYTES));
}

async function whileDown(store: ClusterNode<Store>, work: (disk: DiskStore, world: World) => Promise<void>): Promise<void> {
  await store.process!.perform(() => store.app!.close());
  store.kill();
  const keeper = store.host.startProcess('keeper', async () => undefined, { memoryBytes: CLIENT_MEMORY_BYTES });
  await keeper.perform(async (world) => {
    const device = await world.disks.open(DISK_PATH, {});
    const disk = await DiskStore.open(world, device);
    await work(disk, world);
    await disk.close();
    await device.close();
  });
  keeper.kill();
  store.start();
}

async function whatIsMissing(client: ConductorClient, names: readonly string[]): Promise<string> {
  for (const name of names) {
    const volume = await client.getVolume(name);
    for (const shard of volume.shards) {
      const behind = shard.replicas.find((replica) => replica.status !== 'IN_SYNC');
      if (behind !== undefined)
        return `replica ${behind.index} of shard ${shard.index} of ${name} on store ${behind.store_id} is ${behind.status}`;
      if (shard.status !== 'OK') return `shard ${shard.index} of ${name} is ${shard.status}`;
    }
  }
  return '';
}
