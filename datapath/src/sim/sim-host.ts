// A simulated machine: an address, disks and files that outlive its processes, a clock with its own rate, and processes.
import { assert } from '../base/assert.ts';
import { PfError } from '../base/errors.ts';
import type { World } from '../world/world.ts';
import { SimDiskDevice } from './sim-disk-device.ts';
import type { DiskDeviceOptions } from './sim-disk-device.ts';
import { SimFileSystem } from './sim-files.ts';
import { HostPorts } from './host-ports.ts';
import { SimProcess } from './sim-process.ts';
import type { ProcessOptions } from './sim-process.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { Simulator } from './simulator.ts';

export interface HostOptions {
  /** Its clock runs faster (above 0) or slower than true time, in parts per million. */
  readonly clockDriftPpm?: number;
  /** Its wall clock is this wrong. */
  readonly wallSkewMs?: number;
  /** Timers fire up to so much late, as on a machine with more to do than it can: other events may overtake them. */
  readonly timerLatenessMs?: number;
}

export class SimHost {
  readonly sim: Simulator;
  readonly name: string;
  /** Looks like an IPv4 address. */
  readonly address: string;
  readonly random: SeededRandom;
  readonly clockRate: number;
  readonly wallSkewMs: number;
  readonly timerLatenessMs: number;
  readonly disks = new Map<string, SimDiskDevice>();
  readonly files: SimFileSystem;
  readonly ports: HostPorts;
  readonly processes = new Map<string, SimProcess>();
  /** False: nothing enters or leaves, as when the machine has lost power. */
  isPowered = true;
  /** Counts power cuts: what was under way through this machine before one is gone. */
  powerCuts = 0;
  readonly #bootOffsetMs: number;
  #incarnations = 0;

  constructor(sim: Simulator, name: string, address: string, options: HostOptions) {
    this.sim = sim;
    this.name = name;
    this.address = address;
    this.random = sim.random.fork(`host ${name}`);
    this.clockRate = 1 + (options.clockDriftPpm ?? 0) / 1e6;
    this.wallSkewMs = options.wallSkewMs ?? 0;
    this.timerLatenessMs = options.timerLatenessMs ?? 0;
    this.#bootOffsetMs = this.random.integer(1_000, 1_000_000);
    this.files = new SimFileSystem(this);
    this.ports = new HostPorts(this);
  }

  clockAt(simNow: number): number {
    return this.#bootOffsetMs + simNow * this.clockRate;
  }

  /** Plugs a disk in under this path; its content stays until the end of the run. */
  addDisk(path: string, options: DiskDeviceOptions): SimDiskDevice {
    assert(!this.disks.has(path), `host ${this.name} has a disk ${path} already`);
    const device = new SimDiskDevice(this, path, options);
    this.disks.set(path, device);
    return device;
  }

  disk(path: string): SimDiskDevice {
    const device = this.disks.get(path);
    if (device === undefined) throw new PfError('NOT_FOUND', `host ${this.name} has no disk ${path}; add one first`);
    return device;
  }

  /** Starts a program. A dead process of the same name is replaced, which is how a restart is written. */
  startProcess(name: string, main: (world: World) => Promise<void>, options: ProcessOptions = {}): SimProcess {
    assert(this.isPowered, `cannot start ${name}: host ${this.name} has no power; call powerOn() first`);
    assert(!this.processes.get(name)?.isAlive, `process ${name} runs already on ${this.name}; crash or kill it first`);
    this.#incarnations += 1;
    const process = new SimProcess(this, name, this.#incarnations, options);
    this.processes.set(name, process);
    process.start(main);
    return process;
  }

  /** Power cut: every process is gone, disks keep what was durable and some of the rest, peers hear nothing. */
  powerOff(): void {
    if (!this.isPowered) return;
    for (const process of this.processes.values()) {
      if (process.isAlive) process.crash({ peers: 'silence' });
    }
    for (const device of this.disks.values()) device.cutPower();
    this.isPowered = false;
    this.powerCuts += 1;
    this.sim.log.append(`${this.sim.now.toFixed(3)} ${this.name} power off`);
  }

  powerOn(): void {
    this.isPowered = true;
    this.sim.network.reachabilityChanged();
  }
}
