// How fast a replicated volume is beside the raw file: one replica over TCP, one replica in the front's own process, three replicas;
// and what a server that does nothing else keeps of that file: qemu-nbd on it, with one process like ours, and at depth 1 a bare one, which
// says what the machine's wake-ups leave to any server.
// A disk's speed changes while one looks at it, so a ratio is taken between neighbours: every round measures the raw file before and
// after each of the others, and those that are compared with each other side by side.
// Each export is warmed up first: its compiler needs some thousand requests.
import { join, resolve } from 'node:path';
import { LocalCluster, ownSubnet } from '../local/local-cluster.ts';
import type { BenchRow } from './bench-row.ts';
import { BARE, startBareServer, startQemuOnDisk, type RunningServer } from './peers.ts';
import { CELLS, SPAN, cellName, exportIops, fillExport, fillRawFile, rawIops, type Cell } from './fio-cells.ts';
import { Rounds, measured, type Measured, type Question, type Round } from './rounds.ts';

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

const RAW = 'raw file';
/** Who follows whom in a round; every other round goes backwards. */
const ORDER = [RAW, 'qemu-nbd', BARE, 'same process', RAW, 'one replica', 'three replicas', RAW];
/** Writes that fill gigabytes keep the host's disk busy for a while after they are over. */
const SETTLED_WITHIN = 0.2;
const SETTLE_TRIES = 40;

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
  const servers: RunningServer[] = [];
  try {
    servers.push(await startQemuOnDisk(options.folder, resolve(rawPath)));
    servers.push(await startBareServer(options.folder, resolve(rawPath)));
    return await measureBeside(options, rawPath, servers, remote, local);
  } finally {
    for (const server of servers) await server.stop();
  }
}

async function measureBeside(
  options: VolumeBenchOptions,
  rawPath: string,
  servers: readonly RunningServer[],
  remote: LocalCluster,
  local: LocalCluster,
): Promise<BenchRow[]> {
  const contenders: Contender[] = [{ name: RAW, iops: (cell) => rawIops(rawPath, cell, options.seconds) }];
  const measureExport = (name: string, uri: string): void => {
    contenders.push({ name, iops: (cell) => exportIops(uri, cell, options.seconds) });
  };
  for (const { name, uri } of servers) measureExport(name, uri);
  const add = async (name: string, uri: string): Promise<void> => {
    await fillExport(uri);
    for (const pattern of ['randread', 'randwrite'] as const) await exportIops(uri, { pattern, blockSize: '4k', depth: 32 }, 2);
    measureExport(name, uri);
  };
  await remote.pfcli('create_volume', '-v', 'one', '-s', '2G', '--rep', '1');
  await remote.pfcli('create_volume', '-v', 'three', '-s', '2G', '--rep', '3');
  await add('one replica', (await remote.serve('one')).uri);
  await add('three replicas', (await remote.serve('three')).uri);
  await add('same process', (await local.serveWithStore('here', '2G', '6G')).uri);
  await settle(rawPath);
  const rows: BenchRow[] = [];
  for (const cell of options.cells ?? CELLS) {
    const rounds = new Rounds(options.rounds, questions(cell));
    await rounds.measure((index) => measureRound(contenders, cell, index));
    const found = rounds.rows();
    options.say(`${rounds.describe(cellName(cell))}: ${found.map(describe).join('; ')}`);
    rows.push(...found);
  }
  return rows;
}

/** Until three durable writes' rates in a row are alike, or patience is over. */
async function settle(rawPath: string): Promise<void> {
  const rates: number[] = [];
  for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
    rates.unshift(await rawIops(rawPath, { pattern: 'randwrite', blockSize: '4k', depth: 1 }, 1));
    const last = rates.slice(0, 3);
    if (last.length === 3 && Math.min(...last) > Math.max(...last) * (1 - SETTLED_WITHIN)) return;
  }
}

const beside = (name: string): string => `${RAW} beside ${name}`;

/** Every contender once, and the raw file beside it. */
async function measureRound(contenders: readonly Contender[], cell: Cell, index: number): Promise<Round> {
  const asked = ORDER.filter((name) => name !== BARE || cell.depth === 1);
  const order = index % 2 === 0 ? asked : asked.reverse();
  const samples: Measured[] = [];
  for (const name of order) samples.push(await measured(() => contenders.find((each) => each.name === name)!.iops(cell)));
  const round = new Map<string, Measured>();
  order.forEach((name, at) => {
    if (name === RAW) return;
    const [before, after] = [samples[order.lastIndexOf(RAW, at)]!, samples[order.indexOf(RAW, at)]!];
    round.set(name, samples[at]!);
    round.set(beside(name), { value: (before.value + after.value) / 2, stolen: Math.max(before.stolen, after.stolen) });
  });
  return round;
}

function questions(cell: Cell): Question[] {
  const othersOf: Readonly<Record<string, Record<string, string>>> = {
    'one replica': {},
    'same process': { 'qemu-nbd': 'qemu-nbd', ...(cell.depth === 1 ? { [BARE]: BARE } : {}) },
    'three replicas': { 'one replica': 'one replica' },
  };
  return Object.entries(othersOf).map(([ours, others]) => {
    return { question: `${ours}, ${cellName(cell)}`, unit: 'IOPS', ours, peers: { [RAW]: beside(ours), ...others } };
  });
}

const describe = (row: BenchRow): string =>
  `${row.question.split(',')[0]} ${Object.entries(row.ratio)
    .map(([peer, ratio]) => `${ratio.toFixed(2)} of ${peer}`)
    .join(', ')}`;

function nextSubnet(): string {
  const [a, b, c] = ownSubnet().split('.').map(Number);
  return `${a}.${b! < 191 ? b! + 1 : 64}.${c}`;
}
