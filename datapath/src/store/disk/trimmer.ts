// The trim path: clears the bits of whole blocks, frees extents that become empty, and lets the writer zero the edges inside blocks.
// Called by DiskStore. A long trim walks extent by extent and stops where the batch is full or an extent is busy; it never blocks writes for long.
// Blocks stay busy until the batch is complete: nobody reads zeros that a power cut could turn back into data.
import { BLOCK_BYTES, alignDown, alignUp } from '../../base/sizes.ts';
import type { ActiveIos } from './active-ios.ts';
import type { DiskIo } from './disk-io.ts';
import type { DiskState } from './disk-state.ts';
import { BITMAP, FIRST_CRC, slotOf, wordOf } from './extent-table.ts';
import type { ExtentWaiter } from './extent-waits.ts';
import { ALL_BLOCKS, BLOCKS_PER_EXTENT, EXTENT_BYTES } from './layout.ts';
import { HELD_TRIMMED, type BatchPart } from './log-batch.ts';
import type { RedoLog } from './redo-log.ts';
import type { Stalls } from './stalls.ts';
import { stamp, type Writer } from './writer.ts';

export class Trimmer {
  readonly #state: DiskState;
  readonly #active: ActiveIos;
  readonly #log: RedoLog;
  readonly #stalls: Stalls;
  readonly #writer: Writer;

  constructor(state: DiskState, active: ActiveIos, log: RedoLog, stalls: Stalls, writer: Writer) {
    this.#state = state;
    this.#active = active;
    this.#log = log;
    this.#stalls = stalls;
    this.#writer = writer;
  }

  submit(io: DiskIo): void {
    const end = io.offset + io.length;
    const firstWhole = Math.min(end, alignUp(io.offset, BLOCK_BYTES));
    const lastWhole = Math.max(firstWhole, alignDown(end, BLOCK_BYTES));
    this.#active.begin(io);
    this.#state.counters.trims += 1;
    this.#writer.submitZeroing(io, io.offset, firstWhole);
    this.#writer.submitZeroing(io, lastWhole, end);
    if (lastWhole > firstWhole) {
      this.#active.addPart(io);
      this.walk(new TrimPart(this, io, firstWhole, lastWhole));
    }
    this.#active.partDurable(io);
    this.#active.partSettled(io);
  }

  /** From the part's cursor to its end, or to where it has to wait. */
  walk(part: TrimPart): void {
    const { map, table, waits, failure } = this.#state;
    const { volumeId } = part.io;
    if (failure !== null) return;
    const endExtent = Math.ceil(part.end / EXTENT_BYTES);
    while (part.at < part.end) {
      const extentNumber = map.nextBacked(volumeId, Math.floor(part.at / EXTENT_BYTES), endExtent);
      part.at = Math.max(part.at, extentNumber * EXTENT_BYTES);
      if (part.at >= part.end) break;
      const physical = map.find(volumeId, extentNumber);
      const start = extentNumber * EXTENT_BYTES;
      const mask = blockMask(part.at - start, Math.min(part.end - start, EXTENT_BYTES));
      const isBusy = (table.at(physical).busy[slotOf(physical)]! & mask) !== 0;
      if (isBusy || (!waits.isEmpty && waits.has(physical))) {
        waits.add(physical, part);
        return;
      }
      if (!this.#stalls.canPass(part) || !this.#log.hasRoom(1, 0)) {
        this.#stalls.add(part);
        return;
      }
      this.#clear(part, physical, extentNumber, mask);
      part.at = start + EXTENT_BYTES;
    }
    part.isWalking = false;
    this.#finishIfDone(part);
  }

  partLogged(part: TrimPart): void {
    part.pendingBatches -= 1;
    this.#finishIfDone(part);
  }

  #clear(part: TrimPart, physical: number, extentNumber: number, mask: number): void {
    const segment = this.#state.table.at(physical);
    const { words } = segment;
    const at = wordOf(physical);
    const written = words[at + BITMAP]!;
    if (written !== 0 && (written & mask) === 0 && !part.io.setsStampExactly) return;
    if ((written & ~mask) === 0 && !this.#state.isPinned(part.io.volumeId, extentNumber)) {
      this.#writer.freeExtent(physical, HELD_TRIMMED);
    } else {
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) if ((mask >>> block) & 1) words[at + FIRST_CRC + block] = 0;
      words[at + BITMAP] = written & ~mask;
      segment.changes[slotOf(physical)]! += 1;
      segment.busy[slotOf(physical)]! |= mask;
      stamp(part.io, words, at);
      this.#log.touch(segment, at, physical);
      this.#log.open.hold(physical, mask);
    }
    const { open } = this.#log;
    if (part.lastBatch === open.sequence) return;
    part.lastBatch = open.sequence;
    part.pendingBatches += 1;
    open.parts.push(part);
  }

  #finishIfDone(part: TrimPart): void {
    if (part.isWalking || part.pendingBatches > 0) return;
    this.#active.partDurable(part.io);
    this.#active.partSettled(part.io);
  }
}

export class TrimPart implements BatchPart, ExtentWaiter {
  readonly #trimmer: Trimmer;
  readonly io: DiskIo;
  readonly end: number;
  /** Where the walk goes on, bytes from the volume's start. */
  at: number;
  isWalking = true;
  pendingBatches = 0;
  lastBatch = -1;

  constructor(trimmer: Trimmer, io: DiskIo, from: number, end: number) {
    this.#trimmer = trimmer;
    this.io = io;
    this.at = from;
    this.end = end;
  }

  logDurable(): void {
    this.#trimmer.partLogged(this);
  }

  resume(): void {
    this.#trimmer.walk(this);
  }
}

function blockMask(from: number, to: number): number {
  const first = from / BLOCK_BYTES;
  const count = (to - from) / BLOCK_BYTES;
  return (ALL_BLOCKS >>> (BLOCKS_PER_EXTENT - count)) << first;
}
