// What the crash-safe disk of a store costs: DiskStore in this process on a file, against fio on a raw file beside it (O_DIRECT, writes also
// O_DSYNC). 4 KiB random, one request at a time and 32. Interleaved rounds; a ratio is the median of the rounds' ratios.
// Alone: node e2e/bench/disk-store.ts [rounds] [seconds] [folder]
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { storeUuid } from '../../datapath/src/base/ids.ts';
import { DISK_READ, DISK_WRITE, DiskIo, type DiskIoOwner, type DiskOperation } from '../../datapath/src/store/disk/disk-io.ts';
import { DiskStore } from '../../datapath/src/store/disk/disk-store.ts';
import { openNodeWorld } from '../../datapath/src/world/node/node-world.ts';
import { silentLogger } from '../../datapath/src/world/log.ts';
import type { World } from '../../datapath/src/world/world.ts';
import type { BenchRow } from './bench-row.ts';
import { cellName, fillRawFile, rawIops, type Cell } from './fio-cells.ts';
import { median } from './rounds.ts';

const MIB = 1024 * 1024;
const SPAN_BYTES = 1024 * MIB;
const DISK_BYTES = 1280 * MIB;
const VOLUME = 0x42000000;
const CELLS: readonly Cell[] = ([1, 32] as const).flatMap((depth) =>
  (['randread', 'randwrite'] as const).map((pattern) => ({ pattern, blockSize: '4k' as const, depth })),
);

export interface DiskBenchOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
  say(text: string): void;
}

interface Sample {
  readonly ours: number;
  readonly raw: number;
  readonly cpuMicroseconds: number;
}

