// Child processes on node:child_process. Children that are not detached are ended with their world.
import { spawn, type ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import type { Child, ExitStatus, Processes, SpawnOptions } from '../processes.ts';
import { toPfError } from './system-error.ts';

const KILL_AFTER_MS = 5000;

export class NodeProcesses implements Processes {
  readonly #attached = new Set<NodeChild>();

  async spawn(program: string, args: readonly string[], options: SpawnOptions): Promise<Child> {
    const isDetached = options.isDetached ?? false;
    try {
      const log = await open(options.logPath, 'a');
      try {
        const process_ = spawn(program, args, {
          stdio: ['ignore', log.fd, log.fd],
          env: { ...process.env, ...options.environment },
          detached: isDetached,
          ...(options.workingFolder === undefined ? {} : { cwd: options.workingFolder }),
        });
        const child = new NodeChild(process_);
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

  async close(): Promise<void> {
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
}

class NodeChild implements Child {
  readonly started: Promise<void>;
  readonly exited: Promise<ExitStatus>;
  readonly #process: ChildProcess;

  constructor(process_: ChildProcess) {
    this.#process = process_;
    this.started = new Promise((resolve, reject) => {
      process_.once('spawn', resolve);
      process_.once('error', reject);
    });
    this.exited = new Promise((resolve) => process_.once('exit', (code, signal) => resolve({ code, signal })));
  }

  get pid(): number {
    return this.#process.pid!;
  }

  signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGINT'): void {
    this.#process.kill(name);
  }
}
