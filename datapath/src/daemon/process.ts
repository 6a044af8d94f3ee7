// The process of a service: started, recorded, found again, ended. Called by service.ts, one object a service.
// Invariants: starting and stopping never overlap; a process is started only when none of this service lives; the record goes
// only after the process has gone.
// Crash windows of start(): the intent is on disk before the process is; who dies between the spawn and the record leaves a process
// that is found again by its control socket.
import { assert } from '../base/assert.ts';
import { PfError } from '../base/errors.ts';
import type { Child, ExitStatus, ProcessIdentity } from '../world/processes.ts';
import type { World } from '../world/world.ts';
import type { ConfigHashes } from './config-change.ts';
import { askPid } from './connection.ts';
import { TIMED_OUT, within } from './deadline.ts';
import { Mutex } from './mutex.ts';
import { RECORD_VERSION, type ProcessRecord, type RecordFolder } from './process-record.ts';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Launch {
  readonly command: Command;
  readonly config: ConfigHashes;
}

export interface DaemonProcessOptions {
  readonly name: string;
  readonly socketPath: string;
  readonly logPath: string;
  readonly rotateLogAtBytes: number;
  /** How long SIGTERM may take before SIGKILL. */
  readonly termMs: number;
  /** How long SIGKILL may take before stop() gives up waiting. */
  readonly killMs: number;
  /** How long a process whose record is missing may take to say its id at its socket. */
  readonly askMs: number;
}

/** What a process runs with that no record tells of: equal to nothing, so it is replaced by one that is known. */
const UNKNOWN_CONFIG: ConfigHashes = { whole: '', restartPart: '' };

export class DaemonProcess {
  readonly #world: World;
  readonly #records: RecordFolder;
  readonly #options: DaemonProcessOptions;
  readonly #mutex = new Mutex();
  #child: Child | null = null;
  #record: ProcessRecord | null = null;
  #exited: Promise<ExitStatus> | null = null;

  constructor(world: World, records: RecordFolder, options: DaemonProcessOptions) {
    this.#world = world;
    this.#records = records;
    this.#options = options;
  }

  /** Of the process that lives, as far as is known. */
  get identity(): ProcessIdentity | null {
    return this.#child?.identity ?? null;
  }

  /** Resolves when the process that was started or adopted last has ended; it may have by now. */
  exited(): Promise<ExitStatus> {
    assert(this.#exited !== null, `${this.#options.name} has never had a process`);
    return this.#exited;
  }

  /** Resolves when nothing is being started or stopped. */
  async idle(): Promise<void> {
    await this.#mutex.run(async () => {});
  }

  /** Looks at the machine, not at what is remembered. */
  async isRunning(): Promise<boolean> {
    if (this.#child === null) return false;
    const { identity } = this.#child;
    const found = await this.#world.processes.identify(identity.pid);
    return found !== null && found.startTicks === identity.startTicks && found.bootId === identity.bootId;
  }

  /** Takes over a process of an earlier manager. Null when there is none; what was recorded of it is gone then. */
  adopt(): Promise<ProcessRecord | null> {
    return this.#mutex.run(() => this.#adopt());
  }

  /** Starts a process, unless one lives. Returns the record of the one that lives now, which may run with another configuration. */
  start(launch: Launch): Promise<ProcessRecord> {
    return this.#mutex.run(async () => {
      if (this.#child !== null && this.#record !== null) return this.#record;
      return (await this.#adopt()) ?? (await this.#spawn(launch));
    });
  }

  /** The process runs with another configuration from now on. */
  amend(config: ConfigHashes): Promise<void> {
    return this.#mutex.run(async () => {
      if (this.#record === null) return;
      this.#record = { ...this.#record, config };
      await this.#records.write(this.#record);
    });
  }

  /**
   * SIGTERM, SIGKILL after a limit, and what is left of its group; the record goes last. Null when there was no process.
   * Error TIMEOUT when even SIGKILL does not end it: the record stays, and nothing is started beside it.
   */
  stop(signal?: AbortSignal): Promise<ExitStatus | null> {
    return this.#mutex.run(async () => {
      const status = this.#child === null ? null : await this.#end(this.#child, signal);
      await this.#records.remove(this.#options.name);
      this.#record = null;
      return status;
    });
  }

  async #adopt(): Promise<ProcessRecord | null> {
    if (this.#child !== null) return this.#record;
    const { name } = this.#options;
    const record = await this.#records.read(name);
    const identity = record?.identity ?? (await this.#identifyBySocket());
    const child = identity === null ? null : await this.#world.processes.adopt(identity);
    if (child === null) {
      if (record !== null) await this.#records.remove(name);
      return null;
    }
    const known = record ?? this.#newRecord([], UNKNOWN_CONFIG, child.identity);
    this.#keep(child, { ...known, identity: child.identity });
    if (record?.identity === null || record === null) await this.#records.write(this.#record!);
    return this.#record;
  }

  async #identifyBySocket(): Promise<ProcessIdentity | null> {
    const pid = await askPid(this.#world, this.#options.socketPath, this.#options.name, this.#options.askMs);
    return pid === null ? null : this.#world.processes.identify(pid);
  }

  async #spawn({ command, config }: Launch): Promise<ProcessRecord> {
    const line = [command.program, ...command.args];
    await this.#records.write(this.#newRecord(line, config, null));
    const child = await this.#world.processes
      .spawn(command.program, command.args, {
        logPath: this.#options.logPath,
        rotateLogAtBytes: this.#options.rotateLogAtBytes,
        isDetached: true,
        ...(command.environment === undefined ? {} : { environment: command.environment }),
      })
      .catch(async (error: unknown) => {
        await this.#records.remove(this.#options.name);
        throw error;
      });
    const record = this.#newRecord(line, config, child.identity);
    try {
      await this.#records.write(record);
    } catch (error) {
      await this.#end(child);
      await this.#records.remove(this.#options.name);
      throw error;
    }
    this.#keep(child, record);
    return record;
  }

  #newRecord(command: readonly string[], config: ConfigHashes, identity: ProcessIdentity | null): ProcessRecord {
    const { name, socketPath } = this.#options;
    return { version: RECORD_VERSION, name, identity, command, config, socketPath };
  }

  #keep(child: Child, record: ProcessRecord): void {
    this.#child = child;
    this.#record = record;
    this.#exited = child.exited;
    void child.exited.then(() => {
      child.endGroup();
      if (this.#child === child) this.#child = null;
    });
  }

  async #end(child: Child, signal?: AbortSignal): Promise<ExitStatus> {
    const { name, termMs, killMs } = this.#options;
    const { clock } = this.#world;
    child.signal('SIGTERM');
    child.signal('SIGCONT');
    let status = await within(clock, termMs, child.exited, signal);
    if (status === TIMED_OUT) {
      this.#world.log.warn(`${name} (process ${child.pid}) did not end within ${termMs} ms of SIGTERM: SIGKILL`);
      child.signal('SIGKILL');
      status = await within(clock, killMs, child.exited, signal);
    }
    if (status === TIMED_OUT)
      throw new PfError(
        'TIMEOUT',
        `cannot end ${name}: process ${child.pid} is there ${killMs} ms after SIGKILL; see what it waits for in /proc/${child.pid}/stack`,
      );
    child.endGroup();
    return status;
  }
}
