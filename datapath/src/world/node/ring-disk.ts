// Raw disks on the ring: O_DIRECT where the file system has it, buffered where not (tmpfs). Durable writes carry RWF_DSYNC.
// Invariants: an operation's record and I/O vector return to their pools only after its completion; close() waits for all.
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Turn } from '../clock.ts';
import { EINVAL, EIO, ENOMEM, CompletionPromise, type Completion } from '../completion.ts';
import { IoVector, type Disk, type DiskOpenOptions, type Disks } from '../disk.ts';
import type { IoMemory } from '../memory.ts';
import { MemoryBlocks } from '../memory-blocks.ts';
import type { ArenaMapping } from './arena-mapping.ts';
import { openFlags, probeGeometry, type DiskGeometry } from './disk-geometry.ts';
import { checkDiskMemory, checkDiskRange, checkDiskVector } from './disk-range.ts';
import { lockedError, type TryFlock } from './file-lock.ts';
import { OP_FALLOCATE, OP_FSYNC, OP_READ, OP_WRITE, OP_WRITEV, type Ring, type RingOperation } from './ring.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

const RWF_DSYNC = 2;
const FSYNC_DATASYNC = 1;
const FALLOC_KEEP_SIZE_PUNCH_HOLE = 3;
const IOVEC_BYTES = 16;
const EINTR = 4;
const EAGAIN = 11;
/** Discarding is a hint: a device or file system that cannot is not an error. */
const CANNOT_DISCARD = new Set([25, 38, 95]);

export class RingDisks implements Disks {
  readonly #surroundings: DiskSurroundings;
  readonly #tryFlock: TryFlock;
  readonly #open = new Set<RingDisk>();

  constructor(ring: Ring, mapping: ArenaMapping, turn: Turn, tryFlock: TryFlock) {
    this.#surroundings = {
      ring,
      ...mapping,
      turn,
      vectorBlocks: new MemoryBlocks(mapping.memory, IoVector.MAX_PIECES * IOVEC_BYTES),
      idleOperations: [],
    };
    this.#tryFlock = tryFlock;
  }

  async open(path: string, options: DiskOpenOptions): Promise<Disk> {
    const isReadOnly = options.isReadOnly ?? false;
    let handle: FileHandle | null = null;
    try {
      handle = await openDirect(path, await openFlags(path, options));
      if ((options.isExclusive ?? !isReadOnly) && !this.#tryFlock(handle.fd)) {
        throw lockedError(path, ' by another process or another part of this one');
      }
      const geometry = await this.#probeBlockSize(handle, await probeGeometry(path, handle, isReadOnly ? {} : options));
      const discardReadsZeros = !isReadOnly && (await this.#canPunchHoles(handle.fd, geometry));
      const disk = new RingDisk(path, handle, isReadOnly, geometry, discardReadsZeros, this.#surroundings, () =>
        this.#open.delete(disk),
      );
      this.#open.add(disk);
      return disk;
    } catch (error) {
      await handle?.close();
      if (systemCodeOf(error) === 'EBUSY')
        throw lockedError(path, ': it is mounted, part of another device, or opened by another');
      throw toPfError(error, `cannot open disk ${path}`);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((disk) => disk.close()));
    for (const operation of this.#surroundings.idleOperations.splice(0)) operation.retire();
  }

  /** O_DIRECT on a device with sectors of 4096 bytes refuses a read of 512. */
  async #probeBlockSize(handle: FileHandle, geometry: DiskGeometry): Promise<DiskGeometry> {
    if (geometry.isBlockDevice || geometry.sizeBytes < 2 * 4096) return geometry;
    const { memory } = this.#surroundings;
    const page = memory.reserve(4096);
    try {
      await handle.read(memory.bytes, page + 512, 512, 512);
      return geometry;
    } catch (error) {
      if (systemCodeOf(error) !== 'EINVAL') throw error;
      return { ...geometry, blockSizeBytes: 4096, sizeBytes: geometry.sizeBytes - (geometry.sizeBytes % 4096) };
    } finally {
      memory.release(page, 4096);
    }
  }

  /** Tried behind the end of the file, where there is nothing to lose. Devices: not promised. */
  async #canPunchHoles(fd: number, geometry: DiskGeometry): Promise<boolean> {
    if (geometry.isBlockDevice) return false;
    const answer = new CompletionPromise();
    const behind = geometry.sizeBytes + 4096 - (geometry.sizeBytes % 4096);
    takeOperation(this.#surroundings).start(null, OP_FALLOCATE, fd, behind, 0, 4096, 0, answer);
    return (await answer.done) === 0;
  }
}

async function openDirect(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags | constants.O_DIRECT, 0o644);
  } catch (error) {
    if (systemCodeOf(error) !== 'EINVAL') throw error;
    return open(path, flags, 0o644);
  }
}

