// A small side-by-side measurement of the ports, io_uring against libuv: echo of 32 bytes over a unix socket between two processes
// (1 and 32 messages under way) and random reads of 4 KiB. Interleaved rounds; prints medians and the ratio of each round.
// Usage: node ports-bench.ts [rounds] [seconds a cell] [folder for the disk file]
// The libuv side reads through the page cache and the ring's does not: compare the ring's disk cells with fio instead.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MiB } from '../../base/sizes.ts';
import { CompletionPromise } from '../completion.ts';
import type { World } from '../world.ts';
import { openNodeWorld } from './node-world.ts';

type Ports = 'io_uring' | 'libuv';
const DISK_BYTES = 256 * MiB;
const MESSAGE_BYTES = 32;

interface Cell {
  readonly operationsPerSecond: number;
  /** Of this process; the echo server's comes on top. */
  readonly cpuMicroseconds: number;
}

if (process.argv[2] === 'serve') await serveEcho(process.argv[3] as Ports, process.argv[4]!);
else await main(Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 1), process.argv[4] ?? tmpdir());

async function main(rounds: number, seconds: number, parent: string): Promise<void> {
  const folder = mkdtempSync(join(parent, 'pf-bench-'));
  try {
    const results = new Map<string, Record<Ports, Cell>[]>();
    for (let round = 0; round < rounds; round += 1) {
      const order: Ports[] = round % 2 === 0 ? ['io_uring', 'libuv'] : ['libuv', 'io_uring'];
      const both: Partial<Record<Ports, Map<string, Cell>>> = {};
      for (const ports of order) both[ports] = await measure(ports, folder, seconds * 1000);
      for (const [name, cell] of both.io_uring!) {
        results.set(name, [...(results.get(name) ?? []), { io_uring: cell, libuv: both.libuv!.get(name)! }]);
      }
    }
    for (const [name, pairs] of results) console.log(describe(name, pairs));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function describe(name: string, pairs: readonly Record<Ports, Cell>[]): string {
  const text = (ports: Ports): string => {
    const rate = median(pairs.map((pair) => pair[ports].operationsPerSecond));
    return `${ports} ${Math.round(rate)}/s ${median(pairs.map((pair) => pair[ports].cpuMicroseconds)).toFixed(1)} us CPU`;
  };
  const ratio = median(pairs.map((pair) => pair.io_uring.operationsPerSecond / pair.libuv.operationsPerSecond));
  return `${name.padEnd(16)} ${text('io_uring').padEnd(34)} ${text('libuv').padEnd(34)} ratio ${ratio.toFixed(2)}`;
}

async function answer(start: (done: CompletionPromise) => void): Promise<void> {
  const done = new CompletionPromise();
  start(done);
  const result = await done.done;
  if (result !== 0) throw new Error(`the disk answers with errno ${result}`);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function measure(ports: Ports, folder: string, forMs: number): Promise<Map<string, Cell>> {
  const cells = new Map<string, Cell>();
  const world = await openNodeWorld({ ports });
  const path = join(folder, `${ports}.sock`);
  const server = await startServer(ports, path);
  for (const depth of [1, 32]) cells.set(`echo QD${depth}`, await echo(world, path, depth, forMs));
  server.kill('SIGKILL');
  const disk = await world.disks.open(join(folder, 'disk'), { createSizeBytes: DISK_BYTES });
  const slot = world.memory.acquireSlot(MiB);
  for (let offset = 0; offset < DISK_BYTES; offset += MiB) await answer((done) => disk.write(offset, slot, MiB, false, done));
  await answer((done) => disk.flush(done));
  for (const depth of [1, 32]) {
    cells.set(
      `read 4k QD${depth}`,
      await run(world, depth, forMs, (memory, done) =>
        disk.read(world.random.below(DISK_BYTES / 4096) * 4096, memory, 4096, done),
      ),
    );
  }
  await world.close();
  return cells;
}

async function startServer(ports: Ports, path: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve', ports, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return child;
}

async function serveEcho(ports: Ports, path: string): Promise<void> {
  const world = await openNodeWorld({ ports });
  const { bytes } = world.memory;
  await world.network.listen({ kind: 'unix', path }, (stream) => {
    stream.handler = {
      onBytes: (offset, length) => void bytes.copyWithin(stream.reserve(length), offset, offset + length),
      onDirect() {},
      onClosed: () => process.exit(0),
    };
  });
  console.log('ready');
}

async function echo(world: World, path: string, depth: number, forMs: number): Promise<Cell> {
  const stream = await world.network.connect({ kind: 'unix', path }, 1000);
  let waiting: { complete(result: number): void }[] = [];
  let left = 0;
  stream.handler = {
    onBytes(_offset, length) {
      for (left += length; left >= MESSAGE_BYTES; left -= MESSAGE_BYTES) waiting.shift()!.complete(0);
    },
    onDirect() {},
    onClosed() {},
  };
  const cell = await run(world, depth, forMs, (_memory, done) => {
    stream.reserve(MESSAGE_BYTES);
    waiting.push(done);
  });
  waiting = [];
  return cell;
}

/** Keeps `depth` operations under way: a fifth of the time to warm up, then measured. */
async function run(
  world: World,
  depth: number,
  forMs: number,
  start: (memory: number, done: { complete(result: number): void }) => void,
): Promise<Cell> {
  let count = 0;
  let isStopped = false;
  let running = depth;
  for (let index = 0; index < depth; index += 1) {
    const memory = world.memory.acquireSlot(4096);
    const again = {
      complete(): void {
        count += 1;
        if (isStopped) running -= 1;
        else start(memory, again);
      },
    };
    start(memory, again);
  }
  await world.clock.sleep(forMs / 5);
  const before = { count, cpu: process.cpuUsage(), at: world.clock.now() };
  await world.clock.sleep(forMs);
  const cpu = process.cpuUsage(before.cpu);
  const done = count - before.count;
  const elapsedMs = world.clock.now() - before.at;
  isStopped = true;
  while (running > 0) await world.clock.sleep(1);
  return { operationsPerSecond: (done / elapsedMs) * 1000, cpuMicroseconds: (cpu.user + cpu.system) / Math.max(1, done) };
}
