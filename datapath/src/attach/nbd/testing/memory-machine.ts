// A machine in memory, as far as NbdMapper sees one: a disk for records, the kernel's NBD client with its devices in /sys, processes that
// come and are killed, and time that goes by when everybody waits. A process can be made to die before or after any of its calls.
import { PfError } from '../../../base/errors.ts';
import { crc32c } from '../../../base/crc32c.ts';
import { Arena } from '../../../world/arena.ts';
import type { Files } from '../../../world/files.ts';
import type { Kernel } from '../../../world/kernel.ts';
import { silentLogger } from '../../../world/log.ts';
import type { Network, Stream, StreamHandler, StreamPair } from '../../../world/network.ts';
import type { ProcessIdentity, Processes } from '../../../world/processes.ts';
import { TurnQueue } from '../../../world/turn-queue.ts';
import { MemoryTime } from '../../testing/memory-time.ts';
import type { NbdMapperWorld } from '../nbd-mapper.ts';
import { MemoryNbd } from './memory-nbd.ts';

const MiB = 1024 * 1024;
const NEVER = new Promise<never>(() => {});

const turn = new TurnQueue(() => queueMicrotask(() => turn.run()));
/** Of all machines: making one takes longer than a test. */
const MEMORY = new Arena(new ArrayBuffer(24 * MiB), crc32c, turn);

export interface Crash {
  /** Counted from 1. */
  readonly atCall: number;
  readonly when: 'before' | 'after';
}

export class MemoryMachine {
  readonly nbd = new MemoryNbd();
  readonly time = new MemoryTime();
  readonly files = new Map<string, Uint8Array>();
  readonly attributes = new Map<string, string>();
  /** CapEff of every process. */
  rights = '000001ffffffffff';
  readonly memory = MEMORY;
  readonly #living = new Map<number, MemoryProcess>();
  #lastPid = 100;

  start(crash: Crash | null = null): MemoryProcess {
    const process = new MemoryProcess(this, ++this.#lastPid, crash);
    this.#living.set(process.pid, process);
    return process;
  }

  forget(pid: number): void {
    this.#living.delete(pid);
  }

  isLiving(pid: number): boolean {
    return this.#living.has(pid);
  }

  readFile(path: string, pid: number): string | Uint8Array | null {
    if (path === '/proc/sys/kernel/osrelease') return this.nbd.knowsBackends ? '6.1.0-test\n' : '4.18.0-test\n';
    if (path === '/proc/self/status') return `Name:\tpfnbd\nPid:\t${pid}\nCapEff:\t${this.rights}\n`;
    const device = /^\/sys\/block\/nbd(\d+)\/(size|pid|backend)$/.exec(path);
    if (device !== null) return this.nbd.attribute(Number(device[1]), device[2]!);
    return this.files.get(path) ?? null;
  }
}

/** What one process has of the machine. After its death none of its calls returns. */
export class MemoryProcess {
  readonly pid: number;
  readonly world: NbdMapperWorld;
  /** Calls made so far. */
  callCount = 0;
  readonly #machine: MemoryMachine;
  readonly #crash: Crash | null;
  readonly #pairs = new Set<MemoryPair>();
  isAlive = true;

  constructor(machine: MemoryMachine, pid: number, crash: Crash | null) {
    this.pid = pid;
    this.#machine = machine;
    this.#crash = crash;
    this.world = {
      memory: machine.memory,
      clock: machine.time.clockOf(this),
      log: silentLogger,
      files: this.#files(),
      processes: this.#processes(),
      network: this.#network(),
      kernel: this.#kernel(),
    };
  }

  /** As kill -9: its sockets close. */
  kill(): void {
    this.isAlive = false;
    this.#machine.forget(this.pid);
    for (const pair of this.#pairs) pair.abandon();
  }

  async #call<T>(act: () => T): Promise<T> {
    if (!this.isAlive) return NEVER;
    const isLast = ++this.callCount === this.#crash?.atCall;
    if (isLast && this.#crash.when === 'before') {
      this.kill();
      return NEVER;
    }
    await Promise.resolve();
    if (!this.isAlive) return NEVER;
    const result = act();
    if (!isLast) return result;
    this.kill();
    return NEVER;
  }

