// What the parts of one open disk share: ports, geometry, the extents' state and the counters. Made by open-disk.ts, held by DiskStore.
// A failed write or flush ends the disk (fail-stop): after it nobody can say what is durable, so every request gets EIO until it is opened again.
import { PfError } from '../../base/errors.ts';
import type { DiskUuid, StoreUuid } from '../../base/ids.ts';
import type { Turn } from '../../world/clock.ts';
import type { Disk } from '../../world/disk.ts';
import type { Logger } from '../../world/log.ts';
import type { IoMemory } from '../../world/memory.ts';
import type { ExtentMap } from './extent-map.ts';
import { ExtentWaits } from './extent-waits.ts';
import type { ExtentTable } from './extent-table.ts';
import type { FreeExtents } from './free-extents.ts';
import { EXTENT_BYTES, type Geometry } from './layout.ts';

export interface DiskCounters {
  reads: number;
  writes: number;
  trims: number;
  journaledBlocks: number;
  redirectedExtents: number;
  logBatches: number;
  checkpoints: number;
  /** Reads that met a concurrent change and were done again. */
  readRetries: number;
  /** Requests that waited for a busy block, for log space or for scratch memory. */
  waits: number;
  corruptBlocks: number;
  healedEntries: number;
}

export class DiskState {
  readonly disk: Disk;
  readonly memory: IoMemory;
  /** The whole arena as words; format 1 is little-endian. */
  readonly words: Uint32Array;
  readonly turn: Turn;
  readonly log: Logger;
  readonly geometry: Geometry;
  readonly storeUuid: StoreUuid;
  readonly diskUuid: DiskUuid;
  readonly table: ExtentTable;
  readonly map: ExtentMap;
  readonly free: FreeExtents;
  readonly waits = new ExtentWaits(() => this.placeNow());
  /** Places ("volume/extent number") for which a write waits: a trim leaves their extent allocated, so that the write cannot run out of space. */
  readonly pinned = new Map<string, number>();
  /** Free extents promised to writes that wait; extents freed by batches that are not complete yet. */
  reservedExtents = 0;
  pendingFreeExtents = 0;
  failure: PfError | null = null;
  /** Operations of the write path that the disk has not completed: they use the memory of requests or of the log. */
  outstanding = 0;
  /** Somebody waits: blocks that the writer holds back go to their place now. */
  placeNow: () => void = () => {};
  onFailure: (failure: PfError) => void = () => {};
  /** After a failure: the disk has let go of all memory. */
  onAbandoned: () => void = () => {};
  readonly counters: DiskCounters = {
    reads: 0,
    writes: 0,
    trims: 0,
    journaledBlocks: 0,
    redirectedExtents: 0,
    logBatches: 0,
    checkpoints: 0,
    readRetries: 0,
    waits: 0,
    corruptBlocks: 0,
    healedEntries: 0,
  };

  constructor(
    ports: { disk: Disk; memory: IoMemory; turn: Turn; log: Logger },
    identity: { geometry: Geometry; storeUuid: StoreUuid; diskUuid: DiskUuid },
    extents: { table: ExtentTable; map: ExtentMap; free: FreeExtents },
  ) {
    this.disk = ports.disk;
    this.memory = ports.memory;
    this.words = new Uint32Array(ports.memory.buffer);
    this.turn = ports.turn;
    this.log = ports.log;
    this.geometry = identity.geometry;
    this.storeUuid = identity.storeUuid;
    this.diskUuid = identity.diskUuid;
    this.table = extents.table;
    this.map = extents.map;
    this.free = extents.free;
  }

  /** Extents that a new write may count on. */
  get availableExtents(): number {
    return this.free.count + this.pendingFreeExtents - this.reservedExtents;
  }

  diskOffsetOf(physical: number): number {
    return this.geometry.dataOffset + physical * EXTENT_BYTES;
  }

  pin(volumeId: number, extentNumber: number): void {
    const key = `${volumeId}/${extentNumber}`;
    this.pinned.set(key, (this.pinned.get(key) ?? 0) + 1);
  }

  unpin(volumeId: number, extentNumber: number): void {
    const key = `${volumeId}/${extentNumber}`;
    const left = this.pinned.get(key)! - 1;
    if (left > 0) this.pinned.set(key, left);
    else this.pinned.delete(key);
  }

  isPinned(volumeId: number, extentNumber: number): boolean {
    return this.pinned.size > 0 && this.pinned.has(`${volumeId}/${extentNumber}`);
  }

  reportCorrupt(volumeId: number, offset: number, physical: number): void {
    this.counters.corruptBlocks += 1;
    if (this.counters.corruptBlocks > 100) return;
    this.log.error('stored block fails its checksum', {
      disk: this.disk.path,
      diskUuid: this.diskUuid,
      volumeId,
      offset,
      diskOffset: this.diskOffsetOf(physical),
    });
  }

  /** An operation counted in `outstanding` has completed. */
  ioEnded(): void {
    this.outstanding -= 1;
    if (this.outstanding === 0 && this.failure !== null) this.onAbandoned();
  }

  fail(what: string): void {
    if (this.failure !== null) return;
    this.failure = new PfError('IO_ERROR', `disk "${this.disk.path}" (${this.diskUuid}) has failed: ${what}, then open it again`);
    this.log.error(this.failure.message);
    this.onFailure(this.failure);
    if (this.outstanding === 0) this.onAbandoned();
  }
}
