// A cluster for tests of the volume client: store machines that share one map of blocks (replication that never fails) behind real
// listeners, and a conductor that answers open_volume from a layout which the test changes.
import { GiB } from '../../base/sizes.ts';
import type { VolumeConfig } from '../../api/model.ts';
import { Simulator } from '../../sim/simulator.ts';
import type { SimProcess } from '../../sim/sim-process.ts';
import type { HttpRequest, HttpResponse } from '../../world/http.ts';
import type { World } from '../../world/world.ts';
import type { StoreCommand } from '../../wire/command.ts';
import { DataListener } from '../../wire/listener.ts';
import { STATUS_FENCED, STATUS_NOT_PRIMARY_REOPEN, STATUS_OK, STATUS_STALE } from '../../wire/status.ts';
import { MemoryStore } from '../../wire/testing/memory-store.ts';
import { openVolume, type OpenVolumeRequest, type VolumeDevice } from '../volume-device.ts';

const VOLUME_ID = 66 * 2 ** 24;
const DATA_PORT = 49162;
const HTTP_PORT = 49180;

interface FakeShard {
  metaVersion: number;
  /** Index of the store that is primary. */
  primary: number;
}

export interface FakeStore {
  readonly process: SimProcess;
  readonly memory: MemoryStore;
  listener: DataListener;
}

export interface FakeClusterOptions {
  readonly stores?: number;
  readonly sizeBytes?: number;
  readonly shardBytes?: number;
}

export class FakeCluster {
  readonly sim: Simulator;
  readonly stores: FakeStore[] = [];
  readonly shards: FakeShard[];
  readonly client: SimProcess;
  readonly conductor: SimProcess;
  sizeBytes: number;
  readonly shardBytes: number;
  attachEpoch = 0;
  /** Calls of open_volume: "write", "read" or "epoch 3". */
  readonly opens: string[] = [];
  /** Who opened it, as they said. */
  readonly clients: (string | undefined)[] = [];
  /** Calls of close_volume: "epoch 1 of 1107296256". */
  readonly closes: string[] = [];
  /** Answers these as errors: null for none. */
  conductorError: { readonly ret_code: number; readonly code: string } | null = null;
  /** What the conductor answers in place of the layout that the stores go by. */
  answersLayout: VolumeConfig | null = null;
  readonly blocks = new Map<number, Uint8Array>();

  static async open(seed: number, options: FakeClusterOptions = {}): Promise<FakeCluster> {
    const cluster = new FakeCluster(seed, options);
    for (let index = 0; index < (options.stores ?? 2); index += 1) await cluster.#addStore(index);
    await cluster.conductor.perform((world) =>
      world.http.serve('0.0.0.0', HTTP_PORT, async (request) => cluster.#answer(request)),
    );
    return cluster;
  }

  constructor(seed: number, options: FakeClusterOptions) {
    this.sim = new Simulator(seed);
    this.sizeBytes = options.sizeBytes ?? GiB;
    this.shardBytes = options.shardBytes ?? GiB / 4;
    const count = Math.ceil(this.sizeBytes / this.shardBytes);
    this.shards = Array.from({ length: count }, (_, index) => ({ metaVersion: 1, primary: index % (options.stores ?? 2) }));
    this.conductor = this.sim.machine('conductor').startProcess('conductor', async () => {});
    this.client = this.sim.machine('client').startProcess('client', async () => {}, { memoryBytes: 32 * 1024 * 1024 });
  }

  get conductorAddress(): string {
    return `${this.conductor.host.address}:${HTTP_PORT}`;
  }

  openVolume(world: World, request: Partial<OpenVolumeRequest> = {}): Promise<VolumeDevice> {
    return openVolume(world, { conductors: [this.conductorAddress], name: 'v1', ...request });
  }

  onClient<T>(work: (world: World) => Promise<T>): Promise<T> {
    return this.client.perform(work);
  }

  /** Makes another store the primary of a shard, as the conductor would. */
  move(shardIndex: number, primary: number): void {
    this.shards[shardIndex]!.primary = primary;
    this.shards[shardIndex]!.metaVersion += 1;
  }

  /** What lies in a shard that exists already is for the caller to tell by its meta version. */
  grow(sizeBytes: number): void {
    this.sizeBytes = sizeBytes;
    while (this.shards.length * this.shardBytes < sizeBytes)
      this.shards.push({ metaVersion: 1, primary: this.shards.length % this.stores.length });
  }

  async #addStore(index: number): Promise<void> {
    const process = this.sim.machine(`store${index}`).startProcess('store', async () => {}, { memoryBytes: 32 * 1024 * 1024 });
    const memory = new MemoryStore(process.world.memory, this.blocks);
    memory.judge = (command) => this.judge(index, command);
    const listener = await process.perform((world) => this.listen(world, memory));
    this.stores.push({ process, memory, listener });
  }

