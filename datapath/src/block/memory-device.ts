// A block device in memory, for tests, scratch exports and measuring what the rest costs. Every request completes
// inside submit(). Space is taken in chunks on first write and given back when a chunk is trimmed whole.
// With SharedContents several threads serve the same bytes: each opens its own MemoryDevice over its own arena; the
// memory of a shared device is one SharedArrayBuffer, of which the kernel commits only what was touched.
import { PfError } from '../base/errors.ts';
import { KiB, formatSize } from '../base/sizes.ts';
import { ENOSPC } from '../world/completion.ts';
import { MAX_SLOT_BYTES, type IoMemory } from '../world/memory.ts';
import { FLAG_NO_HOLE, FLUSH, READ, WRITE, checkRequest } from './device.ts';
import type { BlockDevice, BlockExtent, BlockRequest } from './device.ts';
import { ExtentList } from './extent-list.ts';

const SMALLEST_CHUNK_BYTES = 256 * KiB;
const MOST_CHUNKS = 65536;

export interface MemoryDeviceOptions {
  readonly sizeBytes: number;
  readonly isReadOnly?: boolean;
  /** Serve these bytes instead of private ones; sizeBytes must be theirs. */
  readonly shared?: SharedContents;
}

/** Bytes for several threads: structured-cloneable. */
export interface SharedContents {
  readonly bytes: SharedArrayBuffer;
  /** One byte a chunk: 1 when it holds data. */
  readonly allocated: SharedArrayBuffer;
}

export function createSharedContents(sizeBytes: number): SharedContents {
  const chunkCount = Math.ceil(sizeBytes / chunkBytesFor(sizeBytes));
  return { bytes: allocate(() => new SharedArrayBuffer(sizeBytes), sizeBytes), allocated: new SharedArrayBuffer(chunkCount) };
}

