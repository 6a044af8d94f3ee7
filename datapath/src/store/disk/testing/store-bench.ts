// A DiskStore on a MemoryDisk with the few parts of a World that it uses, and requests as promises. For the tests of this folder.
import { assert } from '../../../base/assert.ts';
import { crc32c } from '../../../base/crc32c.ts';
import { storeUuid } from '../../../base/ids.ts';
import { MiB } from '../../../base/sizes.ts';
import { Arena } from '../../../world/arena.ts';
import { silentLogger } from '../../../world/log.ts';
import { loadNativeAddon } from '../../../world/node/native-addon.ts';
import { TurnQueue } from '../../../world/turn-queue.ts';
import type { World } from '../../../world/world.ts';
import { DISK_READ, DISK_TRIM, DISK_WRITE, DiskIo, type DiskIoOwner, type DiskOperation } from '../disk-io.ts';
import { DiskStore } from '../disk-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { TestRandom } from './test-random.ts';

export const TEST_STORE_UUID = storeUuid('11111111-2222-4333-8444-555555555555');

/** The processor's CRC32C where the addon is there: the power-cut test checks gigabytes. */
const addon = loadNativeAddon();
const checksum = ('reason' in addon ? undefined : addon.crc32c) ?? crc32c;

export interface TestWorld {
  readonly world: World;
  readonly memory: Arena;
}

/** Memory, turns and chance; everything else of the world is missing on purpose. */
export function testWorld(seed = 1, memoryBytes = 32 * MiB): TestWorld {
  const queue: TurnQueue = new TurnQueue(() => queueMicrotask(() => queue.run()));
  const memory = new Arena(new ArrayBuffer(memoryBytes), checksum, queue);
  const random = new TestRandom(seed);
  const uuid = (): string => `00000000-0000-4000-8000-${random.u32().toString(16).padStart(12, '0')}`;
  const world = {
    memory,
    turn: queue,
    log: silentLogger,
    random: { uuid, token: () => random.u32() * 1024 + 1 },
    clock: { wallTimeMs: () => 1_700_000_000_000 },
  };
  return { world: world as unknown as World, memory };
}

export interface BenchOptions {
  readonly diskBytes?: number;
  readonly logBytes?: number;
  readonly seed?: number;
  readonly blockSizeBytes?: number;
}

export interface Bench extends TestWorld {
  readonly disk: MemoryDisk;
  store: DiskStore;
}

export async function formattedBench(options: BenchOptions = {}): Promise<Bench> {
  const { world, memory } = testWorld(options.seed ?? 1);
  const disk = new MemoryDisk(memory, new Uint8Array(options.diskBytes ?? 64 * MiB), options.blockSizeBytes ?? 512);
  await DiskStore.format(world, disk, {
    storeUuid: TEST_STORE_UUID,
    ...(options.logBytes === undefined ? {} : { logBytes: options.logBytes }),
  });
  return { world, memory, disk, store: await DiskStore.open(world, disk) };
}

/** Opens the same disk content in a fresh world, as a new process would; the old store is forgotten, not closed. */
export async function reopened(bench: Bench, seed = 7): Promise<Bench> {
  const { world, memory } = testWorld(seed);
  const disk = new MemoryDisk(memory, bench.disk.bytes.slice(), bench.disk.blockSizeBytes);
  return { world, memory, disk, store: await DiskStore.open(world, disk) };
}

export interface Outcome {
  readonly result: number;
  readonly isCorrupt: boolean;
  readonly crc: number;
  /** READ: the bytes. */
  readonly bytes: Uint8Array;
}

export class PendingIo implements DiskIoOwner {
  readonly io: DiskIo;
  readonly durable: Promise<Outcome>;
  readonly settled: Promise<Outcome>;
  isDurable = false;
  isSettled = false;
  readonly #memory: Arena;
  #resolveDurable!: (outcome: Outcome) => void;
  #resolveSettled!: (outcome: Outcome) => void;

  constructor(memory: Arena) {
    this.#memory = memory;
    this.io = new DiskIo(this);
    this.durable = new Promise((resolve) => (this.#resolveDurable = resolve));
    this.settled = new Promise((resolve) => (this.#resolveSettled = resolve));
  }

  ioDurable(io: DiskIo): void {
    assert(!this.isDurable, 'ioDurable was called twice');
    this.isDurable = true;
    this.#resolveDurable(this.#outcome(io));
  }

  ioSettled(io: DiskIo): void {
    assert(this.isDurable && !this.isSettled, 'ioSettled was called twice, or before ioDurable');
    this.isSettled = true;
    const outcome = this.#outcome(io);
    if (io.memory !== 0) this.#memory.releaseSlot(io.memory);
    this.#resolveSettled(outcome);
  }

  #outcome(io: DiskIo): Outcome {
    const bytes = io.operation === DISK_READ ? this.#memory.bytes.slice(io.memory, io.memory + io.length) : new Uint8Array(0);
    return { result: io.result, isCorrupt: io.isCorrupt, crc: io.crc, bytes };
  }
}

/** Fields of DiskIo that a test wants different. */
export type IoFields = Partial<
  Pick<DiskIo, 'generation' | 'sequence' | 'keepStamp' | 'setsStampExactly' | 'payloadCrcs' | 'wantsCrc'>
>;

export function begin(
  bench: Bench,
  operation: DiskOperation,
  volumeId: number,
  offset: number,
  payload: Uint8Array | number,
  fields: IoFields = {},
): PendingIo {
  const pending = new PendingIo(bench.memory);
  const { io } = pending;
  const length = typeof payload === 'number' ? payload : payload.length;
  Object.assign(io, { operation, volumeId, offset, length }, fields);
  if (operation !== DISK_TRIM) {
    io.memory = bench.memory.acquireSlot(Math.max(1, Math.min(length, MiB)));
    assert(io.memory !== 0, 'no slot is free in the test arena');
    if (typeof payload !== 'number') bench.memory.bytes.set(payload, io.memory);
    else bench.memory.bytes.fill(0xee, io.memory, io.memory + Math.min(length, MiB));
  }
  bench.store.submit(io);
  return pending;
}

export const write = (
  bench: Bench,
  volumeId: number,
  offset: number,
  bytes: Uint8Array,
  fields: IoFields = {},
): Promise<Outcome> => begin(bench, DISK_WRITE, volumeId, offset, bytes, fields).settled;
export const read = (bench: Bench, volumeId: number, offset: number, length: number, fields: IoFields = {}): Promise<Outcome> =>
  begin(bench, DISK_READ, volumeId, offset, length, fields).settled;
export const trim = (bench: Bench, volumeId: number, offset: number, length: number, fields: IoFields = {}): Promise<Outcome> =>
  begin(bench, DISK_TRIM, volumeId, offset, length, fields).settled;

/** `length` bytes that tell their place: no two sectors of different seeds or places are equal. */
export function pattern(seed: number, length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(at + 1, 0x85ebca6b);
  return new Uint8Array(words.buffer);
}
