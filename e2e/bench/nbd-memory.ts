// How fast the NBD server is beside others: nbd-serve memory: against nbdkit's memory plugin and qemu-nbd on a raw file in
// /dev/shm, through fio's nbd engine over unix sockets, 4 KiB random, depths 1 and 32. Rounds are interleaved, with the order
// of the servers rotated, and a ratio is taken within a round: the machine's other work hits all alike.
// Run alone: node e2e/bench/nbd-memory.ts [ROUNDS] [SECONDS]
import { mkdtempSync, openSync, closeSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdServeProcess } from '../interop/nbd-serve-process.ts';
import { runFio } from '../local/fio.ts';
import type { BenchRow } from './bench-row.ts';
import { startPeer, type RunningServer } from './peers.ts';
import { Rounds, measured, type Measured, type Question } from './rounds.ts';

const EXPORT_SIZE = '512m';
const OURS = 'nbd-serve';

export interface NbdBenchOptions {
  readonly rounds?: number;
  /** Of one measurement; whole. */
  readonly seconds?: number;
  /** Flags for Node itself, such as --cpu-prof, and for nbd-serve. */
  readonly nodeFlags?: string[];
  readonly serveFlags?: string[];
  readonly cells?: readonly NbdCell[];
  readonly say?: (text: string) => void;
}

export interface NbdCell {
  readonly pattern: 'randread' | 'randwrite';
  readonly depth: number;
  readonly connections: number;
}

const CELLS: readonly NbdCell[] = [1, 32].flatMap((depth) => {
  return (['randread', 'randwrite'] as const).map((pattern) => ({ pattern, depth, connections: 1 }));
});

export async function benchNbdMemory(options: NbdBenchOptions = {}): Promise<BenchRow[]> {
  const { rounds = 7, seconds = 2, cells = CELLS } = options;
  const folder = mkdtempSync(join(tmpdir(), 'nbd-bench-'));
  const servers: RunningServer[] = [];
  try {
    servers.push(await startOurs(options), await startNbdkit(folder), await startQemu(folder));
    for (const { uri } of servers) await warmUp(uri);
    const rows: BenchRow[] = [];
    for (const cell of cells) {
      const found = new Rounds(rounds, [question(cell, servers)]);
      await found.measure((index) => measureRound(servers, cell, seconds, index));
      options.say?.(found.describe(nameOf(cell)));
      rows.push(...found.rows());
    }
    return rows;
  } finally {
    for (const server of servers) await server.stop();
    rmSync(folder, { recursive: true });
  }
}

async function measureRound(
  servers: readonly RunningServer[],
  cell: NbdCell,
  seconds: number,
  index: number,
): Promise<Map<string, Measured>> {
  const order = servers.map((_, at) => servers[(at + index) % servers.length]!);
  if (index % 2 === 1) order.reverse();
  const round = new Map<string, Measured>();
  for (const { name, uri } of order) round.set(name, await measured(() => measure(uri, cell, seconds)));
  return round;
}

function question(cell: NbdCell, servers: readonly RunningServer[]): Question {
  const names = servers.map(({ name }) => name).filter((name) => name !== OURS);
  return { question: nameOf(cell), unit: 'IOPS', ours: OURS, peers: Object.fromEntries(names.map((name) => [name, name])) };
}

const nameOf = ({ pattern, depth, connections }: NbdCell): string =>
  `NBD memory export, 4 KiB ${pattern}, depth ${depth}${connections > 1 ? `, ${connections} connections` : ''}`;

async function measure(uri: string, cell: NbdCell, seconds: number): Promise<number> {
  const { pattern, depth, connections } = cell;
  const extra = connections === 1 ? [] : [`--numjobs=${connections}`, '--group_reporting'];
  const result = await runFio({ uri, pattern, depth, seconds, size: EXPORT_SIZE, extra });
  if (result.exitCode !== 0 || result.errors !== 0) throw new Error(`fio failed on ${uri}: ${result.output.slice(0, 800)}`);
  return result.iops;
}

/** Every block is there, and a server that compiles as it runs has done so. */
async function warmUp(uri: string): Promise<void> {
  for (const job of [
    { pattern: 'write', blockSize: '256k', depth: 8 },
    { pattern: 'randwrite', seconds: 1 },
    { pattern: 'randread', seconds: 1 },
  ]) {
    const { exitCode, output } = await runFio({ uri, size: EXPORT_SIZE, ...job });
    if (exitCode !== 0) throw new Error(`fio cannot warm up ${uri}: ${output.slice(0, 800)}`);
  }
}

async function startOurs({ nodeFlags = [], serveFlags = [] }: NbdBenchOptions): Promise<RunningServer> {
  const server = await NbdServeProcess.start(`memory:${EXPORT_SIZE}`, { nodeFlags, flags: serveFlags });
  return { name: OURS, uri: server.uri, stop: () => server.stop() };
}

async function startNbdkit(folder: string): Promise<RunningServer> {
  const socket = join(folder, 'nbdkit.sock');
  return startPeer('nbdkit', ['-f', '-U', socket, 'memory', EXPORT_SIZE], socket, async () => {});
}

async function startQemu(folder: string): Promise<RunningServer> {
  const socket = join(folder, 'qemu.sock');
  const imageFolder = mkdtempSync('/dev/shm/nbd-bench-');
  const image = join(imageFolder, 'disk.img');
  closeSync(openSync(image, 'w'));
  truncateSync(image, 512 * 1024 * 1024);
  const args = ['-k', socket, '-f', 'raw', '-t', '-e', '8', '--cache=writeback', image];
  return startPeer('qemu-nbd', args, socket, async () => rmSync(imageFolder, { recursive: true }));
}

if (import.meta.main) {
  const [rounds = '7', seconds = '2'] = process.argv.slice(2);
  for (const row of await benchNbdMemory({ rounds: Number(rounds), seconds: Number(seconds) })) {
    const ratios = Object.entries(row.ratio).map(([name, ratio]) => `${ratio.toFixed(2)}x ${name} (${row.peers[name]})`);
    console.log(`${row.question}: ${row.ours} ${row.unit}, ${ratios.join(', ')}`);
  }
}
