// Raw disks on node:fs: buffered reads and writes on libuv's thread pool. Durable writes go through a second descriptor opened
// with O_DSYNC. The fallback where io_uring is not to be had.
import { constants, fdatasync, read, write, writev } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Turn } from '../clock.ts';
import { EINVAL, EIO, type Completion } from '../completion.ts';
import { type Disk, type DiskOpenOptions, type Disks, type IoVector } from '../disk.ts';
import type { IoMemory } from '../memory.ts';
import { openFlags, probeGeometry, type DiskGeometry } from './disk-geometry.ts';
import { checkDiskMemory, checkDiskRange, checkDiskVector } from './disk-range.ts';
import { lockedError, takeLock, type HeldLock, type TryFlock } from './file-lock.ts';
import { errnoOf, systemCodeOf, toPfError } from './system-error.ts';

export class LibuvDisks implements Disks {
  readonly #memory: IoMemory;
  readonly #turn: Turn;
  readonly #tryFlock: TryFlock | null;
  readonly #open = new Set<LibuvDisk>();

  constructor(memory: IoMemory, turn: Turn, tryFlock: TryFlock | null) {
    this.#memory = memory;
    this.#turn = turn;
    this.#tryFlock = tryFlock;
  }

  async open(path: string, options: DiskOpenOptions): Promise<Disk> {
    const isReadOnly = options.isReadOnly ?? false;
    const handles: FileHandle[] = [];
    try {
      handles.push(await open(path, await openFlags(path, options), 0o644));
      const isExclusive = options.isExclusive ?? !isReadOnly;
      if (isExclusive && this.#tryFlock !== null && !this.#tryFlock(handles[0]!.fd))
        throw lockedError(path, ' by another process or another part of this one');
      const geometry = await probeGeometry(path, handles[0]!, isReadOnly ? {} : options);
      const lock = isExclusive && this.#tryFlock === null ? await takeLock(path, geometry.ownerPath, null) : null;
      if (!isReadOnly) handles.push(await open(path, constants.O_RDWR | constants.O_DSYNC));
      const disk = new LibuvDisk(path, this.#memory, this.#turn, handles, lock, geometry, () => this.#open.delete(disk));
      this.#open.add(disk);
      return disk;
    } catch (error) {
      for (const handle of handles) await handle.close();
      if (systemCodeOf(error) === 'EBUSY')
        throw lockedError(path, ': it is mounted, part of another device, or opened by another');
      throw toPfError(error, `cannot open disk ${path}`);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((disk) => disk.close()));
  }
}

class LibuvDisk implements Disk {
  readonly path: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly #memory: IoMemory;
  readonly #turn: Turn;
  readonly #handles: readonly FileHandle[];
  readonly #lock: HeldLock | null;
  readonly #onClose: () => void;
  readonly #fd: number;
  /** -1 on a read-only disk. */
  readonly #durableFd: number;
  #inFlight = 0;
  #isClosed = false;
  #closing: Promise<void> | null = null;
  #whenIdle: (() => void) | null = null;

  constructor(
    path: string,
    memory: IoMemory,
    turn: Turn,
    handles: readonly FileHandle[],
    lock: HeldLock | null,
    geometry: DiskGeometry,
    onClose: () => void,
  ) {
    this.path = path;
    this.sizeBytes = geometry.sizeBytes;
    this.blockSizeBytes = geometry.blockSizeBytes;
    this.#memory = memory;
    this.#turn = turn;
    this.#handles = handles;
    this.#lock = lock;
    this.#onClose = onClose;
    this.#fd = handles[0]!.fd;
    this.#durableFd = handles[1]?.fd ?? -1;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  read(diskOffset: number, memoryOffset: number, length: number, done: Completion): void {
    const refusal = this.#refusal(diskOffset, memoryOffset, length, false);
    if (refusal !== 0) this.#answerLater(refusal, done);
    else this.#readFrom(diskOffset, this.#view(memoryOffset, length), done);
  }

  write(diskOffset: number, memoryOffset: number, length: number, isDurable: boolean, done: Completion): void {
    const refusal = this.#refusal(diskOffset, memoryOffset, length, true);
    if (refusal !== 0) this.#answerLater(refusal, done);
    else this.#writeTo(isDurable ? this.#durableFd : this.#fd, diskOffset, this.#view(memoryOffset, length), done);
  }

  writeVector(diskOffset: number, vector: IoVector, isDurable: boolean, done: Completion): void {
    const refusal = this.#isClosed || this.#durableFd < 0 ? EINVAL : checkDiskVector(this, this.#memory, diskOffset, vector);
    if (refusal !== 0) {
      this.#answerLater(refusal, done);
      return;
    }
    const views: Buffer[] = [];
    for (let index = 0; index < vector.count; index += 1) views.push(this.#view(vector.offsets[index]!, vector.lengths[index]!));
    this.#inFlight += 1;
    this.#writeViews(isDurable ? this.#durableFd : this.#fd, diskOffset, views, done);
  }

  flush(done: Completion): void {
    if (this.#isClosed) {
      this.#answerLater(EINVAL, done);
      return;
    }
    this.#inFlight += 1;
    fdatasync(this.#fd, (error) => this.#finish(error ? errnoOf(error) : 0, done));
  }

  discard(diskOffset: number, length: number, done: Completion): void {
    this.#answerLater(this.#isClosed || this.#durableFd < 0 ? EINVAL : checkDiskRange(this, diskOffset, length), done);
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  async #closeWhenIdle(): Promise<void> {
    this.#isClosed = true;
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    this.#onClose();
    for (const handle of this.#handles) await handle.close();
    await this.#lock?.release();
  }

  #refusal(diskOffset: number, memoryOffset: number, length: number, isWrite: boolean): number {
    if (this.#isClosed || (isWrite && this.#durableFd < 0)) return EINVAL;
    return checkDiskMemory(this.#memory, memoryOffset, length) || checkDiskRange(this, diskOffset, length);
  }

  #view(memoryOffset: number, length: number): Buffer {
    return Buffer.from(this.#memory.buffer, memoryOffset, length);
  }

  #readFrom(diskOffset: number, view: Buffer, done: Completion): void {
    this.#inFlight += 1;
    let got = 0;
    const next = (): void =>
      read(this.#fd, view, got, view.length - got, diskOffset + got, (error, count) => {
        got += count;
        if (error) this.#finish(errnoOf(error), done);
        else if (got === view.length) this.#finish(0, done);
        else if (count === 0) this.#finish(EIO, done);
        else next();
      });
    next();
  }

  #writeTo(fd: number, diskOffset: number, view: Buffer, done: Completion): void {
    this.#inFlight += 1;
    let written = 0;
    const next = (): void =>
      write(fd, view, written, view.length - written, diskOffset + written, (error, count) => {
        written += count;
        if (error) this.#finish(errnoOf(error), done);
        else if (written === view.length) this.#finish(0, done);
        else next();
      });
    next();
  }

  #writeViews(fd: number, diskOffset: number, views: readonly Buffer[], done: Completion): void {
    writev(fd, views, diskOffset, (error, count) => {
      if (error) {
        this.#finish(errnoOf(error), done);
        return;
      }
      const rest: Buffer[] = [];
      let skipped = count;
      for (const view of views) {
        if (skipped >= view.length) skipped -= view.length;
        else {
          rest.push(view.subarray(skipped));
          skipped = 0;
        }
      }
      if (rest.length === 0) this.#finish(0, done);
      else this.#writeViews(fd, diskOffset + count, rest, done);
    });
  }

  /** Completions never come from within the call that asked. */
  #answerLater(result: number, done: Completion): void {
    this.#inFlight += 1;
    this.#turn.atEnd({ runAtTurnEnd: () => this.#finish(result, done) });
  }

  #finish(result: number, done: Completion): void {
    this.#inFlight -= 1;
    done.complete(result);
    if (this.#inFlight === 0) this.#whenIdle?.();
  }
}
