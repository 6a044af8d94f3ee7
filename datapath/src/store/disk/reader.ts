// The read path: written blocks come from the disk and are verified, unwritten ones are zeros without I/O. Called by DiskStore.
// Invariants: bytes are handed out only if their checksum is the one that their owner's entry holds; neighbouring blocks leave as one read;
// a read does not hold writers up: if an extent changed meanwhile and the bytes do not match any more, that piece is read again, this
// time with its blocks marked busy, so that it cannot be overtaken for ever.
import { BLOCK_BYTES } from '../../base/sizes.ts';
import { ZERO_BLOCK_CRC, crc32cAppendBlock } from '../../base/crc32c-combine.ts';
import type { Completion } from '../../world/completion.ts';
import { EIO } from '../../world/completion.ts';
import type { DiskIo } from './disk-io.ts';
import type { DiskState } from './disk-state.ts';
import { BITMAP, FIRST_CRC, slotOf, wordOf } from './extent-table.ts';
import type { ExtentWaiter } from './extent-waits.ts';
import { ALL_BLOCKS, BLOCKS_PER_EXTENT, EXTENT_BYTES } from './layout.ts';
import type { ScratchBlocks } from './scratch-blocks.ts';

const MAX_IO_BLOCKS = 257;

export class Reader {
  readonly #state: DiskState;
  readonly #scratch: ScratchBlocks;
  readonly #pool: ReadSpan[] = [];
  /** The span being built by #readRange. */
  #building: ReadSpan | null = null;
  /** Requests between submit and their end. */
  count = 0;

  constructor(state: DiskState, scratch: ScratchBlocks) {
    this.#state = state;
    this.#scratch = scratch;
  }

  submit(io: DiskIo): void {
    io.result = 0;
    io.isCorrupt = false;
    io.pendingDurable = 1;
    this.count += 1;
    this.#state.counters.reads += 1;
    if (io.wantsCrc && io.blockCrcs === null) io.blockCrcs = new Uint32Array(MAX_IO_BLOCKS);
    this.readRange(io, io.offset, io.offset + io.length, false);
    this.partDone(io);
  }

  partDone(io: DiskIo): void {
    io.pendingDurable -= 1;
    if (io.pendingDurable > 0) return;
    if (io.wantsCrc && io.result === 0) io.crc = this.#joinCrcs(io);
    this.count -= 1;
    io.owner.ioDurable(io);
    io.owner.ioSettled(io);
  }

  /** Reads [from, to) of the request, both multiples of 512. */
  readRange(io: DiskIo, from: number, to: number, isRetry: boolean): void {
    const { map, table, waits, failure } = this.#state;
    if (failure !== null) {
      io.result = EIO;
      return;
    }
    for (let at = from; at < to; ) {
      const extentNumber = Math.floor(at / EXTENT_BYTES);
      const stop = Math.min(to, (extentNumber + 1) * EXTENT_BYTES);
      const physical = map.find(io.volumeId, extentNumber);
      if (physical < 0) {
        this.#zero(io, at, stop);
      } else {
        const start = extentNumber * EXTENT_BYTES;
        const first = ((at - start) / BLOCK_BYTES) | 0;
        const end = ((stop - start + BLOCK_BYTES - 1) / BLOCK_BYTES) | 0;
        const mask = (ALL_BLOCKS >>> (BLOCKS_PER_EXTENT - (end - first))) << first;
        if ((table.at(physical).busy[slotOf(physical)]! & mask) !== 0 || (!waits.isEmpty && waits.has(physical))) {
          io.pendingDurable += 1;
          this.#state.counters.waits += 1;
          waits.add(physical, new ReadWait(this, io, at, stop, isRetry));
        } else {
          this.#readExtent(io, physical, start, at, stop, isRetry);
        }
      }
      at = stop;
    }
    this.#launch();
  }

