// One disk of a store: thin, checksummed, crash-safe extents of volumes. docs/internals/disk-format.md says what lies where and why nothing is lost.
// Used by the store service: submit() with preallocated DiskIo records; everything else is for the cold paths. One DiskStore per Disk,
// whose owner opened it and closes it after close().
// Acknowledged (ioDurable with result 0) means that it survives a power cut. A failed write or flush ends the disk: see `failure`.
import { assert } from '../../base/assert.ts';
import type { PfError } from '../../base/errors.ts';
import type { DiskUuid, StoreUuid } from '../../base/ids.ts';
import { BLOCK_BYTES, GiB, SECTOR_BYTES } from '../../base/sizes.ts';
import { ECANCELED, EINVAL, EIO } from '../../world/completion.ts';
import type { Disk } from '../../world/disk.ts';
import { MAX_SLOT_BYTES } from '../../world/memory.ts';
import type { World } from '../../world/world.ts';
import { ActiveIos } from './active-ios.ts';
import { Checkpoint } from './checkpoint.ts';
import { DISK_READ, DISK_TRIM, DISK_WRITE, DiskIo, type DiskIoOwner } from './disk-io.ts';
import type { DiskCounters, DiskState } from './disk-state.ts';
import { BITMAP, FIRST_CRC, GENERATION, sequenceOf, wordOf } from './extent-table.ts';
import { formatDisk, type FormatOptions } from './format-disk.ts';
import type { Head } from './head-page.ts';
import { checkInvariants } from './invariants.ts';
import { BLOCKS_PER_EXTENT, EXTENT_BYTES } from './layout.ts';
import { GivenBackExtents } from './given-back-extents.ts';
import type { LogBatch } from './log-batch.ts';
import { openDisk, type OpenedDisk } from './open-disk.ts';
import { Reader } from './reader.ts';
import { RedoLog, type LogListener } from './redo-log.ts';
import type { ReplayResult } from './replay.ts';
import { ScratchBlocks } from './scratch-blocks.ts';
import { Stalls } from './stalls.ts';
import { Trimmer } from './trimmer.ts';
import { Writer } from './writer.ts';

export const MAX_DISK_IO_BYTES = MAX_SLOT_BYTES;
export const MAX_DISK_TRIM_BYTES = GiB;

/** One extent of listExtents: `crcs` has 16 words and is reused; a block that is not written has checksum 0. */
export type ExtentVisitor = (
  offset: number,
  generation: number,
  sequence: number,
  writtenBitmap: number,
  crcs: Uint32Array,
) => void;

export class DiskStore implements LogListener {
  readonly #state: DiskState;
  readonly #active = new ActiveIos();
  readonly #stalls = new Stalls();
  readonly #scratch: ScratchBlocks;
  readonly #log: RedoLog;
  readonly #writer: Writer;
  readonly #trimmer: Trimmer;
  readonly #reader: Reader;
  readonly #checkpoint: Checkpoint;
  readonly #givenBack: GivenBackExtents;
  readonly #visitedCrcs = new Uint32Array(BLOCKS_PER_EXTENT);
  #isClosing = false;
  #closed: Promise<void> | null = null;
  /** What opening found in the log. */
  readonly replay: ReplayResult;

