// nbd-serve as a child process on a unix socket in a folder of its own, for tests and benchmarks.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROGRAM = new URL('../../datapath/src/bin/nbd-serve.ts', import.meta.url).pathname;
const START_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 10_000;

export class NbdServeProcess {
  readonly folder: string;
  readonly socketPath: string;
  readonly uri: string;
  /** The line that it printed when it was ready. */
  readonly readyLine: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<string>;

  private constructor(child: ChildProcess, exited: Promise<string>, folder: string, exportName: string, readyLine: string) {
    this.#child = child;
    this.#exited = exited;
    this.folder = folder;
    this.readyLine = readyLine;
    this.socketPath = socketIn(folder);
    this.uri = `nbd+unix:///${exportName}?socket=${this.socketPath}`;
  }

  /** `source` as nbd-serve takes it; `nodeFlags` go to Node itself. */
  static async start(
    source: string,
    options: { flags?: string[]; nodeFlags?: string[]; exportName?: string } = {},
  ): Promise<NbdServeProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'nbd-serve-'));
    const { flags = [], nodeFlags = [], exportName = '' } = options;
    const args = [...nodeFlags, PROGRAM, source, '--unix', socketIn(folder), '--export', exportName, ...flags];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let errorText = '';
    child.stderr.on('data', (piece: Buffer) => (errorText += piece.toString()));
    const exited = new Promise<string>((resolve) => child.once('exit', (code, signal) => resolve(signal ?? `exit ${code}`)));
    const ready = new Promise<string>((resolve) =>
      child.stdout.once('data', (piece: Buffer) => resolve(piece.toString().trimEnd())),
    );
    const timer = setTimeout(() => child.kill('SIGKILL'), START_DEADLINE_MS);
    const readyLine = await Promise.race([ready, exited.then(() => '')]);
    clearTimeout(timer);
    if (readyLine === '') {
      rmSync(folder, { recursive: true });
      throw new Error(`nbd-serve ${source} did not start: ${errorText}`);
    }
    return new NbdServeProcess(child, exited, folder, exportName, readyLine);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** SIGTERM; answers how it ended, "exit 0" when all is well. Removes the folder. */
  async stop(): Promise<string> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_DEADLINE_MS);
    const how = await this.#exited;
    clearTimeout(timer);
    rmSync(this.folder, { recursive: true, force: true });
    return how;
  }
}

function socketIn(folder: string): string {
  return join(folder, 'nbd.sock');
}