  spanRead(span: ReadSpan, result: number): void {
    const state = this.#state;
    if (result !== 0 || state.failure !== null) span.io.result = EIO;
    else if (span.isHolding || this.#changeSum(span) === span.changeSum) this.#verify(span);
    else this.#verifyChanged(span);
    if (span.isHolding) this.#unhold(span);
    const { io, scratch } = span;
    this.#pool.push(span);
    if (scratch !== 0) {
      span.scratch = 0;
      this.#scratch.give(scratch);
    }
    this.partDone(io);
  }

  /** The part of one extent: runs of written blocks are read, the others zeroed. */
  #readExtent(io: DiskIo, physical: number, start: number, from: number, to: number, isRetry: boolean): void {
    const written = this.#state.table.at(physical).words[wordOf(physical) + BITMAP]!;
    for (let at = from; at < to; ) {
      const block = ((at - start) / BLOCK_BYTES) | 0;
      const stop = Math.min(to, start + (block + 1) * BLOCK_BYTES);
      if (((written >>> block) & 1) === 0) this.#zero(io, at, stop);
      else if (stop - at === BLOCK_BYTES) this.#addBlock(io, physical, block, at, isRetry);
      else if (!this.#readPartial(io, physical, block, at, stop, to, isRetry)) return;
      at = stop;
    }
  }

  /** A whole written block joins the span being built, or begins one. */
  #addBlock(io: DiskIo, physical: number, block: number, at: number, isRetry: boolean): void {
    const diskOffset = this.#state.diskOffsetOf(physical) + block * BLOCK_BYTES;
    const building = this.#building;
    if (
      building !== null &&
      building.io === io &&
      building.end === at &&
      building.diskOffset + (at - building.start) === diskOffset
    ) {
      building.end = at + BLOCK_BYTES;
      return;
    }
    this.#launch();
    this.#building = this.#span(io, physical, block, at, isRetry);
  }

  #span(io: DiskIo, physical: number, block: number, at: number, isRetry: boolean): ReadSpan {
    const span = this.#pool.pop() ?? new ReadSpan(this);
    span.io = io;
    span.physical = physical;
    span.firstBlock = block;
    span.diskOffset = this.#state.diskOffsetOf(physical) + block * BLOCK_BYTES;
    span.start = at;
    span.end = at + BLOCK_BYTES;
    span.isHolding = isRetry;
    return span;
  }

  #launch(): void {
    const span = this.#building;
    if (span === null) return;
    this.#building = null;
    this.#issue(span, span.io.memory + (span.start - span.io.offset));
  }

  #issue(span: ReadSpan, memory: number): void {
    span.memory = memory;
    span.changeSum = this.#changeSum(span);
    span.io.pendingDurable += 1;
    if (span.isHolding) this.#hold(span);
    this.#state.disk.read(span.diskOffset, memory, span.end - span.start, span);
  }

  /** False when there was no scratch block: all up to `rangeEnd` waits for one. */
  #readPartial(
    io: DiskIo,
    physical: number,
    block: number,
    from: number,
    to: number,
    rangeEnd: number,
    isRetry: boolean,
  ): boolean {
    this.#launch();
    if (!this.#scratch.has(1)) {
      io.pendingDurable += 1;
      this.#state.counters.waits += 1;
      this.#scratch.wait(new ReadWait(this, io, from, rangeEnd, isRetry));
      return false;
    }
    const span = this.#span(io, physical, block, from - (from % BLOCK_BYTES), isRetry);
    span.scratch = this.#scratch.take();
    span.copyFrom = from;
    span.copyTo = to;
    this.#issue(span, span.scratch);
    return true;
  }

  /** Nothing has changed since the read began, or nothing could (its blocks were busy): what does not match is damaged. */
  #verify(span: ReadSpan): void {
    const { table } = this.#state;
    let { physical } = span;
    let block = span.firstBlock;
    let { words } = table.at(physical);
    let crcAt = wordOf(physical) + FIRST_CRC;
    for (let at = span.start; at < span.end; at += BLOCK_BYTES) {
      if (block === BLOCKS_PER_EXTENT) {
        block = 0;
        physical += 1;
        words = table.at(physical).words;
        crcAt = wordOf(physical) + FIRST_CRC;
      }
      if (!this.#isBlockIntact(span, at, words[crcAt + block]!)) this.#corrupt(span, at, physical);
      block += 1;
    }
    if (span.scratch !== 0 && span.io.result === 0) this.#copyOut(span);
  }

  /** Some extent has changed: a piece is right if it is still mapped there and matches what is recorded now; else it is read again. */
  #verifyChanged(span: ReadSpan): void {
    const { table, map, counters } = this.#state;
    const { io } = span;
    for (let at = span.start, physical = span.physical; at < span.end; physical += 1) {
      const extentNumber = Math.floor(at / EXTENT_BYTES);
      const stop = Math.min(span.end, (extentNumber + 1) * EXTENT_BYTES);
      let isRight = map.find(io.volumeId, extentNumber) === physical && table.isInUse(physical);
      const { words } = table.at(physical);
      const entry = wordOf(physical);
      for (let piece = at; isRight && piece < stop; piece += BLOCK_BYTES) {
        const block = (piece - extentNumber * EXTENT_BYTES) / BLOCK_BYTES;
        isRight =
          ((words[entry + BITMAP]! >>> block) & 1) !== 0 && this.#isBlockIntact(span, piece, words[entry + FIRST_CRC + block]!);
      }
      if (isRight) {
        if (span.scratch !== 0) this.#copyOut(span);
      } else {
        counters.readRetries += 1;
        if (span.scratch !== 0) this.readRange(io, span.copyFrom, span.copyTo, true);
        else this.readRange(io, at, stop, true);
      }
      at = stop;
    }
  }

  #isBlockIntact(span: ReadSpan, at: number, expected: number): boolean {
    const { io } = span;
    if (this.#state.memory.crc32c(span.memory + (at - span.start), BLOCK_BYTES, 0) !== expected) return false;
    if (io.wantsCrc) io.blockCrcs![(at - (io.offset - (io.offset % BLOCK_BYTES))) / BLOCK_BYTES] = expected;
    return true;
  }

  #corrupt(span: ReadSpan, at: number, physical: number): void {
    span.io.result = EIO;
    span.io.isCorrupt = true;
    this.#state.reportCorrupt(span.io.volumeId, at, physical);
    const target = span.memory + (at - span.start);
    this.#state.memory.bytes.fill(0, target, target + BLOCK_BYTES);
  }

  #copyOut(span: ReadSpan): void {
    const source = span.scratch + (span.copyFrom - span.start);
    this.#state.memory.bytes.copyWithin(
      span.io.memory + (span.copyFrom - span.io.offset),
      source,
      source + (span.copyTo - span.copyFrom),
    );
  }

  #zero(io: DiskIo, from: number, to: number): void {
    const target = io.memory + (from - io.offset);
    this.#state.memory.bytes.fill(0, target, target + (to - from));
    if (!io.wantsCrc) return;
    const base = io.offset - (io.offset % BLOCK_BYTES);
    for (let at = from - (from % BLOCK_BYTES); at < to; at += BLOCK_BYTES)
      io.blockCrcs![(at - base) / BLOCK_BYTES] = ZERO_BLOCK_CRC;
  }

  #joinCrcs(io: DiskIo): number {
    const end = io.offset + io.length;
    let crc = 0;
    for (let at = io.offset, index = 0; at < end; index += 1) {
      const stop = Math.min(end, at - (at % BLOCK_BYTES) + BLOCK_BYTES);
      if (stop - at === BLOCK_BYTES) crc = crc32cAppendBlock(crc, io.blockCrcs![index]!);
      else crc = this.#state.memory.crc32c(io.memory + (at - io.offset), stop - at, crc);
      at = stop;
    }
    return crc;
  }

  #changeSum(span: ReadSpan): number {
    const { table } = this.#state;
    const last = span.physical + (((span.firstBlock + (span.end - span.start) / BLOCK_BYTES - 1) / BLOCKS_PER_EXTENT) | 0);
    let sum = 0;
    for (let physical = span.physical; physical <= last; physical += 1) sum += table.at(physical).changes[slotOf(physical)]!;
    return sum;
  }

  #hold(span: ReadSpan): void {
    this.#state.table.at(span.physical).busy[slotOf(span.physical)]! |= spanMask(span);
  }

  #unhold(span: ReadSpan): void {
    const { table, waits } = this.#state;
    span.isHolding = false;
    table.at(span.physical).busy[slotOf(span.physical)]! &= ~spanMask(span);
    if (!waits.isEmpty) waits.wake(span.physical);
  }
}