  listen(world: World, memory: MemoryStore): Promise<DataListener> {
    const authorize = (): { result: number; link: MemoryStore } => ({ result: 0, link: memory });
    return DataListener.open(world, { kind: 'tcp', host: '0.0.0.0', port: DATA_PORT }, { authorize });
  }

  /** What the store of that index says of a command. */
  judge(store: number, command: StoreCommand): number {
    const shard = this.shards[Math.floor(command.offset / this.shardBytes)]!;
    command.replyMetaVersion = shard.metaVersion;
    if (command.attachEpoch < this.attachEpoch) return STATUS_FENCED;
    if (shard.primary !== store) return STATUS_NOT_PRIMARY_REOPEN;
    return (command.metaVersion & 0xffff) === shard.metaVersion ? STATUS_OK : STATUS_STALE;
  }

  get layout(): VolumeConfig {
    return {
      volume_name: 'v1',
      volume_id: VOLUME_ID,
      volume_size: this.sizeBytes,
      shard_size: this.shardBytes,
      rep_count: Math.min(3, this.stores.length),
      attach_epoch: this.attachEpoch,
      token: 0x1234_5678_9abc,
      status: 'OK',
      shards: this.shards.map((shard, index) => ({
        index,
        meta_ver: shard.metaVersion,
        primary_rep_index: shard.primary,
        status: 'OK',
        replicas: this.stores.map((store, replica) => ({
          id: VOLUME_ID + index * 16 + replica,
          index: replica,
          store_id: replica + 1,
          disk_uuid: `00000000-0000-4000-8000-00000000000${replica}`,
          status: 'IN_SYNC',
          address: `${store.process.host.address}:${DATA_PORT}`,
          http_address: `${store.process.host.address}:49181`,
        })),
      })),
    };
  }

  #answer(request: HttpRequest): HttpResponse {
    const { query } = request;
    if (query.get('op') === 'close_volume') {
      this.closes.push(`epoch ${query.get('attach_epoch')} of ${query.get('volume_id')}`);
      return json(200, { op: 'close_volume_reply', ret_code: 0 });
    }
    const epoch = query.get('attach_epoch');
    if (epoch === undefined) this.clients.push(query.get('client'));
    const isReadOnly = query.get('read_only') === 'true';
    this.opens.push(isReadOnly ? 'read' : epoch === undefined ? 'write' : `epoch ${epoch}`);
    if (this.conductorError !== null)
      return json(409, { op: 'open_volume_reply', reason: 'as the test wants it', ...this.conductorError });
    if (epoch !== undefined && Number(epoch) < this.attachEpoch) {
      return json(409, { op: 'open_volume_reply', ret_code: 20, code: 'FENCED', reason: 'a newer writer has attached' });
    }
    if (!isReadOnly && epoch === undefined) this.attachEpoch += 1;
    return json(200, { op: 'open_volume_reply', ret_code: 0, ...(this.answersLayout ?? this.layout) });
  }
}

function json(status: number, body: object): HttpResponse {
  return { status, contentType: 'application/json', body: new TextEncoder().encode(JSON.stringify(body)) };
}