  #files(): Files {
    const { files, nbd } = this.#machine;
    const unused = (): never => {
      throw new Error('the machine in memory does not do that');
    };
    const read = (path: string): Uint8Array | null => {
      const found = this.#machine.readFile(path, this.pid);
      return typeof found === 'string' ? new TextEncoder().encode(found) : found;
    };
    const list = (folder: string): string[] => {
      if (folder === '/sys/block') return ['vda', ...nbd.names()];
      return [...files.keys()]
        .filter((path) => path.startsWith(`${folder}/`))
        .map((path) => path.slice(folder.length + 1))
        .sort();
    };
    return {
      read: (path) => this.#call(() => read(path)),
      readStart: (path, limit) => this.#call(() => read(path)?.subarray(0, limit) ?? null),
      readLink: (path) => this.#call(() => (path === '/proc/self' ? String(this.pid) : null)),
      replace: (path, bytes) => this.#call(() => void files.set(path, bytes)),
      remove: (path) => this.#call(() => void files.delete(path)),
      makeFolder: () => this.#call(() => undefined),
      list: (path) => this.#call(() => list(path)),
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
    return { spawn: unused, adopt: unused, identify: (pid) => this.#call(() => identify(pid)) };
  }

  #network(): Network {
    const refuse = (): Promise<never> => Promise.reject(new Error('the machine in memory has no network'));
    const pair = (): StreamPair => {
      const made = new MemoryPair();
      this.#pairs.add(made);
      return made;
    };
    return { listen: refuse, connect: refuse, pair };
  }

  #kernel(): Kernel {
    const { nbd, attributes } = this.#machine;
    const exchange = (request: Uint8Array, descriptors: readonly number[], claim: string | undefined): Uint8Array => {
      if (claim !== undefined && nbd.isClaimed(claim)) throw new PfError('INVALID_STATE', `${claim} is busy`);
      const sockets = [...this.#pairs].filter((pair) => descriptors.includes(pair.descriptor));
      return nbd.answer(request, this.pid, sockets);
    };
    return {
      exchangeNetlink: (request, options = {}) => this.#call(() => exchange(request, options.descriptors ?? [], options.claim)),
      listenNetlink: (_group, onMessages) => nbd.listen((bytes) => this.isAlive && onMessages(bytes)),
      guardMemory: () => [],
      writeAttribute: (path, text) => this.#call(() => void attributes.set(path, text)),
    };
  }
}

/** A socket pair: the stream ends when neither the process nor the kernel holds the other end. */
export class MemoryPair implements StreamPair {
  static #lastDescriptor = 20;
  readonly descriptor = ++MemoryPair.#lastDescriptor;
  readonly stream = new MemoryStream(() => this.#onStreamClosed());
  /** The kernel's slot is told when our end closes. */
  onDead: () => void = () => {};
  isCut = false;
  #isHeldHere = true;
  #isHeldByKernel = false;

  get isDead(): boolean {
    return this.stream.isClosed || this.isCut;
  }

  closeDescriptor(): void {
    this.#isHeldHere = false;
    this.#endIfLetGo();
  }

  refuseInput(): void {
    this.isCut = true;
  }

  takeOver(): void {
    this.#isHeldByKernel = true;
  }

  /** The kernel closes its end. */
  letGo(): void {
    this.#isHeldByKernel = false;
    this.#endIfLetGo();
  }

  /** Its process has died: nobody is told any more. */
  abandon(): void {
    this.stream.handler = null;
    this.stream.destroy();
  }

  #endIfLetGo(): void {
    if (!this.#isHeldHere && !this.#isHeldByKernel) this.stream.close(null);
  }

  #onStreamClosed(): void {
    this.onDead();
  }
}

class MemoryStream implements Stream {
  readonly peer = 'kernel';
  handler: StreamHandler | null = null;
  readonly isCongested = false;
  readonly queuedBytes = 0;
  isClosed = false;
  readonly #onClosed: () => void;

  constructor(onClosed: () => void) {
    this.#onClosed = onClosed;
  }

  close(error: PfError | null): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#onClosed();
    setImmediate(() => this.handler?.onClosed(error));
  }

  end(): void {
    this.close(null);
  }

  destroy(): void {
    this.close(new PfError('CANCELLED', 'closed here'));
  }

  receiveInto(): void {}
  pauseReceiving(): void {}
  resumeReceiving(): void {}
  writeBytes(): void {}
  writeOwned(): void {}
  reserve(): number {
    throw new Error('the machine in memory asks for nothing');
  }
}
