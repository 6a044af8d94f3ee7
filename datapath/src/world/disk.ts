// A raw disk: a block device or a file used as one. All memory offsets are into the world's arena.
// Offsets and lengths are multiples of blockSizeBytes; memory is aligned to 512. Requests may complete out of order;
// overlapping requests in flight have no order. Adapters finish short reads and writes themselves.
import type { Completion } from './completion.ts';

export interface DiskOpenOptions {
  readonly isReadOnly?: boolean;
  /** Create the file with this size, sparse. A file or device that is there already, and not empty, is left as it is. */
  readonly createSizeBytes?: number;
  /** Take an exclusive lock on the file or device; a second opener fails with PfError INVALID_STATE. Default true unless read-only. */
  readonly isExclusive?: boolean;
}

export interface Disk {
  readonly path: string;
  readonly sizeBytes: number;
  /** Smallest unit of I/O: 512 or 4096. */
  readonly blockSizeBytes: number;
  /** A discarded range reads as zeros (holes of files do). Absent means that nothing is promised. */
  readonly discardReadsZeros?: boolean;
  /** Operations submitted and not yet completed. */
  readonly inFlight: number;

  read(diskOffset: number, memoryOffset: number, length: number, done: Completion): void;
  /** With `isDurable` the completion means that these bytes survive a power cut (RWF_DSYNC). */
  write(diskOffset: number, memoryOffset: number, length: number, isDurable: boolean, done: Completion): void;
  /** One contiguous write gathered from several pieces of memory; `vector` may be reused once this returns. */
  writeVector(diskOffset: number, vector: IoVector, isDurable: boolean, done: Completion): void;
  /** Everything that completed before this call survives a power cut once it completes. */
  flush(done: Completion): void;
  /** Tells the device that the range's content does not matter any more. A hint: may do nothing and complete 0. */
  discard(diskOffset: number, length: number, done: Completion): void;
  /** Waits for what is in flight, then closes. Idempotent. */
  close(): Promise<void>;
}

export interface Disks {
  /** Errors: NOT_FOUND, PERMISSION_DENIED, INVALID_STATE (locked by another), IO_ERROR. */
  open(path: string, options: DiskOpenOptions): Promise<Disk>;
}

/** A reusable list of memory pieces for gathered writes. */
export class IoVector {
  static readonly MAX_PIECES = 512;
  readonly offsets = new Float64Array(IoVector.MAX_PIECES);
  readonly lengths = new Float64Array(IoVector.MAX_PIECES);
  count = 0;
  totalBytes = 0;

  clear(): void {
    this.count = 0;
    this.totalBytes = 0;
  }

  /** False when full. */
  push(memoryOffset: number, length: number): boolean {
    if (this.count === IoVector.MAX_PIECES) return false;
    this.offsets[this.count] = memoryOffset;
    this.lengths[this.count] = length;
    this.count += 1;
    this.totalBytes += length;
    return true;
  }
}