export async function benchDiskStore(options: DiskBenchOptions): Promise<BenchRow[]> {
  const raw = join(options.folder, 'raw');
  mkdirSync(options.folder, { recursive: true });
  await fillRawFile(raw);
  const world = await openNodeWorld({ log: silentLogger });
  const store = await filledStore(world, join(options.folder, 'store'));
  const samples = new Map<Cell, Sample[]>(CELLS.map((cell) => [cell, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const cell of CELLS) {
      const ours = await new Load(world, store, cell.pattern === 'randread' ? DISK_READ : DISK_WRITE, cell.depth).run(
        options.seconds * 1000,
      );
      const sample = { ...ours, raw: await rawIops(raw, cell, options.seconds) };
      samples.get(cell)!.push(sample);
      options.say(
        `${cellName(cell)}: store ${Math.round(sample.ours)}/s (${sample.cpuMicroseconds.toFixed(1)} us CPU each), ` +
          `raw ${Math.round(sample.raw)}/s, ratio ${(sample.ours / sample.raw).toFixed(2)}`,
      );
    }
  }
  const { logBatches, checkpoints, waits, readRetries } = store.counters;
  options.say(`log batches ${logBatches}, checkpoints ${checkpoints}, waits ${waits}, read retries ${readRetries}`);
  await store.close();
  await world.close();
  return CELLS.map((cell) => rowOf(cell, samples.get(cell)!));
}

function rowOf(cell: Cell, samples: readonly Sample[]): BenchRow {
  return {
    question: `disk store ${cellName(cell)}`,
    unit: 'IOPS',
    ours: Math.round(median(samples.map((each) => each.ours))),
    peers: { raw: Math.round(median(samples.map((each) => each.raw))) },
    ratio: { raw: median(samples.map((each) => each.ours / each.raw)) },
    rounds: samples.length,
  };
}

/** A store on a file whose blocks are all allocated, with one volume written from end to end. */
async function filledStore(world: World, path: string): Promise<DiskStore> {
  const disk = await world.disks.open(path, { createSizeBytes: DISK_BYTES });
  const zeros = world.memory.reserve(MIB);
  world.memory.bytes.fill(0, zeros, zeros + MIB);
  for (let offset = 0; offset < DISK_BYTES; offset += MIB) {
    const errno = await new Promise<number>((complete) => disk.write(offset, zeros, MIB, false, { complete }));
    if (errno !== 0) throw new Error(`cannot fill ${path}: errno ${errno}`);
  }
  world.memory.release(zeros, MIB);
  await DiskStore.format(world, disk, { storeUuid: storeUuid('11111111-2222-4333-8444-555555555555') });
  const store = await DiskStore.open(world, disk);
  for (let offset = 0; offset < SPAN_BYTES; offset += MIB) {
    await new Promise<void>((resolve) => {
      const io = new DiskIo({ ioDurable() {}, ioSettled: () => resolve() });
      Object.assign(io, { operation: DISK_WRITE, volumeId: VOLUME, offset, length: MIB, memory: zeros });
      store.submit(io);
    });
  }
  return store;
}

/** `depth` requests that are not acknowledged yet, all the time. As in a store, the next request has memory of its own. */
class Load implements DiskIoOwner {
  readonly #world: World;
  readonly #store: DiskStore;
  readonly #operation: DiskOperation;
  readonly #depth: number;
  readonly #free: DiskIo[] = [];
  #done = 0;
  #underWay = 0;
  #unsettled = 0;
  #sequence = 0;
  #isOver = false;
  #resolve: () => void = () => {};

  constructor(world: World, store: DiskStore, operation: DiskOperation, depth: number) {
    this.#world = world;
    this.#store = store;
    this.#operation = operation;
    this.#depth = depth;
  }

  async run(forMs: number): Promise<{ ours: number; cpuMicroseconds: number }> {
    const cpu = process.cpuUsage();
    const start = this.#world.clock.now();
    this.#world.clock.after(forMs, () => (this.#isOver = true));
    await new Promise<void>((resolve) => {
      this.#resolve = resolve;
      this.#fill();
    });
    const elapsedMs = this.#world.clock.now() - start;
    const used = process.cpuUsage(cpu);
    for (const io of this.#free) this.#world.memory.releaseSlot(io.memory);
    return { ours: (this.#done * 1000) / elapsedMs, cpuMicroseconds: (used.user + used.system) / this.#done };
  }

  ioDurable(io: DiskIo): void {
    if (io.result !== 0) throw new Error(`request at ${io.offset}: errno ${io.result}`);
    this.#done += 1;
    this.#underWay -= 1;
    this.#fill();
  }

  ioSettled(io: DiskIo): void {
    this.#free.push(io);
    this.#unsettled -= 1;
    if (this.#isOver && this.#unsettled === 0) this.#resolve();
  }

  #fill(): void {
    while (this.#underWay < this.#depth && !this.#isOver) {
      const io = this.#free.pop() ?? this.#newIo();
      io.offset = Math.floor(Math.random() * (SPAN_BYTES / 4096)) * 4096;
      this.#sequence += 1;
      io.sequence = this.#sequence;
      this.#underWay += 1;
      this.#unsettled += 1;
      this.#store.submit(io);
    }
  }

  #newIo(): DiskIo {
    const io = new DiskIo(this);
    io.memory = this.#world.memory.acquireSlot(4096);
    io.operation = this.#operation;
    io.volumeId = VOLUME;
    io.length = 4096;
    const { bytes } = this.#world.memory;
    for (let at = 0; at < 4096; at += 1) bytes[io.memory + at] = Math.floor(Math.random() * 256);
    return io;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  const [rounds = '3', seconds = '2', folder = 'build/bench-disk'] = process.argv.slice(2);
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  for (const row of await benchDiskStore({ folder, rounds: Number(rounds), seconds: Number(seconds), say })) {
    say(
      `${row.question}: ratio ${row.ratio['raw']!.toFixed(2)} (${row.ours} of ${row.peers['raw']} IOPS, median of ${row.rounds})`,
    );
  }
  rmSync(folder, { recursive: true, force: true });
}
