// Other people's NBD tools as child processes with a deadline. A tool that is missing is an error that names its package,
// never a test that passes by not running.
import { spawn } from 'node:child_process';

const DEBIAN_PACKAGES: Readonly<Record<string, string>> = {
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  nbdkit: 'nbdkit',
  fio: 'fio',
  mariadb: 'mariadb-client',
  '/usr/bin/python3': 'python3 and python3-libnbd',
};

export interface ToolRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const DEADLINE_MS = 60_000;

/** Runs a tool to its end, whatever its exit code; kills it after the deadline. */
export function runTool(name: string, args: readonly string[], deadlineMs = DEADLINE_MS): Promise<ToolRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, deadlineMs);
    child.stdout.on('data', (piece: Buffer) => out.push(piece));
    child.stderr.on('data', (piece: Buffer) => err.push(piece));
    child.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(error.code === 'ENOENT' ? missing(name) : error);
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      const stderr = Buffer.concat(err).toString();
      if (isLate) reject(new Error(`${name} ${args.join(' ')} did not end within ${deadlineMs / 1000} s: ${stderr}`));
      else resolve({ exitCode: code ?? -1, stdout: Buffer.concat(out).toString(), stderr });
    });
  });
}

/** The standard output of a tool that must succeed. */
export async function outputOf(name: string, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runTool(name, args);
  if (exitCode !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${exitCode}: ${stderr}${stdout}`);
  return stdout;
}

export function missing(name: string): Error {
  const packages = DEBIAN_PACKAGES[name] ?? name;
  return new Error(`${name} is not installed: install Debian's ${packages}, this test cannot run without`);
}
