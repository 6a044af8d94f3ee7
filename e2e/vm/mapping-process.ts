// The process in the guest that maps a file as a block device and serves it, told what to do line by line; see serve-mapping.ts.
import { spawn, type ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = resolve(import.meta.dirname, '../..');
const PROGRAM = join(ROOT, 'datapath/src/attach/nbd/testing/serve-mapping.ts');

export interface Answer {
  readonly command?: string;
  readonly ms?: number;
  readonly devicePath?: string | null;
  readonly sizeBytes?: number;
  readonly removed?: readonly string[];
  readonly error?: string;
  readonly message?: string;
  readonly unavailable?: string | null;
  readonly ports?: string;
}

export interface MappingProcessOptions {
  readonly folder: string;
  readonly name: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly connections?: number;
  readonly timeoutS?: number;
}

export class MappingProcess {
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: Answer) => void)[] = [];
  readonly exited: Promise<void>;
  /** "libuv" or "io_uring". */
  ports = '';

  private constructor(options: MappingProcessOptions) {
    const { folder, name, file, sizeBytes, connections = 1, timeoutS = 0 } = options;
    const args = [folder, name, file, sizeBytes, connections, timeoutS].map(String);
    this.#child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((resolve) => this.#child.once('close', () => resolve()));
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line) as Answer));
    void this.exited.then(() => this.#waiting.splice(0).forEach((answer) => answer({ error: 'ENDED' })));
  }

  /** Resolves when it is ready for the first command. */
  static async start(options: MappingProcessOptions): Promise<MappingProcess> {
    const started = new MappingProcess(options);
    const ready = await started.#next();
    if (ready.error !== undefined || ready.unavailable)
      throw new Error(`the mapping process cannot work: ${JSON.stringify(ready)}`);
    started.ports = ready.ports ?? '';
    return started;
  }

  async ask(command: string): Promise<Answer> {
    const answer = this.#next();
    this.#child.stdin!.write(`${command}\n`);
    return answer;
  }

  /** A command that must succeed. */
  async do(command: string): Promise<Answer> {
    const answer = await this.ask(command);
    if (answer.error !== undefined) throw new Error(`${command}: ${answer.error}: ${answer.message}`);
    return answer;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  async exit(): Promise<void> {
    this.#child.stdin!.write('exit\n');
    await this.exited;
  }

  #next(): Promise<Answer> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