interface DiskSurroundings extends ArenaMapping {
  readonly ring: Ring;
  readonly turn: Turn;
  readonly vectorBlocks: MemoryBlocks;
  readonly idleOperations: DiskOperation[];
}

function takeOperation(surroundings: DiskSurroundings): DiskOperation {
  return surroundings.idleOperations.length > 0 ? surroundings.idleOperations.pop()! : new DiskOperation(surroundings);
}

class RingDisk implements Disk {
  readonly path: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly discardReadsZeros: boolean;
  inFlight = 0;
  readonly #handle: FileHandle;
  readonly #fd: number;
  readonly #isReadOnly: boolean;
  readonly #surroundings: DiskSurroundings;
  readonly #memory: IoMemory;
  readonly #onClose: () => void;
  #closing: Promise<void> | null = null;
  #whenIdle: (() => void) | null = null;

  constructor(
    path: string,
    handle: FileHandle,
    isReadOnly: boolean,
    geometry: DiskGeometry,
    discardReadsZeros: boolean,
    surroundings: DiskSurroundings,
    onClose: () => void,
  ) {
    this.path = path;
    this.sizeBytes = geometry.sizeBytes;
    this.blockSizeBytes = geometry.blockSizeBytes;
    this.discardReadsZeros = discardReadsZeros;
    this.#handle = handle;
    this.#fd = handle.fd;
    this.#isReadOnly = isReadOnly;
    this.#surroundings = surroundings;
    this.#memory = surroundings.memory;
    this.#onClose = onClose;
  }

  read(diskOffset: number, memoryOffset: number, length: number, done: Completion): void {
    const refusal = this.#closing !== null ? EINVAL : this.#check(diskOffset, memoryOffset, length);
    if (refusal !== 0) this.#refuse(refusal, done);
    else this.#take().start(this, OP_READ, this.#fd, diskOffset, memoryOffset, length, 0, done);
  }

  write(diskOffset: number, memoryOffset: number, length: number, isDurable: boolean, done: Completion): void {
    const refusal = this.#isUnwritable() ? EINVAL : this.#check(diskOffset, memoryOffset, length);
    if (refusal !== 0) this.#refuse(refusal, done);
    else this.#take().start(this, OP_WRITE, this.#fd, diskOffset, memoryOffset, length, isDurable ? RWF_DSYNC : 0, done);
  }

  writeVector(diskOffset: number, vector: IoVector, isDurable: boolean, done: Completion): void {
    const refusal = this.#isUnwritable() ? EINVAL : checkDiskVector(this, this.#memory, diskOffset, vector);
    if (refusal !== 0) this.#refuse(refusal, done);
    else this.#take().startVector(this, this.#fd, diskOffset, vector, isDurable ? RWF_DSYNC : 0, done);
  }

  flush(done: Completion): void {
    if (this.#closing !== null) this.#refuse(EINVAL, done);
    else this.#take().start(this, OP_FSYNC, this.#fd, 0, 0, 0, FSYNC_DATASYNC, done);
  }

  discard(diskOffset: number, length: number, done: Completion): void {
    const refusal = this.#isUnwritable() ? EINVAL : checkDiskRange(this, diskOffset, length);
    if (refusal !== 0) this.#refuse(refusal, done);
    else this.#take().start(this, OP_FALLOCATE, this.#fd, diskOffset, 0, length, 0, new DiscardAnswer(done));
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  finished(): void {
    this.inFlight -= 1;
    if (this.inFlight === 0) this.#whenIdle?.();
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.inFlight > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    this.#onClose();
    await this.#handle.close();
  }

  #isUnwritable(): boolean {
    return this.#isReadOnly || this.#closing !== null;
  }

  #check(diskOffset: number, memoryOffset: number, length: number): number {
    return checkDiskMemory(this.#memory, memoryOffset, length) || checkDiskRange(this, diskOffset, length);
  }

  #take(): DiskOperation {
    this.inFlight += 1;
    return takeOperation(this.#surroundings);
  }

  /** Completions never come from within the call that asked. */
  #refuse(result: number, done: Completion): void {
    this.inFlight += 1;
    this.#surroundings.turn.atEnd({
      runAtTurnEnd: () => {
        done.complete(result);
        this.finished();
      },
    });
  }
}

/** One request on its way; pooled. A short transfer is continued, anything else ends it. */
class DiskOperation implements RingOperation {
  readonly #surroundings: DiskSurroundings;
  readonly #index: number;
  #disk: RingDisk | null = null;
  #done: Completion | null = null;
  #opcode = 0;
  #fd = -1;
  #diskOffset = 0;
  /** Memory of the payload, or of the I/O vector. */
  #memoryOffset = 0;
  /** Bytes still to be moved. */
  #length = 0;
  #flags = 0;
  #vectorBlock = 0;
  #vectorCount = 0;

