// A seeded run of random writes and trims on a small disk, recorded: what was asked, when it was acknowledged, and every disk write.
// power-cut.test.ts then takes the images that a power cut could have left at any time, opens them, and asks verify() whether the
// content is one that the requests explain: acknowledged ones whole, unacknowledged ones old or new per 4 KiB block, nothing else.
import { assert } from '../../../base/assert.ts';
import { KiB, MiB } from '../../../base/sizes.ts';
import { DISK_READ, DISK_TRIM, DISK_WRITE, DiskIo, type DiskIoOwner } from '../disk-io.ts';
import { DiskStore } from '../disk-store.ts';
import { MemoryDisk, type TraceEntry } from './memory-disk.ts';
import { TEST_STORE_UUID, testWorld, type TestWorld } from './store-bench.ts';
import { TestRandom } from './test-random.ts';

export const DISK_BYTES = 20 * MiB;
export const LOG_BYTES = 1 * MiB;
export const VOLUMES: readonly number[] = [0x42000000, 0x43000000];
export const VOLUME_BYTES = 5 * MiB;
const SECTORS = VOLUME_BYTES / 512;
const SECTOR_WORDS = 128;

export interface RecordedOperation {
  readonly id: number;
  readonly volume: number;
  readonly isTrim: boolean;
  readonly firstSector: number;
  readonly endSector: number;
  /** How many trace entries had completed at submit, and at the acknowledgement (-1 = refused for lack of space, Infinity = never). */
  submittedAt: number;
  durableAt: number;
}

export interface Recording {
  readonly base: Uint8Array;
  readonly trace: readonly TraceEntry[];
  /** Still under way when the recording ended. */
  readonly pending: readonly TraceEntry[];
  readonly operations: readonly RecordedOperation[];
  readonly checkpoints: number;
  readonly checkedReads: number;
}

/** What a sector holds after operation `id` (0 = zeros). */
function fillSector(words: Uint32Array, at: number, id: number, volume: number, sector: number): void {
  if (id === 0) {
    words.fill(0, at, at + SECTOR_WORDS);
    return;
  }
  const start = Math.imul(id, 0x9e3779b1) ^ Math.imul(volume * SECTORS + sector + 1, 0x85ebca6b);
  words[at] = id;
  words[at + 1] = volume * SECTORS + sector;
  for (let word = 2; word < SECTOR_WORDS; word += 1) words[at + word] = start + word * 0x01000193;
}

export async function record(seed: number, operationCount: number): Promise<Recording> {
  const random = new TestRandom(seed);
  const { world, memory } = testWorld(seed);
  const disk = new MemoryDisk(memory, new Uint8Array(DISK_BYTES), seed % 4 === 0 ? 4096 : 512);
  await DiskStore.format(world, disk, { storeUuid: TEST_STORE_UUID, logBytes: LOG_BYTES });
  const store = await DiskStore.open(world, disk);
  const base = disk.bytes.slice();
  disk.trace = [];
  disk.random = random;
  const run = new Run({ world, memory }, disk, store, random);
  await run.perform(operationCount);
  return {
    base,
    trace: disk.trace,
    pending: disk.pendingWrites,
    operations: run.operations,
    checkpoints: store.counters.checkpoints,
    checkedReads: run.checkedReads,
  };
}

class Run implements DiskIoOwner {
  readonly #world: TestWorld;
  readonly #disk: MemoryDisk;
  readonly #store: DiskStore;
  readonly #random: TestRandom;
  readonly operations: RecordedOperation[] = [];
  /** Sectors of operations that are not acknowledged: 1. */
  readonly #underWay = VOLUMES.map(() => new Uint8Array(SECTORS));
  /** Per volume and sector: the id of the last acknowledged operation. */
  readonly #acknowledged = VOLUMES.map(() => new Uint32Array(SECTORS));
  readonly #reads = new Set<RunRead>();
  readonly #checkpoints: Promise<void>[] = [];
  #unsettled = 0;
  checkedReads = 0;

