// The Disks port of a simulated process: opens, locks and checks; sim-disk-device.ts does the rest.
import { PfError } from '../base/errors.ts';
import { SECTOR_BYTES } from '../base/sizes.ts';
import { ECANCELED, EINVAL, EPERM } from '../world/completion.ts';
import type { Completion } from '../world/completion.ts';
import type { Disk, DiskOpenOptions, Disks, IoVector } from '../world/disk.ts';
import { DiskRequest, piecesOf } from './disk-request.ts';
import type { SimDiskDevice } from './sim-disk-device.ts';
import type { CrashOptions, ProcessResource, SimProcess } from './sim-process.ts';

export class SimDisks implements Disks {
  readonly #process: SimProcess;

  constructor(process: SimProcess) {
    this.#process = process;
  }

  open(path: string, options: DiskOpenOptions): Promise<Disk> {
    return this.#process.later(0.1, 'disk-open', () => this.#open(path, options));
  }

  #open(path: string, options: DiskOpenOptions): Disk {
    const { host } = this.#process;
    this.#process.checkOpen(`open disk ${path}`);
    let device = host.disks.get(path);
    if (device === undefined) {
      if (options.createSizeBytes === undefined) {
        throw new PfError(
          'NOT_FOUND',
          `cannot open disk "${path}" on ${host.name}: there is none; check the path or give a size to create it`,
        );
      }
      device = host.addDisk(path, { sizeBytes: options.createSizeBytes });
    }
    if (device.isBroken)
      throw new PfError('IO_ERROR', `cannot open disk "${path}" on ${host.name}: input/output error; replace the disk`);
    const isExclusive = options.isExclusive ?? options.isReadOnly !== true;
    if (isExclusive && device.lockedBy !== null) {
      throw new PfError(
        'INVALID_STATE',
        `cannot open disk "${path}" on ${host.name}: another process has locked it; stop that process first`,
      );
    }
    return new SimDisk(this.#process, device, options.isReadOnly === true, isExclusive);
  }
}

class SimDisk implements Disk, ProcessResource {
  readonly path: string;
  inFlight = 0;
  readonly #process: SimProcess;
  readonly #device: SimDiskDevice;
  readonly #isReadOnly: boolean;
  #isOpen = true;
  #closing: Promise<void> | null = null;
  #whenIdle: (() => void) | null = null;

  constructor(process: SimProcess, device: SimDiskDevice, isReadOnly: boolean, isExclusive: boolean) {
    this.path = device.path;
    this.#process = process;
    this.#device = device;
    this.#isReadOnly = isReadOnly;
    if (isExclusive) device.lockedBy = this;
    process.resources.add(this);
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes;
  }

  get discardReadsZeros(): boolean {
    return this.#device.discardReadsZeros;
  }

  get blockSizeBytes(): number {
    return this.#device.blockSizeBytes;
  }

  read(diskOffset: number, memoryOffset: number, length: number, done: Completion): void {
    this.#submit('read', diskOffset, length, false, [{ offset: memoryOffset, length }], done);
  }

  write(diskOffset: number, memoryOffset: number, length: number, isDurable: boolean, done: Completion): void {
    this.#submit('write', diskOffset, length, isDurable, [{ offset: memoryOffset, length }], done);
  }

  writeVector(diskOffset: number, vector: IoVector, isDurable: boolean, done: Completion): void {
    this.#submit('write', diskOffset, vector.totalBytes, isDurable, piecesOf(vector), done);
  }

  flush(done: Completion): void {
    this.#submit('flush', 0, 0, false, [], done);
  }

  discard(diskOffset: number, length: number, done: Completion): void {
    this.#submit('discard', diskOffset, length, false, [], done);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  describe(): string {
    return `disk ${this.path}`;
  }

  closeResource(): Promise<void> {
    return this.close();
  }

  processDied(options: CrashOptions): void {
    if (options.keepsCompleted === true) this.#device.dropRequestsOf(this);
    else this.#device.cutPower();
    this.#unlock();
  }

  async #close(): Promise<void> {
    this.#isOpen = false;
    if (this.inFlight > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    await this.#process.later(0.05, 'disk-close', () => this.#unlock());
  }

  #unlock(): void {
    this.#isOpen = false;
    if (this.#device.lockedBy === this) this.#device.lockedBy = null;
    this.#process.resources.delete(this);
  }

  #submit(
    kind: DiskRequest['kind'],
    offset: number,
    length: number,
    isDurable: boolean,
    pieces: { offset: number; length: number }[],
    done: Completion,
  ): void {
    if (!this.#process.isAlive) return;
    this.inFlight += 1;
    const refusal = this.#refusalOf(kind, offset, length, pieces);
    if (refusal !== 0) this.#process.post(0, 'disk-refused', () => this.#complete(done, refusal));
    else
      this.#device.submit(
        new DiskRequest(kind, this, offset, length, isDurable, this.#process.world.memory, pieces, this.#answer(done)),
      );
  }

  #answer(done: Completion): (result: number) => void {
    return (result) => void this.#process.post(0, 'disk-done', () => this.#complete(done, result));
  }

  #complete(done: Completion, result: number): void {
    this.inFlight -= 1;
    done.complete(result);
    if (this.inFlight === 0 && this.#whenIdle !== null) this.#whenIdle();
  }

  /** 0, or the errno with which a real disk refuses the request. */
  #refusalOf(
    kind: DiskRequest['kind'],
    offset: number,
    length: number,
    pieces: readonly { offset: number; length: number }[],
  ): number {
    if (!this.#isOpen) return ECANCELED;
    if (kind === 'flush') return 0;
    if (kind !== 'read' && this.#isReadOnly) return EPERM;
    const block = this.blockSizeBytes;
    const isAligned = offset >= 0 && length > 0 && offset % block === 0 && length % block === 0;
    if (!isAligned || pieces.some((piece) => piece.offset % SECTOR_BYTES !== 0)) return EINVAL;
    return offset + length > this.sizeBytes ? EINVAL : 0;
  }
}
