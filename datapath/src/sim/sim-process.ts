// One program on a simulated machine, with a world of its own.
//
//            crash(), kill(), exit()
//   running ------------------------> dead      (restart: SimHost.startProcess with the same name)
//    |   ^
//    v   | pause(), resume(): due events wait, virtual time goes on
//   paused
//
// Everything the program waits for is an event owned by this process: when it dies they vanish, and its promises never settle.
import { formatErrorChain, PfError } from '../base/errors.ts';
import { crc32c } from '../base/crc32c.ts';
import { Arena } from '../world/arena.ts';
import type { Clock, Turn } from '../world/clock.ts';
import type { Disks } from '../world/disk.ts';
import type { Files } from '../world/files.ts';
import type { Http } from '../world/http.ts';
import type { Logger } from '../world/log.ts';
import type { Network } from '../world/network.ts';
import { MemoryBlocks } from '../world/memory-blocks.ts';
import { OUTPUT_BLOCK_BYTES } from '../world/output-queue.ts';
import type { Processes } from '../world/processes.ts';
import { TurnQueue } from '../world/turn-queue.ts';
import type { World } from '../world/world.ts';
import type { EventOwner, SimEvent } from './event-queue.ts';
import type { SeededRandom } from './seeded-random.ts';
import { sha256Hex } from './sha256.ts';
import { SimClock } from './sim-clock.ts';
import { SimDisks } from './sim-disk.ts';
import { SimFiles } from './sim-files.ts';
import type { SimHost } from './sim-host.ts';
import { SimHttp } from './sim-http.ts';
import { SimLogger } from './sim-log.ts';
import { SimProcessNetwork } from './sim-network.ts';
import type { Simulator } from './simulator.ts';

export interface ProcessOptions {
  readonly memoryBytes?: number;
  /** What a thrown error does: 'fail-run' (default) ends the run; 'die' kills the process, as a supervisor would see it. */
  readonly onError?: 'fail-run' | 'die';
}

export interface CrashOptions {
  /** 'reset': the machine lives and closes the sockets. 'silence': nothing answers until a process of that name runs again. */
  readonly peers?: 'reset' | 'silence';
  /** True: only the process died, so disks and files keep what was completed. Default false: as in a power cut. */
  readonly keepsCompleted?: boolean;
}

/** Something a program opened: timers, streams, listeners, disks, files, servers. */
export interface ProcessResource {
  describe(): string;
  /** World.close() ends it. */
  closeResource(): void | Promise<void>;
  /** The process died; nothing of the program may be called. */
  processDied?(options: CrashOptions): void;
}

export class SimProcess implements EventOwner {
  readonly sim: Simulator;
  readonly host: SimHost;
  readonly name: string;
  readonly id: number;
  readonly incarnation: number;
  readonly random: SeededRandom;
  readonly world: World;
  readonly resources = new Set<ProcessResource>();
  readonly turns: TurnQueue;
  readonly outputBlocks: MemoryBlocks;
  /** Settles with main(); never when the process dies before. */
  started: Promise<void> = Promise.resolve();
  isAlive = true;
  isPaused = false;
  /** True from World.close() on: the world refuses new work. */
  isClosed = false;
  /** What it died of, with onError 'die'. */
  failure: unknown = null;
  readonly #isFatal: boolean;
  readonly #lateness: SeededRandom;
  #held: SimEvent[] = [];

