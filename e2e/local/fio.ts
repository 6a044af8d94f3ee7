// fio as a child process: real load with checked data, its JSON read into the few numbers that tests and tables need.
import { spawn } from 'node:child_process';

export interface FioOptions {
  /** An NBD export, or `file`: a file or block device, past the page cache. */
  readonly uri?: string;
  readonly file?: string;
  /** fio's words: randwrite, randread, read, write. */
  readonly pattern: string;
  readonly blockSize?: string;
  readonly depth?: number;
  /** Whole seconds; absent: one pass over `size`. */
  readonly seconds?: number;
  readonly size: string;
  readonly isVerified?: boolean;
  readonly extra?: readonly string[];
}

export interface FioResult {
  readonly exitCode: number;
  readonly errors: number;
  readonly ios: number;
  readonly iops: number;
  /** Longest completion of any request, ms. */
  readonly longestMs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly output: string;
}

const EXTRA_PATIENCE_S = 60;

export async function runFio(options: FioOptions): Promise<FioResult> {
  const args = [
    '--name=job',
    ...(options.file === undefined
      ? ['--ioengine=nbd', `--uri=${options.uri}`]
      : ['--ioengine=libaio', '--direct=1', `--filename=${options.file}`]),
    `--rw=${options.pattern}`,
    `--bs=${options.blockSize ?? '4k'}`,
    `--iodepth=${options.depth ?? 32}`,
    `--size=${options.size}`,
    '--thread',
    '--output-format=json',
    ...(options.seconds === undefined ? [] : [`--runtime=${options.seconds}`, '--time_based']),
    ...(options.isVerified === true
      ? ['--verify=crc32c', '--verify_fatal=1', '--verify_backlog=4096', '--verify_state_save=0']
      : []),
    ...(options.extra ?? []),
  ];
  const child = spawn('fio', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errorText = '';
  child.stdout.on('data', (piece: Buffer) => (output += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => (errorText += piece.toString()));
  // fio does not listen to SIGTERM while a server is silent.
  const timer = setTimeout(() => child.kill('SIGKILL'), ((options.seconds ?? 120) + EXTRA_PATIENCE_S) * 1000);
  const exitCode = await new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? -1)));
  clearTimeout(timer);
  return { ...readReport(output), exitCode, output: output + errorText };
}

interface Direction {
  readonly total_ios: number;
  readonly iops: number;
  readonly clat_ns: { readonly max: number; readonly percentile?: Readonly<Record<string, number>> };
}

function readReport(output: string): Omit<FioResult, 'exitCode' | 'output'> {
  const start = output.indexOf('{');
  if (start < 0) return { errors: 1, ios: 0, iops: 0, longestMs: NaN, p50Us: NaN, p99Us: NaN };
  const report = JSON.parse(output.slice(start, output.lastIndexOf('}') + 1)) as {
    jobs: readonly [{ error: number; total_err?: number; read: Direction; write: Direction }];
  };
  const job = report.jobs[0];
  const main = job.write.total_ios > 0 ? job.write : job.read;
  return {
    errors: job.error + (job.total_err ?? 0),
    ios: job.read.total_ios + job.write.total_ios,
    iops: main.iops,
    longestMs: Math.max(job.read.clat_ns.max, job.write.clat_ns.max) / 1e6,
    p50Us: (main.clat_ns.percentile?.['50.000000'] ?? NaN) / 1000,
    p99Us: (main.clat_ns.percentile?.['99.000000'] ?? NaN) / 1000,
  };
}
