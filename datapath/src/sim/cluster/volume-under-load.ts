// One volume of a simulated cluster with its history, its hot set and its clients. Made by cluster-run.ts and by stories.
import { ConductorClient } from '../../api/conductor-client.ts';
import { BlockHistory } from '../checkers/block-history.ts';
import { HotSet } from './hot-set.ts';
import { allowNothing, LoadClient, type LoadClientOptions } from './load-client.ts';
import type { LoadShape, VolumeShape } from './profile.ts';
import type { SimCluster } from './sim-cluster.ts';

export class VolumeUnderLoad {
  readonly cluster: SimCluster;
  readonly shape: VolumeShape;
  readonly load: LoadShape;
  readonly history: BlockHistory;
  /** By the volume's size: one at first, another one for each growth. */
  readonly hotSets: HotSet[];
  readonly touched = new Set<number>();
  readonly clients: LoadClient[] = [];
  sizeBytes: number;
  /** What clients made from now on may see fail. */
  isFailureAllowed: LoadClientOptions['isFailureAllowed'] = allowNothing;

  constructor(cluster: SimCluster, shape: VolumeShape, load: LoadShape) {
    this.cluster = cluster;
    this.shape = shape;
    this.load = load;
    this.sizeBytes = shape.sizeBytes;
    const random = cluster.sim.random.fork(`hot set of ${shape.name}`);
    this.history = new BlockHistory({
      volumeTag: cluster.nextVolumeTag(),
      sizeBytes: shape.sizeBytes,
      now: () => cluster.sim.now,
    });
    this.hotSets = [new HotSet(random, shape.sizeBytes, load.extraRegions)];
  }

  /** It is resized: whoever opens it from now on must get this size. */
  hasGrown(sizeBytes: number): void {
    this.sizeBytes = sizeBytes;
  }

  /** Before the volume is resized: clients that learn the new size may use all of it. */
  expectGrowth(sizeBytes: number): void {
    const random = this.cluster.sim.random.fork(`hot set of ${this.shape.name} with ${sizeBytes} bytes`);
    this.history.grow(sizeBytes);
    this.hotSets.push(new HotSet(random, sizeBytes, this.load.extraRegions));
  }

  /** A client in a process and on a machine of its own; it has yet to open the volume. */
  client(name: string, isReadOnly: boolean, more: Pick<LoadClientOptions, 'deadlineMs' | 'attachment'> = {}): LoadClient {
    const { cluster, shape, history, hotSets, load, touched, isFailureAllowed } = this;
    const options = {
      volume: shape.name,
      conductors: cluster.conductors,
      isReadOnly,
      history,
      hotSets,
      load,
      touched,
      isFailureAllowed,
      ...more,
    };
    const process = cluster.clientProcess(`${name}-of-${shape.name}`);
    const client = new LoadClient(process, options);
    this.clients.push(client);
    return client;
  }

  /** As client(), and opens the volume. */
  async opened(name: string, isReadOnly: boolean): Promise<LoadClient> {
    const client = this.client(name, isReadOnly);
    await client.process.perform(() => client.open());
    return client;
  }

  /** A node that writes beside others; it has yet to open the volume. */
  async sharing(node: string, process = node): Promise<LoadClient> {
    const { attachment } = await this.cluster.ask(async (world) => {
      const client = new ConductorClient(world, this.cluster.conductors);
      await client.putNode(node, 'sim');
      return client.attachVolume(this.shape.name, { client: node, isShared: true });
    });
    return this.client(process, false, { attachment: { client: node, attachment } });
  }

  get livingClients(): LoadClient[] {
    return this.clients.filter((client) => client.process.isAlive);
  }
}