/** One contiguous read of whole blocks; a holding one lies in one extent. */
export class ReadSpan implements Completion {
  readonly #reader: Reader;
  io!: DiskIo;
  physical = 0;
  firstBlock = 0;
  diskOffset = 0;
  /** Bytes from the volume's start, multiples of 4096. */
  start = 0;
  end = 0;
  memory = 0;
  changeSum = 0;
  isHolding = false;
  /** For a partly wanted block: it is read here, and [copyFrom, copyTo) is copied out. */
  scratch = 0;
  copyFrom = 0;
  copyTo = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  complete(result: number): void {
    this.#reader.spanRead(this, result);
  }
}

class ReadWait implements ExtentWaiter {
  readonly #reader: Reader;
  readonly #io: DiskIo;
  readonly #from: number;
  readonly #to: number;
  readonly #isRetry: boolean;

  constructor(reader: Reader, io: DiskIo, from: number, to: number, isRetry: boolean) {
    this.#reader = reader;
    this.#io = io;
    this.#from = from;
    this.#to = to;
    this.#isRetry = isRetry;
  }

  resume(): void {
    this.#reader.readRange(this.#io, this.#from, this.#to, this.#isRetry);
    this.#reader.partDone(this.#io);
  }
}

function spanMask(span: ReadSpan): number {
  return (ALL_BLOCKS >>> (BLOCKS_PER_EXTENT - (span.end - span.start) / BLOCK_BYTES)) << span.firstBlock;
}
