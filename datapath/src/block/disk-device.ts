// A block device over a disk of the world: a raw device or a file, requests passed on one to one. Used by nbd-serve and
// tests. Where the disk promises that a discarded range reads as zeros, TRIM and WRITE_ZEROES discard; elsewhere, and for
// zeros that must stay allocated, zeros are written from one shared run of them (and canTrim is false, so that nobody is
// told to use TRIM).
import { PfError } from '../base/errors.ts';
import { KiB } from '../base/sizes.ts';
import type { Completion } from '../world/completion.ts';
import { IoVector, type Disk } from '../world/disk.ts';
import { MAX_SLOT_BYTES, type IoMemory } from '../world/memory.ts';
import { FLAG_FUA, FLAG_NO_HOLE, FLUSH, READ, TRIM, WRITE, checkRequest } from './device.ts';
import type { BlockDevice, BlockExtent, BlockRequest } from './device.ts';

const ZERO_RUN_BYTES = 256 * KiB;
/** Zeros written by one gathered write: 64 MiB. */
const ZERO_PIECES = 256;

export interface DiskDeviceOptions {
  readonly isReadOnly?: boolean;
}

export class DiskDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly minimumIoBytes: number;
  readonly preferredIoBytes = 4096;
  readonly maximumIoBytes = MAX_SLOT_BYTES;
  readonly isReadOnly: boolean;
  readonly canTrim: boolean;
  readonly canMultiConnect = true;
  readonly #disk: Disk;
  readonly #memory: IoMemory;
  readonly #free: DiskOperation[] = [];
  readonly #zeros: number;
  readonly #vector = new IoVector();
  #isClosed = false;

  /** Owns the disk from now on: close() closes it. */
  constructor(memory: IoMemory, disk: Disk, options: DiskDeviceOptions = {}) {
    this.#disk = disk;
    this.#memory = memory;
    this.minimumIoBytes = disk.blockSizeBytes;
    this.sizeBytes = disk.sizeBytes - (disk.sizeBytes % disk.blockSizeBytes);
    this.isReadOnly = options.isReadOnly ?? false;
    this.canTrim = disk.discardReadsZeros === true;
    this.#zeros = memory.reserve(ZERO_RUN_BYTES);
    memory.bytes.fill(0, this.#zeros, this.#zeros + ZERO_RUN_BYTES);
  }

  submit(request: BlockRequest): void {
    const refusal = checkRequest(this, request);
    if (refusal !== 0) return request.finish(refusal);
    const { operation, offset, length } = request;
    if (length === 0 && operation !== FLUSH) return request.finish(0);
    const done = this.#free.pop() ?? new DiskOperation(this);
    done.request = request;
    const isDurable = (request.flags & FLAG_FUA) !== 0;
    if (operation === READ) this.#disk.read(offset, request.memory, length, done);
    else if (operation === WRITE) this.#disk.write(offset, request.memory, length, isDurable, done);
    else if (operation === FLUSH) this.#disk.flush(done);
    else if (this.canTrim && (operation === TRIM || (request.flags & FLAG_NO_HOLE) === 0)) {
      done.isFlushNext = isDurable;
      this.#disk.discard(offset, length, done);
    } else {
      done.zeroedBytes = 0;
      this.writeNextZeros(done);
    }
  }

  async extents(offset: number, length: number): Promise<readonly BlockExtent[]> {
    if (offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new PfError(
        'OUT_OF_RANGE',
        `cannot map ${length} bytes at ${offset} of ${this.#disk.path}: it has ${this.sizeBytes}`,
      );
    }
    return length === 0 ? [] : [{ length, isAllocated: true, isZero: false }];
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#disk.close();
    this.#memory.release(this.#zeros, ZERO_RUN_BYTES);
  }

  /** Called back by DiskOperation until the whole range is written. */
  writeNextZeros(done: DiskOperation): void {
    const request = done.request!;
    const isDurable = (request.flags & FLAG_FUA) !== 0;
    const start = request.offset + done.zeroedBytes;
    this.#vector.clear();
    while (this.#vector.count < ZERO_PIECES && done.zeroedBytes < request.length) {
      const piece = Math.min(ZERO_RUN_BYTES, request.length - done.zeroedBytes);
      this.#vector.push(this.#zeros, piece);
      done.zeroedBytes += piece;
    }
    this.#disk.writeVector(start, this.#vector, isDurable, done);
  }

  flush(done: DiskOperation): void {
    this.#disk.flush(done);
  }

  recycle(operation: DiskOperation): void {
    operation.request = null;
    operation.zeroedBytes = NOT_ZEROING;
    operation.isFlushNext = false;
    this.#free.push(operation);
  }
}

const NOT_ZEROING = -1;

class DiskOperation implements Completion {
  request: BlockRequest | null = null;
  zeroedBytes = NOT_ZEROING;
  /** A discard has no durable form: a flush follows. */
  isFlushNext = false;
  readonly #device: DiskDevice;

  constructor(device: DiskDevice) {
    this.#device = device;
  }

  complete(result: number): void {
    const request = this.request!;
    if (result === 0 && this.isFlushNext) {
      this.isFlushNext = false;
      this.#device.flush(this);
      return;
    }
    if (result === 0 && this.zeroedBytes !== NOT_ZEROING && this.zeroedBytes < request.length) {
      this.#device.writeNextZeros(this);
      return;
    }
    this.#device.recycle(this);
    request.finish(result);
  }
}
