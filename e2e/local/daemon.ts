// One daemon of a local cluster as a child process: started, watched, paused, killed, started again. Its output goes to a log
// file in the cluster's folder. Called by local-cluster.ts, which owns it.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type StopSignal = 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT';

const TERM_PATIENCE_MS = 10_000;

export class Daemon {
  readonly name: string;
  readonly logPath: string;
  readonly #command: readonly string[];
  #child: ChildProcess | null = null;
  #exited: Promise<string> = Promise.resolve('never started');
  #isWanted = false;

  /** `command`: the program and its arguments. */
  constructor(name: string, folder: string, command: readonly string[]) {
    this.name = name;
    this.logPath = join(folder, `${name}.log`);
    this.#command = command;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  /** True when it has ended although nobody told it to. */
  get hasDied(): boolean {
    return this.#isWanted && this.#child === null;
  }

  /** Resolves with how it ended: "exit 0", "SIGKILL". */
  get exited(): Promise<string> {
    return this.#exited;
  }

  start(): void {
    if (this.#child !== null) throw new Error(`${this.name} runs already, as process ${this.#child.pid}`);
    this.#isWanted = true;
    const log = openSync(this.logPath, 'a');
    const child = spawn(this.#command[0]!, this.#command.slice(1), { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => {
        this.#child = null;
        resolve(signal ?? `exit ${code}`);
      });
    });
  }

  signal(name: StopSignal): void {
    this.#child?.kill(name);
  }

  async kill(): Promise<void> {
    this.#isWanted = false;
    this.signal('SIGKILL');
    await this.#exited;
  }

  /** SIGTERM, and SIGKILL when that does not help; returns how it ended. */
  async stop(): Promise<string> {
    this.#isWanted = false;
    this.signal('SIGTERM');
    this.signal('SIGCONT');
    const timer = setTimeout(() => this.signal('SIGKILL'), TERM_PATIENCE_MS);
    const how = await this.#exited;
    clearTimeout(timer);
    return how;
  }

  /** The last lines it said, for error messages. */
  logTail(lines = 15): string {
    return readFileSync(this.logPath, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }
}