export class MemoryDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly minimumIoBytes = 1;
  readonly preferredIoBytes = 4096;
  readonly maximumIoBytes = MAX_SLOT_BYTES;
  readonly isReadOnly: boolean;
  readonly canTrim = true;
  readonly canZeroFast = true;
  readonly canMultiConnect = true;
  readonly #memory: IoMemory;
  readonly #shared: SharedArrayBuffer | null;
  readonly #chunkBytes: number;
  readonly #chunks: (Uint8Array | null)[];
  readonly #allocated: Uint8Array;

  constructor(memory: IoMemory, options: MemoryDeviceOptions) {
    const { sizeBytes } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1) {
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot make a memory device of ${sizeBytes} bytes: a positive whole number is wanted`,
      );
    }
    this.sizeBytes = sizeBytes;
    this.isReadOnly = options.isReadOnly ?? false;
    this.#memory = memory;
    this.#chunkBytes = chunkBytesFor(sizeBytes);
    const chunkCount = Math.ceil(sizeBytes / this.#chunkBytes);
    this.#shared = options.shared?.bytes ?? null;
    this.#allocated = options.shared === undefined ? new Uint8Array(chunkCount) : new Uint8Array(options.shared.allocated);
    this.#chunks = new Array<Uint8Array | null>(chunkCount).fill(null);
  }

  submit(request: BlockRequest): void {
    const refusal = checkRequest(this, request);
    if (refusal !== 0) return request.finish(refusal);
    if (request.operation === READ) this.#read(request.offset, request.length, request.memory);
    else if (request.operation === WRITE) return request.finish(this.#write(request.offset, request.length, request.memory));
    else if (request.operation !== FLUSH) {
      return request.finish(this.#zero(request.offset, request.length, (request.flags & FLAG_NO_HOLE) !== 0));
    }
    request.finish(0);
  }

  async extents(offset: number, length: number): Promise<readonly BlockExtent[]> {
    if (offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new PfError('OUT_OF_RANGE', `cannot map ${length} bytes at ${offset}: the device has ${this.sizeBytes}`);
    }
    const list = new ExtentList();
    let at = offset;
    while (at < offset + length) {
      const index = Math.floor(at / this.#chunkBytes);
      const end = Math.min((index + 1) * this.#chunkBytes, offset + length);
      const isAllocated = this.#allocated[index] === 1;
      list.add(end - at, isAllocated, !isAllocated);
      at = end;
    }
    return list.extents;
  }

  async close(): Promise<void> {
    this.#chunks.fill(null);
  }

  #read(offset: number, length: number, memory: number): void {
    const bytes = this.#memory.bytes;
    let done = 0;
    while (done < length) {
      const index = Math.floor((offset + done) / this.#chunkBytes);
      const within = offset + done - index * this.#chunkBytes;
      const here = Math.min(length - done, this.#chunkBytes - within);
      const chunk = this.#chunkToRead(index);
      if (chunk === null) bytes.fill(0, memory + done, memory + done + here);
      else bytes.set(chunk.subarray(within, within + here), memory + done);
      done += here;
    }
  }

  #write(offset: number, length: number, memory: number): number {
    const bytes = this.#memory.bytes;
    let done = 0;
    while (done < length) {
      const index = Math.floor((offset + done) / this.#chunkBytes);
      const within = offset + done - index * this.#chunkBytes;
      const here = Math.min(length - done, this.#chunkBytes - within);
      const chunk = this.#chunkToWrite(index);
      if (chunk === null) return ENOSPC;
      chunk.set(bytes.subarray(memory + done, memory + done + here), within);
      done += here;
    }
    return 0;
  }

  #zero(offset: number, length: number, keepAllocated: boolean): number {
    let done = 0;
    while (done < length) {
      const index = Math.floor((offset + done) / this.#chunkBytes);
      const within = offset + done - index * this.#chunkBytes;
      const here = Math.min(length - done, this.#chunkBytes - within);
      const isWhole = here === this.#chunkBytes || (within === 0 && offset + done + here === this.sizeBytes);
      if (keepAllocated) {
        const chunk = this.#chunkToWrite(index);
        if (chunk === null) return ENOSPC;
        chunk.fill(0, within, within + here);
      } else if (this.#shared === null && isWhole) {
        this.#chunks[index] = null;
        this.#allocated[index] = 0;
      } else {
        this.#chunkToRead(index)?.fill(0, within, within + here);
        if (isWhole) this.#allocated[index] = 0;
      }
      done += here;
    }
    return 0;
  }

  #chunkToRead(index: number): Uint8Array | null {
    const chunk = this.#chunks[index]!;
    if (chunk !== null || this.#shared === null || this.#allocated[index] === 0) return chunk;
    return this.#mapShared(index);
  }

  #chunkToWrite(index: number): Uint8Array | null {
    const chunk = this.#chunks[index]!;
    if (chunk !== null && this.#shared === null) return chunk;
    if (this.#shared !== null) {
      this.#allocated[index] = 1;
      return chunk ?? this.#mapShared(index);
    }
    try {
      this.#chunks[index] = new Uint8Array(this.#chunkBytes);
    } catch {
      return null;
    }
    this.#allocated[index] = 1;
    return this.#chunks[index]!;
  }

  #mapShared(index: number): Uint8Array {
    const start = index * this.#chunkBytes;
    const chunk = new Uint8Array(this.#shared!, start, Math.min(this.#chunkBytes, this.sizeBytes - start));
    this.#chunks[index] = chunk;
    return chunk;
  }
}

function chunkBytesFor(sizeBytes: number): number {
  let chunkBytes = SMALLEST_CHUNK_BYTES;
  while (chunkBytes * MOST_CHUNKS < sizeBytes) chunkBytes *= 2;
  return chunkBytes;
}

function allocate<T>(make: () => T, sizeBytes: number): T {
  try {
    return make();
  } catch (error) {
    throw new PfError(
      'NO_SPACE',
      `cannot allocate ${formatSize(sizeBytes)} of memory for a shared device; ask for less, or serve a file`,
      {
        cause: error,
      },
    );
  }
}
