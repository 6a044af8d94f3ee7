// A machine in memory, as far as UblkMapper sees one: a disk for records, the kernel's ublk, processes that come and are killed, and time that
// goes by when everybody waits. A process can be made to die before or after any of its calls.
import { createHash } from 'node:crypto';
import { crc32c } from '../../../base/crc32c.ts';
import { PfError } from '../../../base/errors.ts';
import { Arena } from '../../../world/arena.ts';
import type { Files } from '../../../world/files.ts';
import { silentLogger } from '../../../world/log.ts';
import type { ProcessIdentity, Processes } from '../../../world/processes.ts';
import { TurnQueue } from '../../../world/turn-queue.ts';
import type { Ublk, UblkQueue } from '../../../world/ublk.ts';
import { MemoryTime } from '../../testing/memory-time.ts';
import type { UblkMapperWorld } from '../ublk-mapper.ts';
import { MemoryUblk } from './memory-ublk.ts';

const MiB = 1024 * 1024;
const NEVER = new Promise<never>(() => {});

const turn = new TurnQueue(() => queueMicrotask(() => turn.run()));
/** For a few processes after each other, each with what its mapper keeps. */
const MEMORY_BYTES = 8 * MiB;

export interface Crash {
  /** Counted from 1. */
  readonly atCall: number;
  readonly when: 'before' | 'after';
}

export class MemoryMachine {
  readonly ublk = new MemoryUblk();
  readonly time = new MemoryTime();
  readonly files = new Map<string, Uint8Array>();
  /** CapEff of every process. */
  rights = '000001ffffffffff';
  readonly memory = new Arena(new ArrayBuffer(MEMORY_BYTES), crc32c, turn);
  readonly #living = new Set<number>();
  #lastPid = 100;

  start(crash: Crash | null = null): MemoryProcess {
    const process = new MemoryProcess(this, ++this.#lastPid, crash);
    this.#living.add(process.pid);
    return process;
  }

  processDied(pid: number): void {
    this.#living.delete(pid);
    this.ublk.processDied(pid);
  }

  isLiving(pid: number): boolean {
    return this.#living.has(pid);
  }

  readFile(path: string): Uint8Array | null {
    if (path === '/proc/self/status') return new TextEncoder().encode(`CapEff:\t${this.rights}\n`);
    const disk = /^\/sys\/block\/ublkb(\d+)\/size$/.exec(path);
    if (disk === null) return this.files.get(path) ?? null;
    const sizeBytes = this.ublk.sizeBytes(Number(disk[1]));
    return sizeBytes === null ? null : new TextEncoder().encode(`${sizeBytes / 512}\n`);
  }

  list(folder: string): string[] {
    if (folder === '/sys/class/ublk-char') return this.ublk.characterDevices();
    const inside = [...this.files.keys()].filter((path) => path.startsWith(`${folder}/`));
    return inside.map((path) => path.slice(folder.length + 1)).sort();
  }
}

/** What one process has of the machine. After its death none of its calls returns. */
export class MemoryProcess {
  readonly pid: number;
  readonly world: UblkMapperWorld;
  /** Calls made so far that change something, or that wait for the kernel. */
  callCount = 0;
  isAlive = true;
  readonly #machine: MemoryMachine;
  readonly #crash: Crash | null;

  constructor(machine: MemoryMachine, pid: number, crash: Crash | null) {
    this.pid = pid;
    this.#machine = machine;
    this.#crash = crash;
    this.world = {
      ports: 'io_uring',
      memory: machine.memory,
      clock: machine.time.clockOf(this),
      log: silentLogger,
      files: this.#files(),
      processes: this.#processes(),
      ublk: this.#ublk(),
      sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
    };
  }

  kill(): void {
    this.isAlive = false;
    this.#machine.processDied(this.pid);
  }

  async #call<T>(act: () => T | Promise<T>): Promise<T> {
    if (!this.isAlive) return NEVER;
    const isLast = ++this.callCount === this.#crash?.atCall;
    if (isLast && this.#crash.when === 'before') {
      this.kill();
      return NEVER;
    }
    await Promise.resolve();
    const result = await act();
    if (isLast) this.kill();
    return this.isAlive ? result : NEVER;
  }

  async #look<T>(look: () => T): Promise<T> {
    return this.isAlive ? look() : NEVER;
  }

  #files(): Files {
    const { files } = this.#machine;
    const unused = (): never => {
      throw new Error('the machine in memory does not do that');
    };
    const read = (path: string): Uint8Array | null => this.#machine.readFile(path);
    return {
      read: (path) => this.#look(() => read(path)),
      readStart: (path, limit) => this.#look(() => read(path)?.subarray(0, limit) ?? null),
      readLink: (path) => this.#look(() => (path === '/proc/self' ? String(this.pid) : null)),
      replace: (path, bytes) => this.#call(() => void files.set(path, bytes)),
      remove: (path) => this.#call(() => void files.delete(path)),
      makeFolder: () => this.#look(() => undefined),
      list: (path) => this.#look(() => this.#machine.list(path)),
      openAppend: unused,
      lock: unused,
    };
  }

  #processes(): Processes {
    const unused = (): never => {
      throw new Error('the machine in memory starts no processes');
    };
    const identify = (pid: number): ProcessIdentity | null =>
      this.#machine.isLiving(pid) ? { pid, startTicks: pid * 10, bootId: 'boot' } : null;
    return { spawn: unused, adopt: unused, identify: (pid) => this.#look(() => identify(pid)) };
  }

  #ublk(): Ublk {
    const { ublk } = this.#machine;
    return {
      unavailable: async () => null,
      control: async (commands, { claim, goesOn = false } = {}) => {
        const outcomes = await this.#call(() => ublk.control(commands, claim, goesOn));
        if (typeof outcomes !== 'number') return outcomes;
        throw new PfError(outcomes === 16 ? 'INVALID_STATE' : 'NOT_FOUND', `errno ${outcomes}`);
      },
      open: (deviceId, depth): UblkQueue => {
        const queue = ublk.open(deviceId, depth, this.pid);
        if (typeof queue !== 'number') return queue;
        throw new PfError(queue === 16 ? 'INVALID_STATE' : 'NOT_FOUND', `errno ${queue}`);
      },
    };
  }
}