  constructor(host: SimHost, name: string, incarnation: number, options: ProcessOptions) {
    this.host = host;
    this.sim = host.sim;
    this.name = name;
    this.id = this.sim.nextId();
    this.incarnation = incarnation;
    this.random = host.random.fork(`process ${name} ${incarnation}`);
    this.#lateness = this.random.fork('timers');
    this.#isFatal = options.onError !== 'die';
    this.turns = new TurnQueue(() => this.#scheduleTurnEnd());
    const world = new SimWorld(this, options.memoryBytes ?? this.sim.memoryBytes);
    this.world = world;
    this.outputBlocks = new MemoryBlocks(world.memory, OUTPUT_BLOCK_BYTES);
  }

  start(main: (world: World) => Promise<void>): void {
    this.started = new Promise((resolve, reject) => {
      this.post(0, 'start', () => {
        main(this.world).then(resolve, (error: unknown) => {
          reject(error);
          if (this.isAlive) this.eventFailed(error, 'main');
        });
      });
    });
    this.started.catch(() => undefined); // eventFailed has told it already
  }

  /** An event of this program: dropped when it is dead, late when it is paused. */
  post(delayMs: number, label: string, run: () => void): SimEvent {
    return this.sim.post(this, delayMs, label, run, true);
  }

  /** Milliseconds by which the next timer is late. */
  timerLateness(): number {
    const limit = this.host.timerLatenessMs;
    return limit === 0 ? 0 : this.#lateness.between(0, limit);
  }

  /** The promise of `run`'s result after a delay; never settles once the process is dead. */
  later<T>(delayMs: number, label: string, run: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.post(delayMs, label, () => {
        try {
          resolve(run());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  /** Runs `work` inside this process and drives the simulator until it settles. */
  perform<T>(work: (world: World) => Promise<T>, withinMs = 600_000): Promise<T> {
    return this.sim.settle(
      this.later(0, 'perform', () => work(this.world)),
      { withinMs },
    );
  }

  crash(options: CrashOptions = {}): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.isPaused = false;
    this.#held = [];
    const opened = [...this.resources];
    this.resources.clear();
    for (const resource of opened) resource.processDied?.(options);
    this.host.files.processDied(this, options);
    this.sim.log.append(
      `${this.sim.now.toFixed(3)} ${this.host.name}/${this.name} ${options.keepsCompleted ? 'killed' : 'crashed'}`,
    );
  }

  /** kill -9: the machine lives on; what was completed stays, connections end. */
  kill(): void {
    this.crash({ peers: 'reset', keepsCompleted: true });
  }

  pause(): void {
    if (this.isAlive) this.isPaused = true;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    const held = this.#held;
    this.#held = [];
    for (const event of held) this.sim.repost(event);
  }

  hold(event: SimEvent): void {
    this.#held.push(event);
  }

  eventFailed(error: unknown, label: string): void {
    this.failure ??= error;
    this.sim.log.append(
      `${this.sim.now.toFixed(3)} ${this.host.name}/${this.name} failed in "${label}": ${formatErrorChain(error)}`,
    );
    if (this.#isFatal)
      this.sim.fail(new Error(`process ${this.name} on ${this.host.name} failed in "${label}"`, { cause: error }));
    else this.kill();
  }

  /** Throws when the world has been closed: using it afterwards is the program's mistake. */
  checkOpen(action: string): void {
    if (this.isClosed) throw new PfError('INVALID_STATE', `cannot ${action}: the world of ${this.name} is closed`);
  }

  #scheduleTurnEnd(): void {
    // Mostly at once; sometimes a little later, so that one turn covers several events.
    const delayMs = this.random.chance(0.2) ? this.random.between(0, 0.03) : 0;
    this.post(delayMs, 'turn-end', () => this.turns.run());
  }
}

class SimWorld implements World {
  readonly ports = 'simulated';
  readonly clock: Clock;
  readonly turn: Turn;
  readonly random: SeededRandom;
  readonly memory: Arena;
  readonly disks: Disks;
  readonly network: Network;
  readonly http: Http;
  readonly files: Files;
  readonly processes: Processes;
  readonly log: Logger;
  readonly #process: SimProcess;
  #closing: Promise<void> | null = null;

  constructor(process: SimProcess, memoryBytes: number) {
    this.#process = process;
    this.clock = new SimClock(process);
    this.turn = process.turns;
    this.random = process.random;
    this.memory = new Arena(new ArrayBuffer(memoryBytes), crc32c, process.turns);
    this.disks = new SimDisks(process);
    this.network = new SimProcessNetwork(process);
    this.http = new SimHttp(process);
    this.files = new SimFiles(process);
    this.processes = unsupportedProcesses;
    this.log = new SimLogger(process.sim.log, `${process.host.name}/${process.name}`, () => process.sim.now);
  }

  sha256(bytes: Uint8Array): string {
    return sha256Hex(bytes);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#process.isClosed = true;
    for (const resource of [...this.#process.resources].reverse()) await resource.closeResource();
  }
}

const unsupportedProcesses: Processes = {
  spawn(program) {
    return Promise.reject(
      new PfError(
        'UNSUPPORTED',
        `cannot start "${program}": the simulated world has no child processes; use SimHost.startProcess`,
      ),
    );
  },
  identify: () => Promise.resolve(null),
  adopt: () => Promise.resolve(null),
};