  private constructor(opened: OpenedDisk) {
    const { state, head } = opened;
    this.#state = state;
    this.replay = opened.replay;
    this.#scratch = new ScratchBlocks(state.memory, () => state.placeNow());
    this.#log = new RedoLog(state, this, {
      secret: head.logSecret,
      tailPosition: head.logTailPosition,
      nextSequence: head.logTailSequence,
    });
    this.#writer = new Writer(state, this.#active, this.#log, this.#stalls, this.#scratch);
    this.#trimmer = new Trimmer(state, this.#active, this.#log, this.#stalls, this.#writer);
    this.#reader = new Reader(state, this.#scratch);
    this.#checkpoint = new Checkpoint(state, this.#log, head);
    this.#givenBack = new GivenBackExtents(state, this.#stalls);
    state.placeNow = () => this.#writer.placeNow();
    state.onFailure = () => this.#stop();
    state.onAbandoned = () => this.#abandon();
  }

  /** Errors: ALREADY_EXISTS (the disk is not blank), INVALID_ARGUMENT (too small), IO_ERROR. */
  static format(world: World, disk: Disk, options: FormatOptions): Promise<Head> {
    return formatDisk(world, disk, options);
  }

  /** Errors: NOT_FOUND (not a PureFlash disk), UNSUPPORTED (version), INVALID_STATE (smaller than formatted), CORRUPT, IO_ERROR. */
  static async open(world: World, disk: Disk): Promise<DiskStore> {
    return new DiskStore(await openDisk(world, disk));
  }

  get storeUuid(): StoreUuid {
    return this.#state.storeUuid;
  }
  get diskUuid(): DiskUuid {
    return this.#state.diskUuid;
  }
  get totalBytes(): number {
    return this.#state.geometry.extentCount * EXTENT_BYTES;
  }
  /** What new writes may still take. */
  get freeBytes(): number {
    return Math.max(0, this.#state.availableExtents) * EXTENT_BYTES;
  }
  get counters(): Readonly<DiskCounters> {
    return this.#state.counters;
  }
  /** Why the disk has stopped, or null. */
  get failure(): PfError | null {
    return this.#state.failure;
  }
  /** Called once, when the disk fails. */
  onFailure: (failure: PfError) => void = () => {};

  /** Never throws for what a caller may ask; EINVAL out of bounds, ENOSPC before anything is changed, EIO (with isCorrupt), ECANCELED when closing. */
  submit(io: DiskIo): void {
    const errno = this.#refusal(io);
    if (errno !== 0) {
      io.result = errno;
      io.isCorrupt = false;
      io.owner.ioDurable(io);
      io.owner.ioSettled(io);
    } else if (io.operation === DISK_READ) {
      this.#reader.submit(io);
    } else if (io.operation === DISK_WRITE) {
      this.#writer.submit(io);
    } else {
      this.#trimmer.submit(io);
    }
  }

  /** Whether a write of this range would find space now. A write submitted in the same turn, before any other, then gets no ENOSPC. */
  canReserve(volumeId: number, offset: number, length: number): boolean {
    return length === 0 || this.#writer.missingExtents(volumeId, offset, length) <= this.#state.availableExtents;
  }

  /** Visits the extents of [fromOffset, toOffset) that are backed, in order, from memory. What it tells may not be durable yet. */
  listExtents(volumeId: number, fromOffset: number, toOffset: number, visit: ExtentVisitor): void {
    const { map, table } = this.#state;
    const end = Math.ceil(toOffset / EXTENT_BYTES);
    for (
      let at = map.nextBacked(volumeId, Math.floor(fromOffset / EXTENT_BYTES), end);
      at < end;
      at = map.nextBacked(volumeId, at + 1, end)
    ) {
      const physical = map.find(volumeId, at);
      if (!table.isInUse(physical)) continue;
      const { words } = table.at(physical);
      const entry = wordOf(physical);
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) this.#visitedCrcs[block] = words[entry + FIRST_CRC + block]!;
      visit(at * EXTENT_BYTES, words[entry + GENERATION]!, sequenceOf(words, entry), words[entry + BITMAP]!, this.#visitedCrcs);
    }
  }

  /** One bit per 4 KiB block of [offset, offset + length), both multiples of 4096, bit 0 of the first byte first: 1 = written. Into arena memory. */
  writtenBitmap(volumeId: number, offset: number, length: number, memory: number): void {
    const { map, table } = this.#state;
    const { bytes } = this.#state.memory;
    const blocks = length / BLOCK_BYTES;
    const firstBlock = offset / BLOCK_BYTES;
    bytes.fill(0, memory, memory + Math.ceil(blocks / 8));
    for (let index = 0; index < blocks; ) {
      const block = firstBlock + index;
      const physical = map.find(volumeId, Math.floor(block / BLOCKS_PER_EXTENT));
      const inExtent = block % BLOCKS_PER_EXTENT;
      const count = Math.min(blocks - index, BLOCKS_PER_EXTENT - inExtent);
      const written = physical < 0 ? 0 : table.at(physical).words[wordOf(physical) + BITMAP]! >>> inExtent;
      for (let bit = 0; bit < count; bit += 1)
        if ((written >>> bit) & 1) bytes[memory + ((index + bit) >>> 3)]! |= 1 << ((index + bit) & 7);
      index += count;
    }
  }

  /** Volumes that have extents on this disk. */
  volumes(): number[] {
    return this.#state.map.volumes();
  }

  /** Bytes of extents that a volume takes on this disk. */
  usedBytes(volumeId: number): number {
    return this.#state.map.backedExtents(volumeId) * EXTENT_BYTES;
  }

  /** Resolves when no write or trim of the range is under way, their blocks in place. */
  drain(volumeId: number, fromOffset: number, toOffset: number): Promise<void> {
    this.#writer.placeNow();
    return this.#active.drain(volumeId, fromOffset, toOffset);
  }

  /** Deletes the range, multiples of 4096, in bounded steps; durable when it resolves. Rejects with the disk's failure. */
  async drop(volumeId: number, fromOffset: number, toOffset: number): Promise<void> {
    await this.drain(volumeId, fromOffset, toOffset);
    const { map } = this.#state;
    const end = Math.ceil(toOffset / EXTENT_BYTES);
    for (let from = fromOffset; from < toOffset; ) {
      from = Math.max(from, map.nextBacked(volumeId, Math.floor(from / EXTENT_BYTES), end) * EXTENT_BYTES);
      if (from >= toOffset) break;
      const length = Math.min(MAX_DISK_TRIM_BYTES, toOffset - from);
      await this.#trim(volumeId, from, length);
      from += length;
    }
  }

  /** Writes the table and moves the log's tail. */
  async checkpoint(): Promise<void> {
    await this.#log.whenSettled(this.#log.recordedThrough);
    await this.#checkpoint.run(false);
  }

  /** Finishes what is in flight (new requests get ECANCELED), then a last checkpoint marks the disk clean. Idempotent. Does not close the Disk. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** For tests: throws AssertionFailure unless space accounting, map and table agree; returns the numbers. */
  checkInvariants(): { readonly totalExtents: number; readonly usedExtents: number; readonly freeExtents: number } {
    return checkInvariants(
      this.#state,
      this.#active.count === 0 && this.#reader.count === 0 && this.#log.isQuiet && this.#givenBack.isIdle,
    );
  }

  batchComplete(batch: LogBatch): void {
    this.#givenBack.release(batch);
  }

  logProgressed(): void {
    if (!this.#stalls.isEmpty) this.#stalls.resumeAll();
    if (this.#log.isIdle) this.#writer.placeNow();
  }

  checkpointWanted(): void {
    this.#checkpoint.want();
  }

  #refusal(io: DiskIo): number {
    if (this.#state.failure !== null) return EIO;
    if (this.#isClosing) return ECANCELED;
    const { offset, length, operation } = io;
    const limit = operation === DISK_TRIM ? MAX_DISK_TRIM_BYTES : MAX_DISK_IO_BYTES;
    const isRight = length > 0 && length <= limit && offset >= 0 && offset % SECTOR_BYTES === 0 && length % SECTOR_BYTES === 0;
    return isRight && offset + length <= Number.MAX_SAFE_INTEGER ? 0 : EINVAL;
  }

  async #trim(volumeId: number, offset: number, length: number): Promise<void> {
    const done = new TrimOwner();
    const io = new DiskIo(done);
    io.operation = DISK_TRIM;
    io.volumeId = volumeId;
    io.offset = offset;
    io.length = length;
    io.keepStamp = true;
    this.submit(io);
    const result = await done.settled;
    if (result !== 0) throw this.#state.failure ?? new Error(`trim of volume ${volumeId} at ${offset}: errno ${result}`);
  }

  async #close(): Promise<void> {
    this.#isClosing = true;
    await this.#active.whenIdle();
    if (this.#state.failure === null) {
      await this.#log.whenSettled(this.#log.recordedThrough);
      await this.#givenBack.whenIdle();
      await this.#checkpoint.run(true);
    }
    assert(this.#state.outstanding === 0, 'the disk store is closed while the disk still works for it');
    this.#log.release();
    this.#scratch.release();
  }

  /** The disk has failed: nobody makes progress any more. */
  #stop(): void {
    this.#active.stop();
    this.#stalls.clear();
    this.onFailure(this.#state.failure!);
  }

  /** ... and the disk has let go of all memory: everybody is answered. */
  #abandon(): void {
    this.#log.abandon();
    this.#scratch.wakeAll();
    this.#state.waits.wakeAll();
    this.#active.failAll();
  }
}

class TrimOwner implements DiskIoOwner {
  readonly settled: Promise<number>;
  #resolve!: (result: number) => void;

  constructor() {
    this.settled = new Promise((resolve) => (this.#resolve = resolve));
  }

  ioDurable(): void {}

  ioSettled(io: DiskIo): void {
    this.#resolve(io.result);
  }
}
