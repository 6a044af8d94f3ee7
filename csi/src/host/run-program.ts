// Runs one system program: an argument list and never a shell, a deadline, bounded output, and its words in the error.
// Used by LinuxHost only. A program that waits for a sick device cannot even be killed: such a one is abandoned at its deadline, and
// until it ends the next program for the same subject (a device, a path) is refused, so that they do not pile up.
import { spawn, type ChildProcess } from 'node:child_process';
import { PfError } from '@pureflash/datapath/base';

export interface ProgramCall {
  readonly program: string;
  readonly args: readonly string[];
  /** What it works on, for the error text and to find a stuck predecessor. */
  readonly subject: string;
  readonly deadlineMs: number;
  /** Exit statuses that are answers, not failures. Default 0. */
  readonly accepted?: readonly number[];
  /** Which Debian package brings it. */
  readonly packageName?: string;
}

export interface ProgramResult {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const STDOUT_BYTES_MAX = 256 * 1024;
const STDERR_BYTES_MAX = 4096;
const KILL_GRACE_MS = 1000;

export class Programs {
  readonly #environment: Readonly<Record<string, string>>;
  /** By subject: programs that outlived their deadline and SIGKILL. */
  readonly #stuck = new Map<string, string>();

  constructor(path: string) {
    const folders = [...path.split(':').filter((folder) => folder !== ''), '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
    this.#environment = { PATH: [...new Set(folders)].join(':'), LC_ALL: 'C' };
  }

  async run(call: ProgramCall): Promise<ProgramResult> {
    const stuck = this.#stuck.get(call.subject);
    if (stuck !== undefined) {
      throw new PfError(
        'UNAVAILABLE',
        `cannot run ${call.program} on ${call.subject}: ${stuck} still hangs there; its device does not answer`,
      );
    }
    const result = await this.#runToEnd(call);
    if ((call.accepted ?? [0]).includes(result.status)) return result;
    throw programFailed(call.program, call.subject, result);
  }

  #runToEnd(call: ProgramCall): Promise<ProgramResult> {
    return new Promise((resolve, reject) => {
      const child = spawn(call.program, call.args, { stdio: ['ignore', 'pipe', 'pipe'], env: this.#environment, cwd: '/' });
      const stdout = new Head(child.stdout, STDOUT_BYTES_MAX);
      const stderr = new Head(child.stderr, STDERR_BYTES_MAX);
      let isOverdue = false;
      let grace: NodeJS.Timeout | undefined;
      const overdue = (): PfError =>
        new PfError(
          'TIMEOUT',
          `${call.program} on ${call.subject} did not end within ${call.deadlineMs / 1000} s: ${stderr.text() || 'it said nothing'}`,
        );
      const deadline = setTimeout(() => {
        isOverdue = true;
        child.kill('SIGKILL');
        grace = setTimeout(() => {
          this.#abandon(call, child);
          reject(overdue());
        }, KILL_GRACE_MS);
      }, call.deadlineMs);
      const ended = (): void => {
        clearTimeout(deadline);
        clearTimeout(grace);
      };
      child.once('error', (error) => {
        ended();
        reject(cannotStart(call, error));
      });
      child.once('close', (status, signal) => {
        ended();
        if (isOverdue) reject(overdue());
        else if (status === null)
          reject(new PfError('IO_ERROR', `${call.program} on ${call.subject} was ended by ${signal}: ${stderr.text()}`));
        else resolve({ status, stdout: stdout.bytes(), stderr: stderr.text() });
      });
    });
  }

  #abandon(call: ProgramCall, child: ChildProcess): void {
    this.#stuck.set(call.subject, `${call.program} (process ${child.pid})`);
    child.once('exit', () => this.#stuck.delete(call.subject));
    child.unref();
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}

export function programFailed(program: string, subject: string, result: ProgramResult): PfError {
  return new PfError('IO_ERROR', `${program} on ${subject} failed with status ${result.status}: ${wordsOf(result)}`);
}

function wordsOf(result: ProgramResult): string {
  const words = result.stderr !== '' ? result.stderr : result.stdout.toString('utf8').slice(0, STDERR_BYTES_MAX).trim();
  return words === '' ? 'it said nothing' : words.replaceAll(/\s*\n\s*/g, '; ');
}

function cannotStart(call: ProgramCall, error: Error): PfError {
  const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  if (!isMissing) return new PfError('IO_ERROR', `cannot start ${call.program} for ${call.subject}`, { cause: error });
  const advice = call.packageName === undefined ? '' : `: install ${call.packageName}`;
  return new PfError('UNSUPPORTED', `cannot run ${call.program} for ${call.subject}: it is not on this machine${advice}`, {
    cause: error,
  });
}

/** The first bytes of an output; the rest is read and dropped, so that nobody waits for us. */
class Head {
  readonly #limitBytes: number;
  readonly #pieces: Buffer[] = [];
  #sizeBytes = 0;

  constructor(stream: NodeJS.ReadableStream, limitBytes: number) {
    this.#limitBytes = limitBytes;
    stream.on('data', (piece: Buffer) => {
      const room = this.#limitBytes - this.#sizeBytes;
      if (room <= 0) return;
      this.#pieces.push(piece.subarray(0, room));
      this.#sizeBytes += Math.min(room, piece.length);
    });
  }

  bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  text(): string {
    return this.bytes().toString('utf8').trim();
  }
}
