// The write path: cuts a request into parts of one extent each, journals or redirects them, and settles them (disk-format.md, section 2).
// Called by DiskStore. State changes the moment a part joins the open batch; until it settles its blocks are busy and others wait for them.
// Invariants: no block has two writers; space is promised to every part at submit, so a request never fails half-way for lack of it.
import { BLOCK_BYTES } from '../../base/sizes.ts';
import { EIO, ENOSPC } from '../../world/completion.ts';
import type { ActiveIos } from './active-ios.ts';
import type { DiskIo } from './disk-io.ts';
import type { DiskState } from './disk-state.ts';
import {
  BITMAP,
  EXTENT_AND_STATE,
  FIRST_CRC,
  GENERATION,
  STATE_IN_USE,
  initEntry,
  raiseStamp,
  sequenceOf,
  setStamp,
  slotOf,
  wordOf,
} from './extent-table.ts';
import { ALL_BLOCKS, BLOCKS_PER_EXTENT, EXTENTS_PER_OBJECT, EXTENT_BYTES } from './layout.ts';
import { HELD_FREED, type HELD_TRIMMED, KIND_REDIRECT, NO_PREVIOUS } from './log-batch.ts';
import type { RedoLog } from './redo-log.ts';
import type { ScratchBlocks } from './scratch-blocks.ts';
import type { Stalls } from './stalls.ts';
import { WritePart, type PartDriver } from './write-part.ts';
import { WriteRun, type RunOwner } from './write-run.ts';
import { reasonOf } from './gather.ts';

/** Journaled parts that are durable, but not on their way to their place yet, and their blocks (1 MiB). */
const MAX_HELD_PARTS = 128;
const MAX_HELD_BLOCKS = 256;

export class Writer implements PartDriver, RunOwner {
  readonly #state: DiskState;
  readonly #active: ActiveIos;
  readonly #log: RedoLog;
  readonly #stalls: Stalls;
  readonly #scratch: ScratchBlocks;
  readonly #redirected: WriteRun;
  readonly #inPlace: WriteRun;
  readonly #heldBack: WritePart[] = [];
  #heldBlocks = 0;
  readonly #pool: WritePart[] = [];

  constructor(state: DiskState, active: ActiveIos, log: RedoLog, stalls: Stalls, scratch: ScratchBlocks) {
    this.#state = state;
    this.#active = active;
    this.#log = log;
    this.#stalls = stalls;
    this.#scratch = scratch;
    this.#redirected = new WriteRun(state, true, this);
    this.#inPlace = new WriteRun(state, false, this);
  }

  submit(io: DiskIo): void {
    const { volumeId, offset, length } = io;
    const end = offset + length;
    this.#active.begin(io);
    this.#state.counters.writes += 1;
    if (this.missingExtents(volumeId, offset, length) > this.#state.availableExtents) {
      io.result = ENOSPC;
    } else {
      if (length >= 2 * EXTENT_BYTES) this.#state.free.preferRun(Math.floor(length / EXTENT_BYTES));
      for (let at = offset; at < end; ) {
        const extentNumber = Math.floor(at / EXTENT_BYTES);
        const start = extentNumber * EXTENT_BYTES;
        const stop = Math.min(end, start + EXTENT_BYTES);
        this.#submitPart(io, extentNumber, at - start, stop - start, io.memory + (at - offset), false);
        at = stop;
      }
    }
    this.#active.partDurable(io);
    this.#active.partSettled(io);
  }

  /** An edge of a trim: [from, to) lies inside one block and reads as zeros afterwards. */
  submitZeroing(io: DiskIo, from: number, to: number): void {
    const extentNumber = Math.floor(from / EXTENT_BYTES);
    const start = extentNumber * EXTENT_BYTES;
    if (to > from) this.#submitPart(io, extentNumber, from - start, to - start, 0, true);
  }

