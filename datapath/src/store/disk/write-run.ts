// Writes that lie next to each other on the disk leave as one: parts are added in order, the run leaves when one does not adjoin
// or at the end of the turn. The writer has two: durable ones for redirected data, plain ones for blocks that go from the log to their place.
import { BLOCK_BYTES, MiB } from '../../base/sizes.ts';
import type { TurnTask } from '../../world/clock.ts';
import type { Completion } from '../../world/completion.ts';
import { IoVector } from '../../world/disk.ts';
import type { DiskState } from './disk-state.ts';
import type { WritePart } from './write-part.ts';

const MAX_RUN_BYTES = MiB;

export interface RunOwner {
  /** Every part of the run, linked by `next`. */
  runWritten(first: WritePart, result: number): void;
}

export class WriteRun implements TurnTask {
  readonly #state: DiskState;
  readonly #isDurable: boolean;
  readonly #owner: RunOwner;
  readonly #vector = new IoVector();
  readonly #pool: RunTransfer[] = [];
  #first: WritePart | null = null;
  #last: WritePart | null = null;
  #start = 0;
  #end = 0;
  #isScheduled = false;

  constructor(state: DiskState, isDurable: boolean, owner: RunOwner) {
    this.#state = state;
    this.#isDurable = isDurable;
    this.#owner = owner;
  }

  add(part: WritePart): void {
    const start = this.#state.diskOffsetOf(part.physical) + part.firstBlock * BLOCK_BYTES;
    const length = (part.endBlock - part.firstBlock) * BLOCK_BYTES;
    const vector = this.#vector;
    const adjoins =
      this.#first !== null &&
      start === this.#end &&
      vector.totalBytes + length <= MAX_RUN_BYTES &&
      vector.count < IoVector.MAX_PIECES - 3;
    if (this.#first !== null && !adjoins) this.#leave();
    if (this.#first === null) {
      this.#first = part;
      this.#start = start;
    } else {
      this.#last!.next = part;
    }
    part.next = null;
    this.#last = part;
    this.#end = start + length;
    this.#pushPieces(part);
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      this.#state.turn.atEnd(this);
    }
  }

  runAtTurnEnd(): void {
    this.#isScheduled = false;
    if (this.#first !== null) this.#leave();
  }

  transferDone(transfer: RunTransfer, result: number): void {
    const first = transfer.first!;
    transfer.first = null;
    this.#pool.push(transfer);
    this.#state.ioEnded();
    this.#owner.runWritten(first, result);
  }

  #pushPieces(part: WritePart): void {
    let from = part.firstBlock;
    let to = part.endBlock;
    if (part.headScratch !== 0) {
      this.#push(part.headScratch, BLOCK_BYTES);
      from += 1;
    }
    if (part.tailScratch !== 0) to -= 1;
    if (to > from) this.#push(part.blockMemory(from), (to - from) * BLOCK_BYTES);
    if (part.tailScratch !== 0) this.#push(part.tailScratch, BLOCK_BYTES);
  }

  #push(memory: number, length: number): void {
    const { count, offsets, lengths } = this.#vector;
    if (count > 0 && offsets[count - 1]! + lengths[count - 1]! === memory) {
      lengths[count - 1]! += length;
      this.#vector.totalBytes += length;
    } else {
      this.#vector.push(memory, length);
    }
  }

  #leave(): void {
    const transfer = this.#pool.pop() ?? new RunTransfer(this);
    transfer.first = this.#first;
    this.#first = null;
    this.#last = null;
    this.#state.outstanding += 1;
    const vector = this.#vector;
    if (vector.count === 1) this.#state.disk.write(this.#start, vector.offsets[0]!, vector.totalBytes, this.#isDurable, transfer);
    else this.#state.disk.writeVector(this.#start, vector, this.#isDurable, transfer);
    vector.clear();
  }
}

class RunTransfer implements Completion {
  readonly #run: WriteRun;
  first: WritePart | null = null;

  constructor(run: WriteRun) {
    this.#run = run;
  }

  complete(result: number): void {
    this.#run.transferDone(this, result);
  }
}
