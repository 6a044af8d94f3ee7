// The part of a write (or the edge of a trim) that lies in one extent: a pooled record that goes its way through writer.ts.
//
//   started -> [waits: busy, no room, no scratch] -> [edges are read] -> appended -> durable -> in place: settled
//   a whole extent:                                                      appended -> batch and data durable: settled
import type { Completion } from '../../world/completion.ts';
import { BLOCK_BYTES } from '../../base/sizes.ts';
import type { DiskIo } from './disk-io.ts';
import type { ExtentWaiter } from './extent-waits.ts';
import { ALL_BLOCKS, EXTENT_BYTES } from './layout.ts';
import type { BatchPart, LogBatch } from './log-batch.ts';

export interface PartDriver {
  start(part: WritePart): void;
  append(part: WritePart): void;
  edgeRead(part: WritePart, result: number): void;
  partLogged(part: WritePart): void;
}

export class WritePart implements Completion, BatchPart, ExtentWaiter {
  readonly #driver: PartDriver;
  io!: DiskIo;
  /** Counts extents from the volume's start. */
  extentNumber = 0;
  /** Bytes in the extent, multiples of 512. */
  from = 0;
  to = 0;
  firstBlock = 0;
  endBlock = 0;
  mask = 0;
  /** Arena offset of the byte at `from`; 0 for an edge of a trim, which writes zeros. */
  memory = 0;
  isZeroing = false;
  isWhole = false;

  physical = -1;
  /** Scratch blocks for a partly covered first and last block, or 0. */
  headScratch = 0;
  tailScratch = 0;
  pendingReads = 0;
  readResult = 0;
  /** Its blocks are marked busy already: edges are being or were read. */
  isHolding = false;
  hasReservation = false;
  isPinned = false;
  isRedirect = false;
  /** A redirect waits for its batch and for its data. */
  pendingSteps = 0;
  batch: LogBatch | null = null;
  /** In a run of writes. */
  next: WritePart | null = null;

  constructor(driver: PartDriver) {
    this.#driver = driver;
  }

  prepare(io: DiskIo, extentNumber: number, from: number, to: number, memory: number, isZeroing: boolean): void {
    this.io = io;
    this.extentNumber = extentNumber;
    this.from = from;
    this.to = to;
    this.firstBlock = (from / BLOCK_BYTES) | 0;
    this.endBlock = ((to + BLOCK_BYTES - 1) / BLOCK_BYTES) | 0;
    this.mask = (ALL_BLOCKS >>> (16 - (this.endBlock - this.firstBlock))) << this.firstBlock;
    this.memory = memory;
    this.isZeroing = isZeroing;
    this.isWhole = from === 0 && to === EXTENT_BYTES;
    this.physical = -1;
    this.headScratch = 0;
    this.tailScratch = 0;
    this.pendingReads = 0;
    this.readResult = 0;
    this.isHolding = false;
    this.hasReservation = false;
    this.isPinned = false;
    this.isRedirect = false;
    this.pendingSteps = 0;
    this.batch = null;
    this.next = null;
  }

  /** Where the content of a block lies in the arena. */
  blockMemory(block: number): number {
    if (block === this.firstBlock && this.headScratch !== 0) return this.headScratch;
    if (block === this.endBlock - 1 && this.tailScratch !== 0) return this.tailScratch;
    return this.memory + (block * BLOCK_BYTES - this.from);
  }

  get isHeadPartial(): boolean {
    return this.from % BLOCK_BYTES !== 0 || (this.endBlock === this.firstBlock + 1 && this.to % BLOCK_BYTES !== 0);
  }

  get isTailPartial(): boolean {
    return this.endBlock > this.firstBlock + 1 && this.to % BLOCK_BYTES !== 0;
  }

  complete(result: number): void {
    this.#driver.edgeRead(this, result);
  }

  logDurable(): void {
    this.#driver.partLogged(this);
  }

  resume(): void {
    if (this.isHolding) this.#driver.append(this);
    else this.#driver.start(this);
  }
}
