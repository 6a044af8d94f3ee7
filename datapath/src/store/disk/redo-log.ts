// The running redo log: group commit. Requests add records to the open batch; it leaves at the end of the turn, or when there is room in flight.
// Owned by DiskStore; filled by the writer and the trimmer; its tail is moved by the checkpoint.
// Invariants: batches are written and acknowledged in order; batch n + IN_FLIGHT leaves after n is durable; a record is admitted only
// while the log has room for the whole largest batch, so an open batch can always leave and a checkpoint can always finish.
//
//   open -> in flight -> durable (acknowledged in order) -> complete (redirected data too, in order) -> settled (blocks in place, in order)
import { assert } from '../../base/assert.ts';
import { BLOCK_BYTES } from '../../base/sizes.ts';
import type { TurnTask } from '../../world/clock.ts';
import { IoVector } from '../../world/disk.ts';
import type { DiskState } from './disk-state.ts';
import { LOG_HIGH, LOG_LOW, type ExtentSegment } from './extent-table.ts';
import { reasonOf } from './gather.ts';
import { MAX_BATCH_META_BYTES, maxPayloadBlocks } from './layout.ts';
import { encodeMeta, KIND_UPDATE, LogBatch, MAX_TOUCHED, NO_PREVIOUS, type BatchOwner } from './log-batch.ts';

/** Batches on their way to the disk at once. */
export const IN_FLIGHT = 2;
/** Batches that are open, in flight or not settled yet; a power of two. */
const LIVE_BATCHES = 64;

/** What happens because of the log's progress: DiskStore. */
export interface LogListener {
  batchComplete(batch: LogBatch): void;
  /** Room, space or sequence numbers have moved on: the stalled may try again. */
  logProgressed(): void;
  checkpointWanted(): void;
}

export interface LogStart {
  readonly secret: number;
  readonly tailPosition: number;
  readonly nextSequence: number;
}

interface SequenceWait {
  readonly kind: 'complete' | 'settled';
  readonly sequence: number;
  readonly resolve: () => void;
}

export class RedoLog implements BatchOwner, TurnTask {
  readonly #state: DiskState;
  readonly #listener: LogListener;
  readonly #ring: LogBatch[] = [];
  readonly #metaMemory: number[] = [];
  readonly #vector = new IoVector();
  readonly #sectorBytes: number;
  readonly #maxPayload: number;
  readonly #secret: number;
  #waits: SequenceWait[] = [];
  #isScheduled = false;
  #isAdvancing = false;
  #isAdmitted = false;

  /** Monotonic positions; the place on disk is position mod the log's size. */
  #tailPosition: number;
  #nextPosition: number;
  /** The open batch's sequence; the one before is the last that left. */
  #openSequence: number;
  #durableThrough: number;
  #completeThrough: number;
  #settledThrough: number;
  /** Valid after hasRoom() has said yes. */
  open: LogBatch;

  constructor(state: DiskState, listener: LogListener, start: LogStart) {
    this.#state = state;
    this.#listener = listener;
    this.#sectorBytes = Math.max(512, state.disk.blockSizeBytes);
    this.#maxPayload = maxPayloadBlocks(state.geometry);
    this.#secret = start.secret;
    for (let index = 0; index < IN_FLIGHT; index += 1) this.#metaMemory.push(state.memory.reserve(MAX_BATCH_META_BYTES));
    for (let index = 0; index < LIVE_BATCHES; index += 1) this.#ring.push(new LogBatch(this));
    this.#tailPosition = start.tailPosition;
    this.#nextPosition = start.tailPosition;
    this.#openSequence = start.nextSequence;
    this.#durableThrough = this.#completeThrough = this.#settledThrough = start.nextSequence - 1;
    this.open = this.#ring[this.#openSequence & (LIVE_BATCHES - 1)]!;
  }

  get lastSubmitted(): number {
    return this.#openSequence - 1;
  }
  get nextPosition(): number {
    return this.#nextPosition;
  }
  get settledThrough(): number {
    return this.#settledThrough;
  }
  get usedBytes(): number {
    return this.#nextPosition - this.#tailPosition;
  }
  /** Nothing is open or in flight. */
  get isIdle(): boolean {
    return !this.#hasRecords && this.#durableThrough === this.lastSubmitted;
  }
  /** Everything that was ever recorded is settled, and nothing is open. */
  get isQuiet(): boolean {
    return !this.#hasRecords && this.#settledThrough === this.lastSubmitted;
  }