  /** How many extents a write of this range would have to take. */
  missingExtents(volumeId: number, offset: number, length: number): number {
    const { map, table } = this.#state;
    let missing = 0;
    for (
      let at = Math.floor(offset / EXTENT_BYTES), last = Math.floor((offset + length - 1) / EXTENT_BYTES);
      at <= last;
      at += 1
    ) {
      const physical = map.find(volumeId, at);
      if (physical < 0 || !table.isInUse(physical)) missing += 1;
    }
    return missing;
  }

  start(part: WritePart): void {
    const state = this.#state;
    if (state.failure !== null) return;
    const physical = state.map.find(part.io.volumeId, part.extentNumber);
    if (physical >= 0) {
      const isBusy = (state.table.at(physical).busy[slotOf(physical)]! & part.mask) !== 0;
      if (isBusy || (!state.waits.isEmpty && state.waits.has(physical))) {
        this.#pin(part);
        state.counters.waits += 1;
        state.waits.add(physical, part);
        return;
      }
    }
    if (part.isZeroing && !this.#isFirstBlockWritten(part, physical)) {
      this.#drop(part);
      return;
    }
    if (!this.#stalls.canPass(part) || !this.#admits(part, physical)) this.#stall(part);
    else if (part.isRedirect) this.#appendRedirect(part, physical);
    else if (!part.isHeadPartial && !part.isTailPartial) this.#appendJournaled(part, physical);
    else this.#prepareEdges(part, physical);
  }

  /** A part whose edges have been read; its blocks are busy. */
  append(part: WritePart): void {
    if (this.#state.failure !== null) return;
    if (!this.#stalls.canPass(part) || !this.#admits(part, part.physical)) this.#stall(part);
    else this.#appendJournaled(part, part.physical);
  }

  edgeRead(part: WritePart, result: number): void {
    const state = this.#state;
    state.ioEnded();
    if (result !== 0) part.readResult = result;
    part.pendingReads -= 1;
    if (part.pendingReads > 0 || state.failure !== null) return;
    if (part.readResult === 0 && this.#areEdgesIntact(part)) {
      this.#mergeEdges(part);
      this.append(part);
      return;
    }
    if (part.readResult === 0) part.io.isCorrupt = true;
    part.io.result = EIO;
    this.#release(part);
    this.#drop(part);
  }

  partLogged(part: WritePart): void {
    if (part.isRedirect) {
      this.#redirectStep(part);
    } else {
      this.#active.partDurable(part.io);
      this.#heldBack.push(part);
      this.#heldBlocks += part.endBlock - part.firstBlock;
      const isWaitedFor = !this.#state.waits.isEmpty || this.#scratch.hasWaiters || this.#active.hasDrains;
      if (isWaitedFor || this.#heldBack.length >= MAX_HELD_PARTS || this.#heldBlocks >= MAX_HELD_BLOCKS) this.placeNow();
    }
  }

  /**
   * Durable blocks go from the log's memory to their place in bursts: while the log is busy, each flush would otherwise wait for them.
   * Called when the log is idle, when enough of them wait, and whenever somebody waits for a block, for scratch or for a drain.
   */
  placeNow(): void {
    const parts = this.#heldBack;
    for (let index = 0; index < parts.length; index += 1) this.#inPlace.add(parts[index]!);
    parts.length = 0;
    this.#heldBlocks = 0;
  }

  runWritten(first: WritePart, result: number): void {
    if (result !== 0) {
      this.#state.fail(`cannot write at ${this.#state.diskOffsetOf(first.physical)}: ${reasonOf(result)}`);
      return;
    }
    if (this.#state.failure !== null) return;
    for (let part: WritePart | null = first; part !== null; ) {
      const next: WritePart | null = part.next;
      const batch = part.batch!;
      if (part.isRedirect) {
        this.#redirectStep(part);
        this.#log.dataDone(batch);
      } else {
        this.#settle(part);
        this.#log.placed(batch);
      }
      part = next;
    }
  }

  #submitPart(io: DiskIo, extentNumber: number, from: number, to: number, memory: number, isZeroing: boolean): void {
    const part = this.#pool.pop() ?? new WritePart(this);
    part.prepare(io, extentNumber, from, to, memory, isZeroing);
    if (!isZeroing) {
      const physical = this.#state.map.find(io.volumeId, extentNumber);
      if (physical < 0 || !this.#state.table.isInUse(physical)) {
        part.hasReservation = true;
        this.#state.reservedExtents += 1;
      }
    }
    this.#active.addPart(io);
    this.start(part);
  }

  /** Room in the log and, where it is needed, a free extent. Decides between journal and redirect. */
  #admits(part: WritePart, physical: number): boolean {
    const { free } = this.#state;
    const blocks = part.endBlock - part.firstBlock;
    part.isRedirect = false;
    if (physical < 0) {
      if (free.count === 0) return false;
      part.isRedirect = part.isWhole;
    } else if (part.isWhole) {
      // Free extents that waiting parts count on are not taken for a redirect: the extent that is there will do.
      part.isRedirect = free.count > this.#state.reservedExtents;
    }
    return part.isRedirect ? this.#log.hasRoom(2, 0) : this.#log.hasRoom(1, blocks);
  }

  #stall(part: WritePart): void {
    this.#pin(part);
    this.#state.counters.waits += 1;
    this.#stalls.add(part);
  }

  /** Returns with the part appended, waiting for scratch blocks, or reading. */
  #prepareEdges(part: WritePart, physical: number): void {
    const { memory, disk, table } = this.#state;
    const wanted = (part.isHeadPartial ? 1 : 0) + (part.isTailPartial ? 1 : 0);
    if (!this.#scratch.has(wanted)) {
      this.#pin(part);
      this.#state.counters.waits += 1;
      this.#scratch.wait(part);
      return;
    }
    if (part.isHeadPartial) part.headScratch = this.#scratch.take();
    if (part.isTailPartial) part.tailScratch = this.#scratch.take();
    part.physical = physical;
    const written = physical < 0 ? 0 : table.at(physical).words[wordOf(physical) + BITMAP]!;
    const readsHead = part.headScratch !== 0 && ((written >>> part.firstBlock) & 1) !== 0;
    const readsTail = part.tailScratch !== 0 && ((written >>> (part.endBlock - 1)) & 1) !== 0;
    if (part.headScratch !== 0 && !readsHead) memory.bytes.fill(0, part.headScratch, part.headScratch + BLOCK_BYTES);
    if (part.tailScratch !== 0 && !readsTail) memory.bytes.fill(0, part.tailScratch, part.tailScratch + BLOCK_BYTES);
    if (!readsHead && !readsTail) {
      this.#mergeEdges(part);
      this.#appendJournaled(part, physical);
      return;
    }
    table.at(physical).busy[slotOf(physical)]! |= part.mask;
    part.isHolding = true;
    part.pendingReads = (readsHead ? 1 : 0) + (readsTail ? 1 : 0);
    this.#state.outstanding += part.pendingReads;
    const base = this.#state.diskOffsetOf(physical);
    if (readsHead) disk.read(base + part.firstBlock * BLOCK_BYTES, part.headScratch, BLOCK_BYTES, part);
    if (readsTail) disk.read(base + (part.endBlock - 1) * BLOCK_BYTES, part.tailScratch, BLOCK_BYTES, part);
  }

  #areEdgesIntact(part: WritePart): boolean {
    const head = part.headScratch === 0 || this.#isEdgeIntact(part, part.firstBlock, part.headScratch);
    const tail = part.tailScratch === 0 || this.#isEdgeIntact(part, part.endBlock - 1, part.tailScratch);
    return head && tail;
  }

