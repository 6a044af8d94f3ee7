// A simulated store machine with a DataListener in front of a MemoryStore, and client machines, for tests of sessions.
import { Simulator } from '../../sim/simulator.ts';
import type { SimProcess } from '../../sim/sim-process.ts';
import type { Address } from '../../world/network.ts';
import type { World } from '../../world/world.ts';
import type { Admission, PeerHandshake } from '../admission.ts';
import { StoreCommand, type CommandOwner, type StoreLink } from '../command.ts';
import { DataListener, type DataListenerOptions } from '../listener.ts';
import { MemoryStore } from './memory-store.ts';

export const TEST_VOLUME = 66 * 2 ** 24;
export const TEST_TOKEN = 0x1f_2e3d_4c5b_6a79;

export class TwoMachines {
  readonly sim: Simulator;
  readonly storeProcess: SimProcess;
  readonly clientProcess: SimProcess;
  readonly store: MemoryStore;
  readonly handshakes: PeerHandshake[] = [];
  gone = 0;
  listener!: DataListener;

  static async open(
    seed: number,
    options: Partial<DataListenerOptions> = {},
    memoryBytes = 16 * 1024 * 1024,
  ): Promise<TwoMachines> {
    const machines = new TwoMachines(seed, memoryBytes);
    const authorize = (handshake: PeerHandshake): Admission => {
      machines.handshakes.push(handshake);
      return { result: 0, link: machines.store, onGone: () => void (machines.gone += 1) };
    };
    await machines.storeProcess.perform(async (world) => {
      machines.listener = await DataListener.open(
        world,
        { kind: 'tcp', host: '0.0.0.0', port: 49162 },
        { authorize, ...options },
      );
    });
    return machines;
  }

  constructor(seed: number, memoryBytes: number) {
    this.sim = new Simulator(seed);
    this.storeProcess = this.sim.machine('store').startProcess('store', async () => {}, { memoryBytes });
    this.clientProcess = this.sim.machine('client').startProcess('client', async () => {}, { memoryBytes });
    this.store = new MemoryStore(this.storeProcess.world.memory);
  }

  get address(): Address {
    return { kind: 'tcp', host: this.storeProcess.host.address, port: 49162 };
  }

  onClient<T>(work: (world: World) => Promise<T>): Promise<T> {
    return this.clientProcess.perform(work);
  }
}

const FIELDS = ['opcode', 'flags', 'offset', 'length', 'memory', 'volumeId', 'commandSequence'] as const;
export type TestCommandFields = Partial<Pick<StoreCommand, (typeof FIELDS)[number]>>;

/** A command for tests that is awaited. */
export class TestCommand extends StoreCommand {
  readonly done: Promise<number>;
  isDone = false;

  /** Takes only these fields, also from another command. */
  constructor(fields: TestCommandFields = {}) {
    const owner: CommandOwner = { commandDone: () => {} };
    super(owner);
    this.volumeId = TEST_VOLUME;
    this.token = TEST_TOKEN;
    this.metaVersion = 3;
    this.attachEpoch = 2;
    for (const key of FIELDS) this[key] = fields[key] ?? this[key];
    this.done = new Promise((resolve) => {
      owner.commandDone = () => {
        if (this.isDone) throw new Error('the command was finished twice');
        this.isDone = true;
        resolve(this.status);
      };
    });
  }

  run(link: StoreLink): Promise<number> {
    link.submit(this);
    return this.done;
  }
}

/** Bytes that tell where they belong: the offset in the volume, mixed with a stamp. */
export function fillPattern(memory: { readonly bytes: Uint8Array }, at: number, length: number, stamp: number): void {
  for (let index = 0; index < length; index += 1) memory.bytes[at + index] = (index * 31 + (index >> 9) * 7 + stamp) & 255;
}

export function patternMatches(memory: { readonly bytes: Uint8Array }, at: number, length: number, stamp: number): boolean {
  for (let index = 0; index < length; index += 1) {
    if (memory.bytes[at + index] !== ((index * 31 + (index >> 9) * 7 + stamp) & 255)) return false;
  }
  return true;
}
