// A conductor with fake stores in the simulated world, for the conductor's tests.
import { assert } from '../../base/assert.ts';
import { ConductorClient } from '../../api/conductor-client.ts';
import type { SimProcess } from '../../sim/sim-process.ts';
import { Simulator } from '../../sim/simulator.ts';
import type { World } from '../../world/world.ts';
import { startConductor, type Conductor } from '../conductor.ts';
import { FakeStore } from './fake-store.ts';

const GiB = 1024 ** 3;

export class SimCluster {
  readonly sim: Simulator;
  readonly #allowSameHost: boolean;
  conductorProcess!: SimProcess;
  conductor!: Conductor;
  /** By number. */
  readonly stores = new Map<number, FakeStore>();
  readonly storeProcesses = new Map<number, SimProcess>();
  readonly #client: SimProcess;

  private constructor(seed: number, allowSameHost: boolean) {
    this.sim = new Simulator(seed, { memoryBytes: 8 * 1024 * 1024 });
    this.#allowSameHost = allowSameHost;
    this.sim.machine('conductor');
    this.#client = this.sim.machine('client').startProcess('client', () => Promise.resolve());
  }

  static async start(seed: number, storeCount: number, allowSameHost = false): Promise<SimCluster> {
    const cluster = new SimCluster(seed, allowSameHost);
    await cluster.startConductor();
    for (let number = 1; number <= storeCount; number += 1) await cluster.startStore(number);
    return cluster;
  }

  /** Starts it, or starts it again after a crash. */
  async startConductor(): Promise<void> {
    const options = {
      dataFolder: '/data',
      host: '0.0.0.0',
      port: 49180,
      clusterName: 'test',
      allowSameHost: this.#allowSameHost,
    };
    this.conductorProcess = this.sim.machine('conductor').startProcess('pfconductor', async (world) => {
      this.conductor = await startConductor(world, options);
    });
    await this.sim.settle(this.conductorProcess.started);
  }

  async startStore(number: number, replicationAddress: string | null = null): Promise<FakeStore> {
    const host = this.sim.machine(`store${number}`);
    const conductor = `${this.sim.machine('conductor').address}:49180`;
    const process = host.startProcess('pfstore', async (world) => {
      const options = { number, host: `host${number}`, address: host.address, replicationAddress, conductor };
      this.stores.set(number, await FakeStore.start(world, options));
    });
    this.storeProcesses.set(number, process);
    await this.sim.settle(process.started);
    return this.store(number);
  }

  store(number: number): FakeStore {
    const store = this.stores.get(number);
    assert(store !== undefined, `store ${number} was never started`);
    return store;
  }

  killStore(number: number): void {
    this.storeProcesses.get(number)!.kill();
  }

  /** One call of a client; the run goes on until it is answered. */
  ask<T>(work: (client: ConductorClient, world: World) => Promise<T>): Promise<T> {
    return this.sim.settle(this.begin(work));
  }

  /** Work of a client that goes on while the test does something else. */
  begin<T>(work: (client: ConductorClient, world: World) => Promise<T>): Promise<T> {
    const { world } = this.#client;
    const address = `${this.sim.machine('conductor').address}:49180`;
    return this.#client.later(0, 'client', () => work(new ConductorClient(world, [address]), world));
  }

  createVolume(name: string, replicaCount: number, sizeBytes = GiB) {
    return this.ask((client) => client.createVolume(name, { sizeBytes, replicaCount }));
  }

  /** "1S* 2S meta 3": the shard's replicas by store number, as the conductor has them. Shard 0 unless told otherwise. */
  shardOf(name: string, shardIndex = 0): string {
    const state = this.conductor.state;
    const shard = state.volumes.get(state.volumeIdByName.get(name)!)!.shards[shardIndex]!;
    const replicas = shard.replicas.map(
      (replica, index) => `${replica.storeId}${letter(replica.status)}${index === shard.primary ? '*' : ''}`,
    );
    return `${replicas.join(' ')} meta ${shard.metaVersion}`;
  }

  run(ms: number): Promise<void> {
    return this.sim.run(this.sim.now + ms);
  }

  until(isTrue: () => boolean, withinMs = 60_000): Promise<void> {
    return this.sim.run(isTrue, { withinMs });
  }

  /** Closes the conductor; nothing of it may stay. */
  async end(): Promise<void> {
    await this.conductorProcess.perform(() => this.conductor.close());
    const left = [...this.conductorProcess.resources].map((resource) => resource.describe());
    assert(left.length === 0, `the closed conductor left: ${left.join(', ')}`);
  }
}

function letter(status: string): string {
  return status === 'IN_SYNC' ? 'S' : status === 'RECOVERING' ? 'R' : 'O';
}