  constructor(world: TestWorld, disk: MemoryDisk, store: DiskStore, random: TestRandom) {
    this.#world = world;
    this.#disk = disk;
    this.#store = store;
    this.#random = random;
  }

  async perform(count: number): Promise<void> {
    const random = this.#random;
    let idleRounds = 0;
    while (this.operations.length < count) {
      const depth = 1 + random.below(32);
      for (let tries = 0; this.#unsettled < depth && tries < 40 && this.operations.length < count; tries += 1) this.#submitOne();
      const steps = random.below(12);
      for (let step = 0; step < steps || this.#unsettled >= 32; step += 1) {
        await settleMicrotasks();
        idleRounds += 1;
        if (!this.#disk.step()) break;
        idleRounds = 0;
      }
      assert(idleRounds < 10_000, `${this.#unsettled} requests wait, but the disk has nothing to do`);
      if (random.chance(0.05)) this.#checkpoints.push(this.#store.checkpoint());
      assert(this.#store.failure === null, `the disk failed: ${this.#store.failure?.message}`);
      if (random.chance(0.02)) this.#store.checkInvariants();
    }
  }

  ioDurable(io: DiskIo): void {
    if (io.operation === DISK_READ) {
      this.#checkRead(io);
      return;
    }
    const operation = io.tag as RecordedOperation;
    assert(io.result === 0 || io.result === 28, `operation ${operation.id}: errno ${io.result}`);
    operation.durableAt = io.result === 0 ? this.#disk.trace!.length : -1;
    this.#underWay[operation.volume]!.fill(0, operation.firstSector, operation.endSector);
    const { volume, firstSector, endSector, isTrim, id } = operation;
    if (io.result === 0) this.#acknowledged[volume]!.fill(isTrim ? 0 : id, firstSector, endSector);
  }

  ioSettled(io: DiskIo): void {
    this.#unsettled -= 1;
    if (io.memory === 0) return;
    this.#world.memory.bytes.fill(0xdd, io.memory, io.memory + io.length);
    this.#world.memory.releaseSlot(io.memory);
  }

  #submitOne(): void {
    const random = this.#random;
    const volume = random.below(VOLUMES.length);
    const isTrim = random.chance(0.2);
    const [firstSector, sectors] = this.#range();
    const endSector = firstSector + sectors;
    if (random.chance(0.3)) {
      this.#submitRead(volume, firstSector, endSector);
      return;
    }
    if (this.#underWay[volume]!.subarray(firstSector, endSector).includes(1)) return;
    const id = this.operations.length + 1;
    const operation = { id, volume, isTrim, firstSector, endSector, submittedAt: this.#disk.trace!.length, durableAt: Infinity };
    const io = new DiskIo(this);
    io.operation = isTrim ? DISK_TRIM : DISK_WRITE;
    io.volumeId = VOLUMES[volume]!;
    io.offset = firstSector * 512;
    io.length = sectors * 512;
    io.generation = 1;
    io.sequence = id;
    io.tag = operation;
    if (!isTrim) {
      io.memory = this.#world.memory.acquireSlot(io.length);
      if (io.memory === 0) return;
      const words = new Uint32Array(this.#world.memory.buffer, io.memory, sectors * SECTOR_WORDS);
      for (let sector = 0; sector < sectors; sector += 1)
        fillSector(words, sector * SECTOR_WORDS, id, volume, firstSector + sector);
    }
    this.operations.push(operation);
    for (const read of this.#reads) if (read.overlaps(operation)) read.underWay.push(operation);
    this.#underWay[volume]!.fill(1, firstSector, endSector);
    this.#unsettled += 1;
    this.#store.submit(io);
  }

  #submitRead(volume: number, firstSector: number, endSector: number): void {
    const io = new DiskIo(this);
    io.operation = DISK_READ;
    io.volumeId = VOLUMES[volume]!;
    io.offset = firstSector * 512;
    io.length = (endSector - firstSector) * 512;
    io.wantsCrc = this.#random.chance(0.5);
    io.memory = this.#world.memory.acquireSlot(io.length);
    if (io.memory === 0) return;
    const read = new RunRead(volume, firstSector, endSector, this.#acknowledged[volume]!.slice(firstSector, endSector));
    for (const operation of this.operations)
      if (operation.durableAt === Infinity && read.overlaps(operation)) read.underWay.push(operation);
    io.tag = read;
    this.#reads.add(read);
    this.#unsettled += 1;
    this.#store.submit(io);
  }

  /** Every sector is what was acknowledged before the read, or of an operation that was under way during it. */
  #checkRead(io: DiskIo): void {
    const read = io.tag as RunRead;
    const { memory } = this.#world;
    assert(io.result === 0, `read of ${io.length} bytes at ${io.offset}: errno ${io.result}${io.isCorrupt ? ', corrupt' : ''}`);
    this.#reads.delete(read);
    this.checkedReads += 1;
    const words = new Uint32Array(memory.buffer, io.memory, io.length / 4);
    const wanted = new Uint32Array(SECTOR_WORDS);
    for (let sector = read.firstSector; sector < read.endSector; sector += 1) {
      const at = (sector - read.firstSector) * SECTOR_WORDS;
      const found = words[at]!;
      const isExplained =
        found === read.before[sector - read.firstSector] ||
        read.underWay.some(
          (each) => sector >= each.firstSector && sector < each.endSector && found === (each.isTrim ? 0 : each.id),
        );
      assert(isExplained, `a read found content of ${found} in volume ${read.volume} sector ${sector}, which nothing explains`);
      fillSector(wanted, 0, found, read.volume, sector);
      const start = io.memory + at * 4;
      assert(
        Buffer.compare(memory.bytes.subarray(start, start + 512), new Uint8Array(wanted.buffer)) === 0,
        `sector ${sector} is mixed`,
      );
    }
    if (io.wantsCrc) assert(io.crc === memory.crc32c(io.memory, io.length, 0), 'the checksum of a read is wrong');
  }

  /** First sector and count: mostly small, some whole extents, a few of 1 MiB; half of them in two hot corners. */
  #range(): [number, number] {
    const random = this.#random;
    const kind = random.below(20);
    const unit = kind < 6 ? 8 : kind >= 12 && kind < 17 ? 128 : 1;
    const most = kind < 12 ? 12 : kind < 17 ? 4 : MiB / 512;
    const limit = [(64 * KiB) / 512, (512 * KiB) / 512, SECTORS, SECTORS][random.below(4)]!;
    const count = Math.min(limit, unit * (1 + random.below(most)));
    const first = random.below(Math.floor((limit - count) / unit) + 1) * unit;
    return [first, count];
  }
}

class RunRead {
  readonly volume: number;
  readonly firstSector: number;
  readonly endSector: number;
  readonly before: Uint32Array;
  readonly underWay: RecordedOperation[] = [];

  constructor(volume: number, firstSector: number, endSector: number, before: Uint32Array) {
    this.volume = volume;
    this.firstSector = firstSector;
    this.endSector = endSector;
    this.before = before;
  }

  overlaps(operation: RecordedOperation): boolean {
    return operation.volume === this.volume && operation.firstSector < this.endSector && operation.endSector > this.firstSector;
  }
}

export async function settleMicrotasks(): Promise<void> {
  for (let round = 0; round < 8; round += 1) await Promise.resolve();
}

/** Follows the recording up to a cut, and says what every sector may hold. Cuts must be asked in rising order. */
export class ExpectedContent {
  readonly #operations: readonly RecordedOperation[];
  readonly #byDurable: readonly RecordedOperation[];
  #applied = 0;
  /** Per volume and sector: the id of the last acknowledged operation, or 0 for zeros. */
  readonly acknowledged = VOLUMES.map(() => new Uint32Array(SECTORS));

  constructor(operations: readonly RecordedOperation[]) {
    this.#operations = operations;
    this.#byDurable = operations
      .filter((each) => each.durableAt >= 0 && each.durableAt < Infinity)
      .sort((one, other) => one.durableAt - other.durableAt || one.id - other.id);
  }

  /** Acknowledged content after `cut` completions, and the operations that may have happened in part. */
  advance(cut: number): RecordedOperation[] {
    while (this.#applied < this.#byDurable.length && this.#byDurable[this.#applied]!.durableAt <= cut) {
      const { id, isTrim, volume, firstSector, endSector } = this.#byDurable[this.#applied]!;
      this.acknowledged[volume]!.fill(isTrim ? 0 : id, firstSector, endSector);
      this.#applied += 1;
    }
    return this.#operations.filter((each) => each.submittedAt <= cut && (each.durableAt > cut || each.durableAt < 0));
  }
}

/** Reads everything from an opened store and compares. Throws with the first contradiction. */
export async function verify(
  world: TestWorld,
  store: DiskStore,
  expected: ExpectedContent,
  unacknowledged: readonly RecordedOperation[],
): Promise<void> {
  const reader = new FullReader(world, store);
  const wanted = new Uint32Array(SECTOR_WORDS);
  const bytesOf = new Uint8Array(wanted.buffer);
  for (let volume = 0; volume < VOLUMES.length; volume += 1) {
    const possible = unacknowledged.filter((each) => each.volume === volume && each.durableAt >= 0);
    for (let chunk = 0; chunk < VOLUME_BYTES; chunk += MiB) {
      const memory = await reader.read(VOLUMES[volume]!, chunk);
      const words = new Uint32Array(world.memory.buffer, memory, MiB / 4);
      const seen = new Map<string, boolean>();
      for (let index = 0; index < MiB / 512; index += 1) {
        const sector = chunk / 512 + index;
        const old = expected.acknowledged[volume]![sector]!;
        const found = words[index * SECTOR_WORDS]!;
        const change = possible.find((each) => sector >= each.firstSector && sector < each.endSector);
        const fresh = change === undefined ? old : change.isTrim ? 0 : change.id;
        const id = found === fresh ? fresh : old;
        fillSector(wanted, 0, id, volume, sector);
        const actual = world.memory.bytes.subarray(memory + index * 512, memory + index * 512 + 512);
        assert(
          Buffer.compare(actual, bytesOf) === 0,
          `volume ${volume} sector ${sector}: found content of ${found}, acknowledged is ${old}, under way ${change?.id ?? 'nothing'}`,
        );
        if (change === undefined || fresh === old) continue;
        const key = `${change.id}/${Math.floor(sector / 8)}`;
        const isNew = found === fresh;
        assert(
          (seen.get(key) ?? isNew) === isNew,
          `volume ${volume} sector ${sector}: operation ${change.id} is there in a part of a block`,
        );
        seen.set(key, isNew);
      }
    }
  }
  reader.release();
}

class FullReader implements DiskIoOwner {
  readonly #world: TestWorld;
  readonly #store: DiskStore;
  readonly #io = new DiskIo(this);
  #resolve: (() => void) | null = null;

  constructor(world: TestWorld, store: DiskStore) {
    this.#world = world;
    this.#store = store;
    this.#io.memory = world.memory.acquireSlot(MiB);
  }

  async read(volumeId: number, offset: number): Promise<number> {
    const io = this.#io;
    io.operation = DISK_READ;
    io.volumeId = volumeId;
    io.offset = offset;
    io.length = MiB;
    await new Promise<void>((resolve) => {
      this.#resolve = resolve;
      this.#store.submit(io);
    });
    assert(io.result === 0, `read of volume ${volumeId} at ${offset}: errno ${io.result}${io.isCorrupt ? ', corrupt' : ''}`);
    return io.memory;
  }

  ioDurable(): void {}

  ioSettled(): void {
    this.#resolve!();
  }

  release(): void {
    this.#world.memory.releaseSlot(this.#io.memory);
  }
}