  constructor(surroundings: DiskSurroundings) {
    this.#surroundings = surroundings;
    this.#index = surroundings.ring.register(this);
  }

  start(
    disk: RingDisk | null,
    opcode: number,
    fd: number,
    diskOffset: number,
    memoryOffset: number,
    length: number,
    flags: number,
    done: Completion,
  ): void {
    this.#disk = disk;
    this.#done = done;
    this.#opcode = opcode;
    this.#fd = fd;
    this.#diskOffset = diskOffset;
    this.#memoryOffset = memoryOffset;
    this.#length = length;
    this.#flags = flags;
    this.#submit();
  }

  startVector(disk: RingDisk, fd: number, diskOffset: number, vector: IoVector, flags: number, done: Completion): void {
    const { addressLow, addressHigh, memory, vectorBlocks } = this.#surroundings;
    const block = vectorBlocks.tryTake();
    if (block === 0) {
      this.#disk = disk;
      this.#done = done;
      this.#surroundings.turn.atEnd({ runAtTurnEnd: () => this.#finish(ENOMEM) });
      return;
    }
    this.#vectorBlock = block;
    this.#vectorCount = vector.count;
    for (let index = 0; index < vector.count; index += 1) {
      const at = block + index * IOVEC_BYTES;
      memory.view.setUint32(at, addressLow + vector.offsets[index]!, true);
      memory.view.setUint32(at + 4, addressHigh, true);
      memory.view.setUint32(at + 8, vector.lengths[index]!, true);
      memory.view.setUint32(at + 12, 0, true);
    }
    this.start(disk, OP_WRITEV, fd, diskOffset, block, vector.totalBytes, flags, done);
  }

  retire(): void {
    this.#surroundings.ring.unregister(this.#index);
  }

  ringDone(result: number): void {
    if (result === -EINTR || result === -EAGAIN) {
      this.#submit();
    } else if (result < 0) {
      this.#finish(-result);
    } else if (this.#opcode === OP_FSYNC || this.#opcode === OP_FALLOCATE || result === this.#length) {
      this.#finish(0);
    } else if (result === 0) {
      this.#finish(EIO);
    } else {
      this.#advance(result);
      this.#submit();
    }
  }

  #submit(): void {
    const { ring, addressLow, addressHigh } = this.#surroundings;
    if (this.#opcode === OP_FALLOCATE) {
      ring.push(
        OP_FALLOCATE,
        this.#fd,
        this.#diskOffset,
        this.#length,
        this.#length / 2 ** 32,
        FALLOC_KEEP_SIZE_PUNCH_HOLE,
        0,
        this.#index,
        0,
        0,
        0,
      );
    } else if (this.#opcode === OP_FSYNC) {
      ring.push(OP_FSYNC, this.#fd, 0, 0, 0, 0, this.#flags, this.#index, 0, 0, 0);
    } else {
      const length = this.#opcode === OP_WRITEV ? this.#vectorCount : this.#length;
      ring.push(
        this.#opcode,
        this.#fd,
        this.#diskOffset,
        addressLow + this.#memoryOffset,
        addressHigh,
        length,
        this.#flags,
        this.#index,
        0,
        0,
        0,
      );
    }
  }

  #advance(moved: number): void {
    this.#diskOffset += moved;
    this.#length -= moved;
    if (this.#opcode === OP_WRITEV) this.#advanceVector(moved);
    else this.#memoryOffset += moved;
  }

  #advanceVector(moved: number): void {
    const { view } = this.#surroundings.memory;
    let left = moved;
    while (left > 0) {
      const here = view.getUint32(this.#memoryOffset + 8, true);
      if (left < here) {
        view.setUint32(this.#memoryOffset, view.getUint32(this.#memoryOffset, true) + left, true);
        view.setUint32(this.#memoryOffset + 8, here - left, true);
        return;
      }
      left -= here;
      this.#memoryOffset += IOVEC_BYTES;
      this.#vectorCount -= 1;
    }
  }

  #finish(result: number): void {
    const done = this.#done!;
    const disk = this.#disk;
    this.#done = null;
    this.#disk = null;
    if (this.#vectorBlock !== 0) this.#surroundings.vectorBlocks.give(this.#vectorBlock);
    this.#vectorBlock = 0;
    this.#surroundings.idleOperations.push(this);
    done.complete(result);
    disk?.finished();
  }
}

class DiscardAnswer implements Completion {
  readonly #done: Completion;

  constructor(done: Completion) {
    this.#done = done;
  }

  complete(result: number): void {
    this.#done.complete(CANNOT_DISCARD.has(result) ? 0 : result);
  }
}
