// Simulated stores with real disks' worth of format, a conductor that the test plays, and clients: what the tests of replication,
// promotion and recovery stand on. Replica i lies on store i + 1, on machine "abc"[i].
import type { ReplicaStatus, StoreStatusReply } from '../../api/model.ts';
import { StoreClient } from '../../api/store-client.ts';
import { MiB } from '../../base/sizes.ts';
import type { SimProcess } from '../../sim/sim-process.ts';
import { Simulator } from '../../sim/simulator.ts';
import { ClientSession } from '../../wire/client-session.ts';
import { StoreCommand, type StoreLink } from '../../wire/command.ts';
import { OP_READ, OP_TRIM, OP_WRITE } from '../../wire/messages.ts';
import { STATUS_OK } from '../../wire/status.ts';
import type { World } from '../../world/world.ts';
import { startStore, type Store } from '../store.ts';
import { CONDUCTOR_PORT, FakeConductor, VOLUME_ID, VOLUME_TOKEN } from './fake-conductor.ts';

export interface RigOptions {
  readonly stores: number;
  readonly diskBytes?: number | readonly number[];
  /** Stores have a door of their own for each other. */
  readonly hasReplicationNetwork?: boolean;
}

const HOSTS = ['a', 'b', 'c'];
const DISK_PATH = '/dev/nvme0';

export class StoreRig {
  readonly sim: Simulator;
  readonly conductorProcess: SimProcess;
  readonly conductor: FakeConductor;
  readonly stores: Store[] = [];
  readonly processes: SimProcess[] = [];
  readonly client: SimProcess;
  readonly #sessions: (ClientSession | null)[] = [];
  readonly #hasReplicationNetwork: boolean;

  /** All stores run and are registered; the volume is not configured. */
  static async open(seed: number, options: RigOptions): Promise<StoreRig> {
    const rig = new StoreRig(seed, options);
    await rig.conductorProcess.perform(() => rig.conductor.serve());
    for (let index = 0; index < options.stores; index += 1) await rig.start(index);
    return rig;
  }

  /** The usual start: these replica statuses, the first one primary, everybody told and serving. */
  static async configured(
    seed: number,
    statuses: readonly ReplicaStatus[],
    options: Partial<RigOptions> = {},
  ): Promise<StoreRig> {
    const rig = await StoreRig.open(seed, { stores: statuses.length, ...options });
    await rig.configure(() => (rig.conductor.statuses = [...statuses]));
    await rig.untilState(0, 'serving');
    return rig;
  }

  private constructor(seed: number, options: RigOptions) {
    this.sim = new Simulator(seed, { memoryBytes: 32 * MiB });
    this.#hasReplicationNetwork = options.hasReplicationNetwork === true;
    this.conductorProcess = this.sim.machine('conductor').startProcess('conductor', async () => {});
    this.client = this.sim.machine('client').startProcess('client', async () => {});
    const hosts = HOSTS.slice(0, options.stores);
    for (const [index, host] of hosts.entries()) {
      const bytes = options.diskBytes ?? 64 * MiB;
      this.sim.machine(host).addDisk(DISK_PATH, { sizeBytes: typeof bytes === 'number' ? bytes : bytes[index]! });
    }
    this.conductor = new FakeConductor(this.conductorProcess.world, hosts);
  }

