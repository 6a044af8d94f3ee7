// A disk in memory for the tests of the disk format: fast to copy back, with completions in any order and a trace of what was asked.
// Content counts when a request completes. Each write is copied at submit and compared at completion, so memory that is reused
// too early is caught.
import { assert } from '../../../base/assert.ts';
import { EINVAL, EIO, type Completion } from '../../../world/completion.ts';
import type { Disk, IoVector } from '../../../world/disk.ts';
import type { IoMemory } from '../../../world/memory.ts';
import type { TestRandom } from './test-random.ts';

export interface TraceEntry {
  readonly kind: 'write' | 'flush';
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly isDurable: boolean;
  /** How many entries had completed when this one was submitted. */
  readonly submittedAt: number;
}

interface Request {
  readonly kind: 'read' | 'write' | 'flush' | 'discard';
  readonly offset: number;
  readonly length: number;
  readonly isDurable: boolean;
  readonly pieces: readonly { memory: number; length: number }[];
  readonly bytes: Uint8Array;
  readonly submittedAt: number;
  readonly done: Completion;
}

const NOTHING = new Uint8Array(0);

export class MemoryDisk implements Disk {
  readonly path = '/dev/test';
  readonly blockSizeBytes: number;
  readonly #memory: IoMemory;
  /** What a reader sees. */
  bytes: Uint8Array;
  /** Completed writes and flushes, in order; null = not recorded. */
  trace: TraceEntry[] | null = null;
  /** Bytes overwritten since startUndo(), newest last. */
  #undo: { offset: number; bytes: Uint8Array }[] | null = null;
  /** Null: requests complete by themselves, in order. Else step() completes one at random. */
  random: TestRandom | null = null;
  readonly #waiting: Request[] = [];
  #isScheduled = false;
  /** Errno for writes from now on. */
  writeErrno = 0;
  failReadsAt: ((offset: number, length: number) => boolean) | null = null;
  reads = 0;
  writes = 0;
  discards = 0;

  constructor(memory: IoMemory, bytes: Uint8Array, blockSizeBytes = 512) {
    this.#memory = memory;
    this.bytes = bytes;
    this.blockSizeBytes = blockSizeBytes;
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }
  get inFlight(): number {
    return this.#waiting.length;
  }
  /** Writes and flushes that were submitted and did not complete. */
  get pendingWrites(): readonly TraceEntry[] {
    return this.#waiting.filter((each) => each.kind !== 'read').map(entryOf);
  }

  read(diskOffset: number, memoryOffset: number, length: number, done: Completion): void {
    this.reads += 1;
    this.#submit('read', diskOffset, length, false, [{ memory: memoryOffset, length }], done);
  }

  write(diskOffset: number, memoryOffset: number, length: number, isDurable: boolean, done: Completion): void {
    this.writes += 1;
    this.#submit('write', diskOffset, length, isDurable, [{ memory: memoryOffset, length }], done);
  }

  writeVector(diskOffset: number, vector: IoVector, isDurable: boolean, done: Completion): void {
    this.writes += 1;
    const pieces = Array.from({ length: vector.count }, (_, at) => ({
      memory: vector.offsets[at]!,
      length: vector.lengths[at]!,
    }));
    this.#submit('write', diskOffset, vector.totalBytes, isDurable, pieces, done);
  }

  flush(done: Completion): void {
    this.#submit('flush', 0, 0, false, [], done);
  }

  /** Discarded ranges become garbage: nobody may count on them. */
  discard(diskOffset: number, length: number, done: Completion): void {
    this.discards += 1;
    this.#submit('discard', diskOffset, length, false, [], done);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Completes one waiting request, chosen at random; flushes only if they are not held. False when there is none. */
  step(holdsFlushes = false): boolean {
    const candidates = this.#waiting.flatMap((request, index) => (holdsFlushes && request.kind === 'flush' ? [] : [index]));
    if (candidates.length === 0) return false;
    const index = candidates[this.random === null ? 0 : this.random.below(candidates.length)]!;
    this.#complete(this.#waiting.splice(index, 1)[0]!);
    return true;
  }

  /** Forgets what is under way, as a process does that dies. */
  dropWaiting(): void {
    this.#waiting.length = 0;
  }

  startUndo(): void {
    this.#undo = [];
  }

  /** Brings the content back to where startUndo() was called. */
  undo(): void {
    const undo = this.#undo!;
    for (let index = undo.length - 1; index >= 0; index -= 1) this.bytes.set(undo[index]!.bytes, undo[index]!.offset);
    this.#undo = null;
  }

  /** Changes content behind the disk's back: what a power cut left, or rot. Undone by undo(). */
  patch(offset: number, bytes: Uint8Array): void {
    this.#undo?.push({ offset, bytes: this.bytes.slice(offset, offset + bytes.length) });
    this.bytes.set(bytes, offset);
  }

  #submit(
    kind: Request['kind'],
    offset: number,
    length: number,
    isDurable: boolean,
    pieces: { memory: number; length: number }[],
    done: Completion,
  ): void {
    const isAligned =
      offset % this.blockSizeBytes === 0 && length % this.blockSizeBytes === 0 && pieces.every((each) => each.memory % 512 === 0);
    const isInside = offset >= 0 && offset + length <= this.bytes.length;
    const bytes =
      kind === 'write' ? this.#gather(pieces, length) : kind === 'discard' ? new Uint8Array(length).fill(0xdb) : NOTHING;
    const errno = isAligned && isInside ? (kind === 'write' ? this.writeErrno : 0) : EINVAL;
    const request: Request = { kind, offset, length, isDurable, pieces, bytes, submittedAt: this.trace?.length ?? 0, done };
    if (errno !== 0) {
      queueMicrotask(() => done.complete(errno));
      return;
    }
    this.#waiting.push(request);
    if (this.random === null && !this.#isScheduled) this.#schedule();
  }

  #schedule(): void {
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      for (let left = this.#waiting.length; left > 0 && this.#waiting.length > 0; left -= 1)
        this.#complete(this.#waiting.shift()!);
      if (this.#waiting.length > 0 && !this.#isScheduled) this.#schedule();
    });
  }

  #complete(request: Request): void {
    if (request.kind === 'read') {
      if (this.failReadsAt?.(request.offset, request.length) === true) {
        request.done.complete(EIO);
        return;
      }
      this.#memory.bytes.set(this.bytes.subarray(request.offset, request.offset + request.length), request.pieces[0]!.memory);
    } else {
      if (request.kind === 'write') {
        const now = this.#gather(request.pieces, request.length);
        assert(
          Buffer.compare(now, request.bytes) === 0,
          `the memory of a write at ${request.offset} changed before it completed`,
        );
        this.patch(request.offset, request.bytes);
      }
      this.trace?.push(entryOf(request));
    }
    request.done.complete(0);
  }

  #gather(pieces: readonly { memory: number; length: number }[], length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(this.#memory.bytes.subarray(piece.memory, piece.memory + piece.length), at);
      at += piece.length;
    }
    assert(at === length, `a vector of ${length} bytes has pieces of ${at}`);
    return bytes;
  }
}

function entryOf(request: Request): TraceEntry {
  const { kind, offset, bytes, isDurable, submittedAt } = request;
  return { kind: kind === 'flush' ? 'flush' : 'write', offset, bytes, isDurable, submittedAt };
}