  /** Until it is admitted, the open batch's record still belongs to an old one. */
  get #hasRecords(): boolean {
    return this.#isAdmitted && this.open.touchedCount > 0;
  }

  /** Whether the open batch takes this many more entries and payload blocks now. */
  hasRoom(entries: number, payloadBlocks: number): boolean {
    if (!this.#isAdmitted && !this.#admit()) return false;
    const { open } = this;
    if (open.touchedCount + entries > MAX_TOUCHED || open.heldCount + entries > MAX_TOUCHED) return false;
    return open.payloadCount + payloadBlocks <= this.#maxPayload;
  }

  /** Records that an extent changed: its image travels with the open batch. Once per extent and batch, unless it changes its kind. */
  touch(segment: ExtentSegment, wordAt: number, physical: number): void {
    const low = this.#openSequence >>> 0;
    const high = Math.floor(this.#openSequence / 2 ** 32);
    if (segment.words[wordAt + LOG_LOW] === low && segment.words[wordAt + LOG_HIGH] === high) return;
    this.touchAs(segment, wordAt, physical, KIND_UPDATE, NO_PREVIOUS);
  }

  touchAs(segment: ExtentSegment, wordAt: number, physical: number, kind: number, previous: number): void {
    segment.words[wordAt + LOG_LOW] = this.#openSequence >>> 0;
    segment.words[wordAt + LOG_HIGH] = Math.floor(this.#openSequence / 2 ** 32);
    this.#state.table.markDirty(segment, physical);
    const { open } = this;
    const index = open.touchedCount;
    open.touched[index] = physical;
    open.kinds[index] = kind;
    open.previous[index] = previous;
    open.touchedCount = index + 1;
    if (!this.#isScheduled) this.#schedule();
  }

  addPayload(physical: number, block: number, crc: number, memory: number): void {
    const { open } = this;
    const index = open.payloadCount;
    open.payloadPhysical[index] = physical;
    open.payloadBlock[index] = block;
    open.payloadCrc[index] = crc;
    open.payloadMemory[index] = memory;
    open.payloadCount = index + 1;
  }

  /** A redirect's data, or a journaled write's block, of this batch has reached its place. */
  dataDone(batch: LogBatch): void {
    batch.pendingData -= 1;
    if (batch.pendingData === 0) this.#advance();
  }
  placed(batch: LogBatch): void {
    batch.pendingInPlace -= 1;
    if (batch.pendingInPlace === 0) this.#advance();
  }

  /** The checkpoint has a durable head with this tail: the space before it is free. */
  moveTail(position: number): void {
    this.#tailPosition = position;
    this.#listener.logProgressed();
  }

  /** What was recorded up to now, the open batch included. */
  get recordedThrough(): number {
    return this.#hasRecords ? this.#openSequence : this.lastSubmitted;
  }

  whenComplete(sequence: number): Promise<void> {
    return this.#wait('complete', sequence);
  }
  whenSettled(sequence: number): Promise<void> {
    this.#state.placeNow();
    return this.#wait('settled', sequence);
  }

  /** The disk has failed: nobody is kept waiting. They look at the state's failure. */
  abandon(): void {
    const waits = this.#waits;
    this.#waits = [];
    for (const wait of waits) wait.resolve();
  }

  release(): void {
    for (const offset of this.#metaMemory) this.#state.memory.release(offset, MAX_BATCH_META_BYTES);
    this.#metaMemory.length = 0;
  }

  runAtTurnEnd(): void {
    this.#isScheduled = false;
    if (!this.#hasRecords || this.#state.failure !== null) return;
    if (this.lastSubmitted - this.#durableThrough < IN_FLIGHT) this.#submit();
  }

  batchWritten(batch: LogBatch, result: number): void {
    this.#state.ioEnded();
    if (this.#state.failure !== null) return;
    if (result !== 0) {
      this.#state.fail(`cannot write log batch ${batch.sequence}: ${reasonOf(result)}`);
      return;
    }
    batch.isDurable = true;
    this.#advance();
    if (this.#hasRecords && !this.#isScheduled) this.#schedule();
  }

  #submit(): void {
    const { geometry, memory, disk, table } = this.#state;
    const batch = this.open;
    const meta = this.#metaMemory[batch.sequence % IN_FLIGHT]!;
    const envelope = { secret: this.#secret, completeThrough: this.#completeThrough, sectorBytes: this.#sectorBytes };
    const metaBytes = encodeMeta(batch, table, envelope, this.#state.words, meta, memory);
    const vector = this.#vector;
    vector.clear();
    let start = meta;
    let length = metaBytes;
    for (let index = 0; index < batch.payloadCount; index += 1) {
      const piece = batch.payloadMemory[index]!;
      if (piece === start + length) {
        length += BLOCK_BYTES;
        continue;
      }
      vector.push(start, length);
      start = piece;
      length = BLOCK_BYTES;
    }
    vector.push(start, length);
    const position = this.#place();
    assert(
      vector.totalBytes <= geometry.maxBatchBytes,
      `log batch of ${vector.totalBytes} bytes: at most ${geometry.maxBatchBytes} are possible`,
    );
    this.#nextPosition = position + vector.totalBytes;
    this.#openSequence += 1;
    this.#isAdmitted = false;
    this.open = this.#ring[this.#openSequence & (LIVE_BATCHES - 1)]!;
    this.#state.outstanding += 1;
    disk.writeVector(geometry.logOffset + (position % geometry.logBytes), vector, true, batch);
    this.#state.counters.logBatches += 1;
    if (this.usedBytes * 2 > geometry.logBytes) this.#listener.checkpointWanted();
    this.#listener.logProgressed();
  }

  /** Where the next batch begins: a batch does not wrap. */
  #place(): number {
    const { logBytes, maxBatchBytes } = this.#state.geometry;
    return placeBatch(this.#nextPosition, logBytes, maxBatchBytes);
  }

  #admit(): boolean {
    const { logBytes, maxBatchBytes } = this.#state.geometry;
    if (this.#openSequence - this.#settledThrough > LIVE_BATCHES - 1) {
      this.#state.placeNow();
      return false;
    }
    if (this.#place() + maxBatchBytes - this.#tailPosition > logBytes) {
      this.#listener.checkpointWanted();
      return false;
    }
    this.open.start(this.#openSequence);
    this.#isAdmitted = true;
    return true;
  }

  #advance(): void {
    if (this.#isAdvancing || this.#state.failure !== null) return;
    this.#isAdvancing = true;
    try {
      while (this.#durableThrough < this.lastSubmitted && this.#batch(this.#durableThrough + 1).isDurable) {
        this.#durableThrough += 1;
        const batch = this.#batch(this.#durableThrough);
        for (let index = 0; index < batch.parts.length; index += 1) batch.parts[index]!.logDurable(batch);
      }
      while (this.#completeThrough < this.#durableThrough && this.#batch(this.#completeThrough + 1).pendingData === 0) {
        this.#completeThrough += 1;
        this.#listener.batchComplete(this.#batch(this.#completeThrough));
      }
      while (this.#settledThrough < this.#completeThrough && this.#batch(this.#settledThrough + 1).pendingInPlace === 0) {
        this.#settledThrough += 1;
      }
    } finally {
      this.#isAdvancing = false;
    }
    if (this.#waits.length > 0) this.#wake();
    this.#listener.logProgressed();
  }

  #batch(sequence: number): LogBatch {
    return this.#ring[sequence & (LIVE_BATCHES - 1)]!;
  }

  #schedule(): void {
    this.#isScheduled = true;
    this.#state.turn.atEnd(this);
  }

  #wait(kind: SequenceWait['kind'], sequence: number): Promise<void> {
    const reached = kind === 'complete' ? this.#completeThrough : this.#settledThrough;
    if (reached >= sequence || this.#state.failure !== null) return Promise.resolve();
    return new Promise((resolve) => this.#waits.push({ kind, sequence, resolve }));
  }

  #wake(): void {
    const still: SequenceWait[] = [];
    for (const wait of this.#waits) {
      const reached = wait.kind === 'complete' ? this.#completeThrough : this.#settledThrough;
      if (reached >= wait.sequence) wait.resolve();
      else still.push(wait);
    }
    this.#waits = still;
  }
}

/** Where a batch that follows `position` begins: when the largest batch would not fit before the log's end, at the log's beginning. */
export function placeBatch(position: number, logBytes: number, maxBatchBytes: number): number {
  const inLap = position % logBytes;
  return inLap + maxBatchBytes > logBytes ? position - inLap + logBytes : position;
}
