// Child processes on node:child_process. Children that are not detached are ended with their world; detached and adopted ones are left.
// Node reaps a child in its loop, so the id of an own child cannot be used again before `exit` was told. For adopted ones the
// identity is compared right before the signal: what remains is the instant between the two system calls.
import { spawn, type ChildProcess } from 'node:child_process';
import { open, rename, stat } from 'node:fs/promises';
import { isSameProcess, type Child, type ExitStatus, type ProcessIdentity, type Processes } from '../processes.ts';
import type { SignalName, SpawnOptions } from '../processes.ts';
import { readIdentity } from './process-stat.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

const KILL_AFTER_MS = 5000;
const WATCH_PERIOD_MS = 100;

export class NodeProcesses implements Processes {
  readonly #attached = new Set<NodeChild>();
  readonly #adopted = new Set<AdoptedChild>();
  #watch: NodeJS.Timeout | null = null;

  async spawn(program: string, args: readonly string[], options: SpawnOptions): Promise<Child> {
    const isDetached = options.isDetached ?? false;
    try {
      if (options.rotateLogAtBytes !== undefined) await rotateLog(options.logPath, options.rotateLogAtBytes);
      const log = await open(options.logPath, 'a');
      try {
        const process_ = spawn(program, args, {
          stdio: ['ignore', log.fd, log.fd],
          env: { ...process.env, ...options.environment },
          detached: isDetached,
          ...(options.workingFolder === undefined ? {} : { cwd: options.workingFolder }),
        });
        const child = new NodeChild(process_, isDetached);
        await child.started;
        if (isDetached) process_.unref();
        else this.#track(child);
        return child;
      } finally {
        await log.close();
      }
    } catch (error) {
      throw toPfError(error, `cannot start ${program}`);
    }
  }

  async identify(pid: number): Promise<ProcessIdentity | null> {
    return readIdentity(pid);
  }

  async adopt(identity: ProcessIdentity): Promise<Child | null> {
    const child = new AdoptedChild(identity);
    if (!child.isAlive) return null;
    this.#adopted.add(child);
    this.#watch ??= setInterval(() => this.#lookAtAdopted(), WATCH_PERIOD_MS).unref();
    return child;
  }

  async close(): Promise<void> {
    this.#adopted.clear();
    this.#stopWatching();
    const children = [...this.#attached];
    for (const child of children) child.signal('SIGTERM');
    const timer = setTimeout(() => {
      for (const child of this.#attached) child.signal('SIGKILL');
    }, KILL_AFTER_MS);
    await Promise.all(children.map((child) => child.exited));
    clearTimeout(timer);
  }

  #track(child: NodeChild): void {
    this.#attached.add(child);
    void child.exited.then(() => this.#attached.delete(child));
  }

  #lookAtAdopted(): void {
    for (const child of this.#adopted) {
      if (child.isAlive) continue;
      this.#adopted.delete(child);
      child.tellExit();
    }
    this.#stopWatching();
  }

  #stopWatching(): void {
    if (this.#adopted.size > 0 || this.#watch === null) return;
    clearInterval(this.#watch);
    this.#watch = null;
  }
}

class NodeChild implements Child {
  readonly started: Promise<void>;
  readonly exited: Promise<ExitStatus>;
  readonly #process: ChildProcess;
  readonly #identity: ProcessIdentity | null;
  readonly #isDetached: boolean;

  constructor(process_: ChildProcess, isDetached: boolean) {
    this.#process = process_;
    this.#isDetached = isDetached;
    this.started = new Promise((resolve, reject) => {
      process_.once('spawn', resolve);
      process_.once('error', reject);
    });
    this.exited = new Promise((resolve) => process_.once('exit', (code, signal) => resolve({ code, signal })));
    // In the turn of the spawn it cannot have been reaped: if it has ended already, its zombie still tells when it started.
    this.#identity = process_.pid === undefined ? null : readIdentity(process_.pid, true);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get identity(): ProcessIdentity {
    return this.#identity ?? { pid: this.pid, startTicks: -1, bootId: '' };
  }

  signal(name: SignalName): void {
    this.#process.kill(name);
  }

  endGroup(): void {
    if (this.#isDetached) killGroup(this.identity);
  }
}

/** A process with another parent: its end is seen by looking. */
class AdoptedChild implements Child {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<ExitStatus>;
  readonly tellExit: () => void;

  constructor(identity: ProcessIdentity) {
    this.identity = identity;
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    this.exited = promise;
    this.tellExit = () => resolve({ code: null, signal: null });
  }

  get pid(): number {
    return this.identity.pid;
  }

  get isAlive(): boolean {
    const found = readIdentity(this.pid);
    return found !== null && isSameProcess(found, this.identity);
  }

  signal(name: SignalName): void {
    if (this.isAlive) kill(this.pid, name);
  }

  endGroup(): void {
    killGroup(this.identity);
  }
}

/** While a group has members the kernel gives its number to no new process: a process with this id and another start is no leader of ours. */
function killGroup(identity: ProcessIdentity): void {
  const found = readIdentity(identity.pid, true);
  if (found === null || isSameProcess(found, identity)) kill(-identity.pid, 'SIGKILL');
}

function kill(target: number, name: SignalName): void {
  try {
    process.kill(target, name);
  } catch (error) {
    if (systemCodeOf(error) !== 'ESRCH') throw toPfError(error, `cannot send ${name} to ${target}`);
  }
}

async function rotateLog(path: string, limitBytes: number): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found !== null && found.size >= limitBytes) await rename(path, `${path}.1`);
}