  /** Starts (again) the store of this index and waits for its registration. */
  async start(index: number): Promise<void> {
    const machine = this.sim.machine(HOSTS[index]!);
    const process = machine.startProcess('store', async () => {});
    this.processes[index] = process;
    this.stores[index] = await process.perform((world) =>
      startStore(world, {
        disks: [{ path: DISK_PATH }],
        host: HOSTS[index]!,
        dataAddress: '0.0.0.0:49162',
        ...(this.#hasReplicationNetwork ? { replicationAddress: `${machine.address}:49163` } : {}),
        httpAddress: '0.0.0.0:49181',
        advertisedHost: machine.address,
        conductors: [`${this.conductorProcess.host.address}:${CONDUCTOR_PORT}`],
        format: 'blank-only',
      }),
    );
    await this.sim.settle(this.stores[index]!.registered);
  }

  /** The next configuration, pushed to these stores (all by default) until they hold it. */
  async configure(edit: () => void, storeIds: readonly number[] = this.stores.map((_, index) => index + 1)): Promise<void> {
    this.conductor.change(edit);
    await this.conductorProcess.perform(() => this.conductor.pushAll(storeIds), 20_000);
  }

  status(index: number): Promise<StoreStatusReply> {
    const machine = this.sim.machine(HOSTS[index]!);
    return this.conductorProcess.perform((world) => new StoreClient(world, `${machine.address}:49181`).getStatus());
  }

  async state(index: number, shard = 0): Promise<string> {
    return (await this.status(index)).shards.find((each) => each.index === shard)?.state ?? 'none';
  }

  async untilState(index: number, state: string, withinMs = 10_000): Promise<void> {
    const deadline = this.sim.now + withinMs;
    while ((await this.state(index)) !== state) {
      if (this.sim.now > deadline)
        throw new Error(`store ${index + 1} is ${await this.state(index)}, not ${state}, after ${withinMs} ms`);
      await this.sim.run(this.sim.now + 5);
    }
  }

  /** A value of /metrics, labels included in the name. */
  async metric(index: number, name: string): Promise<number> {
    const machine = this.sim.machine(HOSTS[index]!);
    const response = await this.conductorProcess.perform((world) =>
      world.http.request({ method: 'GET', host: machine.address, port: 49181, target: '/metrics', timeoutMs: 1000 }),
    );
    const line = new TextDecoder()
      .decode(response.body)
      .split('\n')
      .find((each) => each.startsWith(`pfstore_${name} `));
    return line === undefined ? 0 : Number(line.split(' ').at(-1));
  }

  digest(index: number, objectIndex = 0, shardIndex = 0): Promise<string> {
    const machine = this.sim.machine(HOSTS[index]!);
    return this.conductorProcess.perform(async (world) => {
      const client = new StoreClient(world, `${machine.address}:49181`);
      return (await client.digestReplica({ volume_id: VOLUME_ID, shard_index: shardIndex, object_index: objectIndex })).sha256;
    });
  }

  /** Turns a bit over wherever the disk of this machine holds 2 KiB of `byte`, once the log's copy has settled; how many blocks. */
  async rotBlocksOf(machine: string, byte: number): Promise<number> {
    await this.sim.run(this.sim.now + 50);
    const disk = this.sim.machine(machine).disk(DISK_PATH);
    let count = 0;
    for (let offset = 0; offset < disk.sizeBytes; offset += 4096) {
      const bytes = disk.content.bytesAt(offset, 4096);
      if (!bytes.subarray(0, 2048).every((each) => each === byte)) continue;
      disk.rot(offset + 100, 3);
      count += 1;
    }
    return count;
  }

  /** A connection of the client to a store, kept for the next call. */
  async session(index: number): Promise<ClientSession> {
    const kept = this.#sessions[index];
    if (kept?.isUp) return kept;
    const address = { kind: 'tcp', host: this.sim.machine(HOSTS[index]!).address, port: 49162 } as const;
    const options = { volumeId: VOLUME_ID, clientId: 7 + index, token: VOLUME_TOKEN, depth: 64, silenceLimitMs: 0 };
    const session = await this.client.perform((world) => ClientSession.connect(world, address, options));
    this.#sessions[index] = session;
    return session;
  }

  /** Submits without waiting. */
  async begin(index: number, command: RigCommand): Promise<RigCommand> {
    const session = await this.session(index);
    if (command.metaVersion === 0) command.metaVersion = this.conductor.metaVersion;
    if (command.attachEpoch === 0) command.attachEpoch = this.conductor.attachEpoch;
    await this.client.perform(async () => session.submit(command));
    return command;
  }

  async run(index: number, command: RigCommand): Promise<number> {
    await this.begin(index, command);
    return this.sim.settle(command.done, { withinMs: 60_000 });
  }

  /** Fills [offset, offset + length) with `byte`; the wire status. */
  async write(index: number, offset: number, length: number, byte: number): Promise<number> {
    return this.run(index, RigCommand.write(this.client.world, offset, length, byte));
  }

  async trim(index: number, offset: number, length: number): Promise<number> {
    return this.run(index, new RigCommand(this.client.world, OP_TRIM, offset, length));
  }

  /** The status, or the one byte that the whole range holds; throws for mixed content. */
  async read(index: number, offset: number, length: number): Promise<{ status: number; byte: number }> {
    const command = new RigCommand(this.client.world, OP_READ, offset, length);
    const status = await this.run(index, command);
    if (status !== STATUS_OK) return { status, byte: -1 };
    return { status, byte: command.onlyByte() };
  }

  async close(): Promise<void> {
    for (const [index, process] of this.processes.entries()) {
      if (!process.isAlive) continue;
      await process.perform(() => this.stores[index]!.close(), 30_000);
    }
  }
}

/** An awaited command with memory of its own. */
export class RigCommand extends StoreCommand {
  readonly done: Promise<number>;
  readonly world: World;
  isDone = false;

  static write(world: World, offset: number, length: number, byte: number): RigCommand {
    const command = new RigCommand(world, OP_WRITE, offset, length);
    world.memory.bytes.fill(byte, command.memory, command.memory + length);
    return command;
  }

  constructor(world: World, opcode: number, offset: number, length: number) {
    const owner = { commandDone: (): void => {} };
    super(owner);
    this.world = world;
    this.opcode = opcode;
    this.volumeId = VOLUME_ID;
    this.token = VOLUME_TOKEN;
    this.offset = offset;
    this.length = length;
    this.memory = opcode === OP_READ || opcode === OP_WRITE ? world.memory.acquireSlot(length) : 0;
    this.done = new Promise((resolve) => {
      owner.commandDone = () => {
        if (this.isDone) throw new Error('the command was finished twice');
        this.isDone = true;
        if (this.memory !== 0 && opcode === OP_WRITE) world.memory.releaseSlot(this.memory);
        resolve(this.status);
      };
    });
  }

  onlyByte(): number {
    const bytes = this.world.memory.bytes.slice(this.memory, this.memory + this.length);
    this.world.memory.releaseSlot(this.memory);
    const [first] = bytes;
    const other = bytes.findIndex((byte) => byte !== first);
    if (other >= 0) throw new Error(`read ${first} at ${this.offset}, but ${bytes[other]} at ${this.offset + other}`);
    return first!;
  }

  submitTo(link: StoreLink): void {
    link.submit(this);
  }
}