  #isEdgeIntact(part: WritePart, block: number, scratch: number): boolean {
    const { words } = this.#state.table.at(part.physical);
    const at = wordOf(part.physical);
    if (((words[at + BITMAP]! >>> block) & 1) === 0) return true;
    if (this.#state.memory.crc32c(scratch, BLOCK_BYTES, 0) === words[at + FIRST_CRC + block]!) return true;
    this.#state.reportCorrupt(part.io.volumeId, part.extentNumber * EXTENT_BYTES + block * BLOCK_BYTES, part.physical);
    return false;
  }

  /** Lays the new bytes over the scratch blocks. */
  #mergeEdges(part: WritePart): void {
    const { bytes } = this.#state.memory;
    if (part.headScratch !== 0) {
      const to = Math.min(part.to, (part.firstBlock + 1) * BLOCK_BYTES);
      const target = part.headScratch + (part.from % BLOCK_BYTES);
      if (part.isZeroing) bytes.fill(0, target, target + (to - part.from));
      else bytes.copyWithin(target, part.memory, part.memory + (to - part.from));
    }
    if (part.tailScratch !== 0) {
      const from = (part.endBlock - 1) * BLOCK_BYTES;
      const source = part.memory + (from - part.from);
      bytes.copyWithin(part.tailScratch, source, source + (part.to - from));
    }
  }

  #appendJournaled(part: WritePart, physicalOrNone: number): void {
    const { table, memory, counters } = this.#state;
    const physical = physicalOrNone < 0 ? this.#allocate(part) : physicalOrNone;
    const segment = table.open(physical);
    const { words } = segment;
    const at = wordOf(physical);
    const slot = slotOf(physical);
    const { io } = part;
    part.physical = physical;
    if (physicalOrNone < 0) this.#initEntry(part, words, at);
    const crcs = io.payloadCrcs !== null && !part.isZeroing && io.offset % BLOCK_BYTES === 0 ? io.payloadCrcs : null;
    const firstCrc = crcs === null ? 0 : (part.extentNumber * EXTENT_BYTES - io.offset) / BLOCK_BYTES;
    for (let block = part.firstBlock; block < part.endBlock; block += 1) {
      const blockMemory = part.blockMemory(block);
      const isGiven = crcs !== null && (block + 1) * BLOCK_BYTES <= part.to;
      const crc = isGiven ? crcs[firstCrc + block]! : memory.crc32c(blockMemory, BLOCK_BYTES, 0);
      words[at + FIRST_CRC + block] = crc;
      this.#log.addPayload(physical, block, crc, blockMemory);
    }
    words[at + BITMAP]! |= part.mask;
    segment.busy[slot]! |= part.mask;
    segment.changes[slot]! += 1;
    stamp(io, words, at);
    this.#log.touch(segment, at, physical);
    counters.journaledBlocks += part.endBlock - part.firstBlock;
    this.#join(part);
    part.batch!.pendingInPlace += 1;
  }

  #appendRedirect(part: WritePart, old: number): void {
    const { table, memory, counters } = this.#state;
    const physical = this.#allocate(part);
    const segment = table.open(physical);
    const { words } = segment;
    const at = wordOf(physical);
    const { io } = part;
    part.physical = physical;
    this.#initEntry(part, words, at);
    const crcs = io.payloadCrcs !== null && io.offset % BLOCK_BYTES === 0 ? io.payloadCrcs : null;
    const firstCrc = crcs === null ? 0 : (part.extentNumber * EXTENT_BYTES - io.offset) / BLOCK_BYTES;
    for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
      words[at + FIRST_CRC + block] =
        crcs !== null ? crcs[firstCrc + block]! : memory.crc32c(part.memory + block * BLOCK_BYTES, BLOCK_BYTES, 0);
    }
    words[at + BITMAP] = ALL_BLOCKS;
    segment.busy[slotOf(physical)] = ALL_BLOCKS;
    segment.changes[slotOf(physical)]! += 1;
    this.#log.touchAs(segment, at, physical, KIND_REDIRECT, old < 0 ? NO_PREVIOUS : old);
    if (old >= 0) {
      const oldWords = table.at(old).words;
      setStamp(words, at, oldWords[wordOf(old) + GENERATION]!, sequenceOf(oldWords, wordOf(old)));
      this.freeExtent(old, HELD_FREED);
    }
    stamp(io, words, at);
    counters.redirectedExtents += 1;
    part.pendingSteps = 2;
    this.#join(part);
    part.batch!.pendingData += 1;
    this.#redirected.add(part);
  }

  /** Takes an extent out of use; it is given back when the open batch is complete. The caller has checked that the batch has room. */
  freeExtent(physical: number, held: typeof HELD_FREED | typeof HELD_TRIMMED): void {
    const segment = this.#state.table.at(physical);
    const at = wordOf(physical);
    segment.words[at + EXTENT_AND_STATE]! &= STATE_IN_USE - 1;
    segment.words[at + BITMAP] = 0;
    segment.changes[slotOf(physical)]! += 1;
    segment.busy[slotOf(physical)] = ALL_BLOCKS;
    this.#log.touch(segment, at, physical);
    this.#log.open.hold(physical, held);
    this.#state.pendingFreeExtents += 1;
  }

  #allocate(part: WritePart): number {
    if (part.hasReservation) {
      part.hasReservation = false;
      this.#state.reservedExtents -= 1;
    }
    return this.#state.free.take();
  }

  #initEntry(part: WritePart, words: Uint32Array, at: number): void {
    const { extentNumber, io } = part;
    initEntry(words, at, io.volumeId, Math.floor(extentNumber / EXTENTS_PER_OBJECT), extentNumber % EXTENTS_PER_OBJECT);
    this.#state.map.set(io.volumeId, extentNumber, part.physical);
  }

  #join(part: WritePart): void {
    const { open } = this.#log;
    part.batch = open;
    part.isHolding = false;
    open.parts.push(part);
    this.#letGo(part);
  }

  #redirectStep(part: WritePart): void {
    part.pendingSteps -= 1;
    if (part.pendingSteps > 0) return;
    this.#active.partDurable(part.io);
    this.#settle(part);
  }

  #settle(part: WritePart): void {
    const { io } = part;
    this.#release(part);
    this.#pool.push(part);
    this.#active.partSettled(io);
  }

  /** Its blocks are not busy any more; scratch goes back. */
  #release(part: WritePart): void {
    const { table, waits } = this.#state;
    const { physical, headScratch, tailScratch } = part;
    table.at(physical).busy[slotOf(physical)]! &= ~part.mask;
    part.headScratch = 0;
    part.tailScratch = 0;
    if (headScratch !== 0) this.#scratch.give(headScratch);
    if (tailScratch !== 0) this.#scratch.give(tailScratch);
    if (!waits.isEmpty) waits.wake(physical);
  }

  /** Ends a part that changed nothing. */
  #drop(part: WritePart): void {
    const { io } = part;
    this.#letGo(part);
    this.#pool.push(part);
    this.#active.partDurable(io);
    this.#active.partSettled(io);
  }

  #isFirstBlockWritten(part: WritePart, physical: number): boolean {
    return physical >= 0 && ((this.#state.table.at(physical).words[wordOf(physical) + BITMAP]! >>> part.firstBlock) & 1) !== 0;
  }

  #pin(part: WritePart): void {
    if (part.isPinned || part.isHolding) return;
    part.isPinned = true;
    this.#state.pin(part.io.volumeId, part.extentNumber);
  }

  #letGo(part: WritePart): void {
    if (part.isPinned) this.#state.unpin(part.io.volumeId, part.extentNumber);
    part.isPinned = false;
    if (part.hasReservation) this.#state.reservedExtents -= 1;
    part.hasReservation = false;
  }
}

/** The rule of stamps: unchanged, exactly the given one, or the larger one. */
export function stamp(io: DiskIo, words: Uint32Array, at: number): void {
  if (io.setsStampExactly) setStamp(words, at, io.generation, io.sequence);
  else if (!io.keepStamp) raiseStamp(words, at, io.generation, io.sequence);
}
