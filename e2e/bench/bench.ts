// `make bench`: every performance question beside its peers in one run, as a table of ratios, and as build/bench.json.
// BENCH_ROUNDS, BENCH_SECONDS, BENCH_CELLS='4k QD1,4k QD32' and ONLY=nbd,volumes,idle narrow it.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { formatTable } from '@pureflash/datapath/base';
import type { BenchRow } from './bench-row.ts';
import { CELLS, cellName } from './fio-cells.ts';
import { benchIdle } from './idle.ts';
import { benchNbdMemory } from './nbd-memory.ts';
import { benchVolumes } from './volumes.ts';

const FOLDER = 'build/bench';
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 3);
const seconds = Number(process.env['BENCH_SECONDS'] ?? 3);
const only = process.env['ONLY'] ?? '';
const wanted = (process.env['BENCH_CELLS'] ?? '').split(',');
const cells = CELLS.filter((cell) => wanted.some((part) => cellName(cell).includes(part)));
const say = (text: string): void => void process.stdout.write(`${text}\n`);

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
const rows: BenchRow[] = [];
if (isWanted('nbd')) rows.push(...(await benchNbdMemory({ rounds: Math.max(5, rounds), seconds: Math.min(2, seconds), say })));
if (isWanted('volumes')) rows.push(...(await benchVolumes({ folder: FOLDER, rounds, seconds, cells, say })));
if (isWanted('idle')) rows.push(...(await benchIdle({ folder: `${FOLDER}/idle`, seconds: 30 })));
rmSync(FOLDER, { recursive: true, force: true });
writeFileSync('build/bench.json', `${JSON.stringify(rows, null, 2)}\n`);
say(formatTable(['Question', 'Ours', 'Unit', 'Peers', 'Ratio'], rows.map(cellsOfRow)));
say('written to build/bench.json');

function isWanted(name: string): boolean {
  return only === '' || only.split(',').includes(name);
}

function cellsOfRow(row: BenchRow): string[] {
  return [
    row.question,
    String(row.ours),
    row.unit,
    pairs(row.peers, (value) => String(value)),
    pairs(row.ratio, (value) => value.toFixed(2)),
  ];
}

function pairs(values: Readonly<Record<string, number>>, format: (value: number) => string): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${format(value)}`)
    .join(', ');
}
