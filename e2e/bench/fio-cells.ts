// The cells that the volume questions are asked in: block size, depth, direction; and how one is measured with fio, on a raw
// file (O_DIRECT, writes also O_DSYNC: our acknowledgement means durable) or through an NBD export.
import { runFio } from '../local/fio.ts';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Cell {
  readonly pattern: 'randread' | 'randwrite';
  readonly blockSize: '4k' | '128k' | '1m';
  readonly depth: 1 | 32;
}

export const SPAN = '1g';

export const CELLS: readonly Cell[] = (['4k', '128k', '1m'] as const).flatMap((blockSize) =>
  ([1, 32] as const).flatMap((depth) => (['randread', 'randwrite'] as const).map((pattern) => ({ pattern, blockSize, depth }))),
);

export const cellName = (cell: Cell): string => `${cell.pattern.slice(4)} ${cell.blockSize} QD${cell.depth}`;

/** A file as big as the span, its blocks written, beside the stores' disks. */
export async function fillRawFile(path: string): Promise<void> {
  await run('fio', [
    '--name=fill',
    `--filename=${path}`,
    '--rw=write',
    '--bs=1m',
    `--size=${SPAN}`,
    '--direct=1',
    '--ioengine=io_uring',
    '--iodepth=8',
    '--end_fsync=1',
  ]);
}

export async function fillExport(uri: string): Promise<void> {
  const filled = await runFio({ uri, pattern: 'write', blockSize: '1m', depth: 8, size: SPAN });
  if (filled.exitCode !== 0) throw new Error(`cannot fill ${uri}: ${filled.output.slice(0, 500)}`);
}

export async function rawIops(path: string, cell: Cell, seconds: number): Promise<number> {
  const { stdout } = await run('fio', [
    '--name=raw',
    `--filename=${path}`,
    '--ioengine=io_uring',
    '--direct=1',
    ...(cell.pattern === 'randwrite' ? ['--sync=dsync'] : []),
    `--rw=${cell.pattern}`,
    `--bs=${cell.blockSize}`,
    `--iodepth=${cell.depth}`,
    `--size=${SPAN}`,
    `--runtime=${seconds}`,
    '--time_based',
    '--output-format=json',
  ]);
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { jobs: [{ read: { iops: number }; write: { iops: number } }] };
  return report.jobs[0].read.iops + report.jobs[0].write.iops;
}

export async function exportIops(uri: string, cell: Cell, seconds: number): Promise<number> {
  const result = await runFio({ uri, pattern: cell.pattern, blockSize: cell.blockSize, depth: cell.depth, size: SPAN, seconds });
  if (result.exitCode !== 0 || result.errors !== 0)
    throw new Error(`fio failed on ${cellName(cell)}: ${result.output.slice(0, 800)}`);
  return result.iops;
}
