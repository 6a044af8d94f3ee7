// How fast a replicated volume is beside the raw file: one replica over TCP, one replica in the front's own process, three replicas;
// and what a server that does nothing else keeps of that file: qemu-nbd on it, with one process like ours.
// Every round measures all of them in every cell, one after the other; a ratio is taken within a round, and the median over
// rounds. Each export is warmed up first: its compiler needs some thousand requests.
import { join, resolve } from 'node:path';
import { LocalCluster, ownSubnet } from '../local/local-cluster.ts';
import type { BenchRow } from './bench-row.ts';
import { startQemuOnDisk } from './peers.ts';
import { CELLS, SPAN, cellName, exportIops, fillExport, fillRawFile, median, rawIops, type Cell } from './fio-cells.ts';

export interface VolumeBenchOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly cells?: readonly Cell[];
  readonly say: (text: string) => void;
}

interface Contender {
  readonly name: string;
  readonly iops: (cell: Cell) => Promise<number>;
}

export async function benchVolumes(options: VolumeBenchOptions): Promise<BenchRow[]> {
  const remote = new LocalCluster({ folder: join(options.folder, 'tcp'), subnet: ownSubnet(), diskSize: '6G' });
  const local = new LocalCluster({ folder: join(options.folder, 'local'), subnet: nextSubnet(), storeCount: 0 });
  try {
    return await measure(options, remote, local);
  } finally {
    await remote.stop();
    await local.stop();
  }
}

async function measure(options: VolumeBenchOptions, remote: LocalCluster, local: LocalCluster): Promise<BenchRow[]> {
  const rawPath = join(options.folder, 'raw.img');
  options.say(`filling a raw file and three volumes with ${SPAN}iB each`);
  await remote.start();
  await local.start();
  await fillRawFile(rawPath);
  const qemu = await startQemuOnDisk(options.folder, resolve(rawPath));
  try {
    return await measureBeside(options, rawPath, qemu.uri, remote, local);
  } finally {
    await qemu.stop();
  }
}

async function measureBeside(
  options: VolumeBenchOptions,
  rawPath: string,
  qemuUri: string,
  remote: LocalCluster,
  local: LocalCluster,
): Promise<BenchRow[]> {
  const contenders: Contender[] = [{ name: 'raw file', iops: (cell) => rawIops(rawPath, cell, options.seconds) }];
  contenders.push({ name: 'qemu-nbd', iops: (cell) => exportIops(qemuUri, cell, options.seconds) });
  const add = async (name: string, uri: string): Promise<void> => {
    await fillExport(uri);
    for (const pattern of ['randread', 'randwrite'] as const) await exportIops(uri, { pattern, blockSize: '4k', depth: 32 }, 2);
    contenders.push({ name, iops: (cell) => exportIops(uri, cell, options.seconds) });
  };
  await remote.pfcli('create_volume', '-v', 'one', '-s', '2G', '--rep', '1');
  await remote.pfcli('create_volume', '-v', 'three', '-s', '2G', '--rep', '3');
  await add('one replica', (await remote.serve('one')).uri);
  await add('three replicas', (await remote.serve('three')).uri);
  await add('same process', (await local.serveWithStore('here', '2G', '6G')).uri);
  const rows: BenchRow[] = [];
  for (const cell of options.cells ?? CELLS) {
    rows.push(...rowsOf(cell, await rounds(contenders, cell, options)));
    options.say(
      `${cellName(cell)}: ${rows
        .slice(-3)
        .map((row) => `${row.question.split(',')[0]} ${describe(row)}`)
        .join('; ')}`,
    );
  }
  return rows;
}

/** IOPS of each contender in each round. */
async function rounds(contenders: readonly Contender[], cell: Cell, options: VolumeBenchOptions): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>(contenders.map((contender) => [contender.name, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    const order = round % 2 === 0 ? contenders : [...contenders].reverse();
    for (const contender of order) found.get(contender.name)!.push(await contender.iops(cell));
  }
  return found;
}

function rowsOf(cell: Cell, found: ReadonlyMap<string, readonly number[]>): BenchRow[] {
  const peersOf: Readonly<Record<string, readonly string[]>> = {
    'one replica': ['raw file'],
    'same process': ['raw file', 'qemu-nbd'],
    'three replicas': ['raw file', 'one replica'],
  };
  return Object.entries(peersOf).map(([name, peers]) => ({
    question: `${name}, ${cellName(cell)}`,
    unit: 'IOPS',
    ours: Math.round(median(found.get(name)!)),
    peers: Object.fromEntries(peers.map((peer) => [peer, Math.round(median(found.get(peer)!))])),
    ratio: Object.fromEntries(peers.map((peer) => [peer, medianRatio(found.get(name)!, found.get(peer)!)])),
    rounds: found.get(name)!.length,
  }));
}

const medianRatio = (ours: readonly number[], theirs: readonly number[]): number =>
  Number(median(ours.map((value, round) => value / theirs[round]!)).toFixed(3));

const describe = (row: BenchRow): string =>
  Object.entries(row.ratio)
    .map(([peer, ratio]) => `${ratio.toFixed(2)} of ${peer}`)
    .join(', ');

function nextSubnet(): string {
  const [a, b, c] = ownSubnet().split('.').map(Number);
  return `${a}.${b! < 191 ? b! + 1 : 64}.${c}`;
}
