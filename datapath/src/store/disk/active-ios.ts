// The writes and trims between submit and ioSettled: counts their parts, tells their owners, and knows when a range is quiet (drain)
// or, after a failure, when the disk has let go of all memory so that the rest can be answered EIO.
import { assert } from '../../base/assert.ts';
import { EIO } from '../../world/completion.ts';
import type { DiskIo } from './disk-io.ts';

interface Drain {
  readonly volumeId: number;
  readonly from: number;
  readonly to: number;
  readonly resolve: () => void;
}

export class ActiveIos {
  #first: DiskIo | null = null;
  #drains: Drain[] = [];
  #hasFailed = false;
  count = 0;

  /** Begins with one part: the caller's own, ended by partDurable and partSettled when it has started all others. */
  begin(io: DiskIo): void {
    assert(io.pendingSettled === 0, 'a disk request is submitted again before it has settled');
    io.result = 0;
    io.isCorrupt = false;
    io.pendingDurable = 1;
    io.pendingSettled = 1;
    io.previousActive = null;
    io.nextActive = this.#first;
    if (this.#first !== null) this.#first.previousActive = io;
    this.#first = io;
    this.count += 1;
  }

  addPart(io: DiskIo): void {
    io.pendingDurable += 1;
    io.pendingSettled += 1;
  }

  partDurable(io: DiskIo): void {
    if (this.#hasFailed) return;
    io.pendingDurable -= 1;
    if (io.pendingDurable === 0) io.owner.ioDurable(io);
  }

  partSettled(io: DiskIo): void {
    if (this.#hasFailed) return;
    io.pendingSettled -= 1;
    if (io.pendingSettled === 0) this.#settle(io);
  }

  get hasDrains(): boolean {
    return this.#drains.length > 0;
  }

  /** Resolves when no write or trim of the range is under way. */
  drain(volumeId: number, from: number, to: number): Promise<void> {
    if (!this.#overlaps(volumeId, from, to)) return Promise.resolve();
    return new Promise((resolve) => this.#drains.push({ volumeId, from, to, resolve }));
  }

  /** Resolves when there is no write or trim at all. */
  whenIdle(): Promise<void> {
    if (this.#first === null) return Promise.resolve();
    return new Promise((resolve) => this.#drains.push({ volumeId: -1, from: 0, to: 0, resolve }));
  }

  /** From now on nobody makes progress; the answers come with failAll(). */
  stop(): void {
    this.#hasFailed = true;
  }

  /** Once nothing is outstanding: everybody gets EIO. */
  failAll(): void {
    while (this.#first !== null) {
      const io = this.#first;
      const isAnswered = io.pendingDurable === 0;
      if (!isAnswered) {
        io.result = EIO;
        io.pendingDurable = 0;
        io.owner.ioDurable(io);
      }
      this.#settle(io);
    }
  }

  #settle(io: DiskIo): void {
    io.pendingSettled = 0;
    if (io.previousActive === null) this.#first = io.nextActive;
    else io.previousActive.nextActive = io.nextActive;
    if (io.nextActive !== null) io.nextActive.previousActive = io.previousActive;
    io.previousActive = null;
    io.nextActive = null;
    this.count -= 1;
    io.owner.ioSettled(io);
    if (this.#drains.length > 0) this.#finishDrains();
  }

  #finishDrains(): void {
    const still: Drain[] = [];
    for (const drain of this.#drains) {
      if (this.#overlaps(drain.volumeId, drain.from, drain.to)) still.push(drain);
      else drain.resolve();
    }
    this.#drains = still;
  }

  #overlaps(volumeId: number, from: number, to: number): boolean {
    if (volumeId < 0) return this.#first !== null;
    for (let io = this.#first; io !== null; io = io.nextActive) {
      if (io.volumeId === volumeId && io.offset < to && io.offset + io.length > from) return true;
    }
    return false;
  }
}
