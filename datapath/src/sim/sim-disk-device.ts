// A simulated disk: its content, its volatile cache, its speed and its faults. It belongs to a machine and outlives processes.
//
//   write --> cache (`#current`: what reads see) --flush, or durable--> media (`#media`: what a power cut leaves)
//
// `#log` holds, in order of completion, what the cache has and the media may lack. A power cut replays it onto the media:
// durable entries whole, the others whole, torn at 512 bytes, or not at all.
import { assert } from '../base/assert.ts';
import { alignDown, SECTOR_BYTES } from '../base/sizes.ts';
import { EIO } from '../world/completion.ts';
import { applySurvivors, applyWhole } from './disk-trace.ts';
import type { DiskTrace } from './disk-trace.ts';
import type { DiskRequest } from './disk-request.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimHost } from './sim-host.ts';
import { SparseBytes } from './sparse-bytes.ts';

export interface DiskDeviceOptions {
  readonly sizeBytes: number;
  /** 512 or 4096 (default). */
  readonly blockSizeBytes?: number;
  /** Starts with this content (copied), such as an image from a DiskTrace. */
  readonly image?: SparseBytes;
  readonly speed?: Partial<DiskSpeed>;
  /** Default false: a discarded range reads as before or as zeros, as chance will have it. */
  readonly discardReadsZeros?: boolean;
}

/** Means, in milliseconds; a quarter is fixed, the rest exponential. */
export interface DiskSpeed {
  readMs: number;
  writeMs: number;
  durableMs: number;
  flushMs: number;
  bytesPerMs: number;
  /** Requests served at once; more of them wait in line. */
  parallelism: number;
}

/** Chances per request; all 0 at the start. The harness sets them within what the system must survive. */
export interface DiskFaults {
  readError: number;
  /** EIO; a part of the bytes may have landed. */
  writeError: number;
  flushError: number;
  /** Answered as done, but nothing was written. */
  lostWrite: number;
  /** Answered as done, but written somewhere else. */
  misdirectedWrite: number;
  /** Answered as done, but only some sectors were written. */
  tornWrite: number;
  /** One bit of what is read turns over, for good. */
  bitRot: number;
}

export type FaultKind = keyof DiskFaults;

export interface InjectedFault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly offset: number;
  readonly length: number;
}

interface LogEntry {
  readonly kind: 'write' | 'discard';
  readonly offset: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  isDurable: boolean;
}

const MAX_LOG_ENTRIES = 8192;

export class SimDiskDevice {
  readonly host: SimHost;
  readonly path: string;
  readonly blockSizeBytes: number;
  readonly discardReadsZeros: boolean;
  readonly speed: DiskSpeed;
  readonly faults: DiskFaults = {
    readError: 0,
    writeError: 0,
    flushError: 0,
    lostWrite: 0,
    misdirectedWrite: 0,
    tornWrite: 0,
    bitRot: 0,
  };
  /** Where faults may strike; the harness forbids what no replica could repair. */
  isFaultAllowed: (kind: FaultKind, offset: number, length: number) => boolean = () => true;
  readonly injected: InjectedFault[] = [];
  trace: DiskTrace | null = null;
  /** Multiplies all delays. */
  slowFactor = 1;
  /** Every request fails with EIO, as a disk that has died. */
  isBroken = false;
  /** Who holds the exclusive lock. */
  lockedBy: object | null = null;
  readonly #random: SeededRandom;
  readonly #media: SparseBytes;
  #current: SparseBytes;
  #log: LogEntry[] = [];
  #badRanges: { offset: number; length: number }[] = [];
  readonly #serving = new Set<DiskRequest>();
  #line: DiskRequest[] = [];
  #isStuck = false;

  constructor(host: SimHost, path: string, options: DiskDeviceOptions) {
    this.host = host;
    this.path = path;
    this.blockSizeBytes = options.blockSizeBytes ?? 4096;
    assert(
      options.sizeBytes % this.blockSizeBytes === 0,
      `disk size ${options.sizeBytes} is no multiple of ${this.blockSizeBytes}`,
    );
    this.discardReadsZeros = options.discardReadsZeros ?? false;
    this.speed = {
      readMs: 0.08,
      writeMs: 0.02,
      durableMs: 0.05,
      flushMs: 0.2,
      bytesPerMs: 2_000_000,
      parallelism: 32,
      ...options.speed,
    };
    this.#media = options.image?.clone() ?? new SparseBytes(options.sizeBytes);
    if (this.#media.sizeBytes < options.sizeBytes) this.#media.grow(options.sizeBytes);
    this.#current = this.#media.clone();
    this.#random = host.random.fork(`disk ${path}`);
  }

  get sizeBytes(): number {
    return this.#current.sizeBytes;
  }

  /** What a reader sees now, without any fault. */
  get content(): SparseBytes {
    return this.#current;
  }

  grow(sizeBytes: number): void {
    this.#media.grow(sizeBytes);
    this.#current.grow(sizeBytes);
  }

  /** While stuck, requests are accepted and none completes. */
  setStuck(isStuck: boolean): void {
    this.#isStuck = isStuck;
    this.#serveNext();
  }

  /** Reads of the range give EIO until it is written again. */
  failReads(offset: number, length: number): void {
    this.#badRanges.push({ offset, length });
  }

  /** Turns one bit over, on the media and in the cache. */
  rot(offset: number, bit = 0): void {
    for (const image of [this.#media, this.#current]) {
      const byte = image.bytesAt(offset, 1);
      byte[0]! ^= 1 << bit;
      image.write(offset, byte);
    }
  }

  /** Loses the volatile cache, and what is under way, as far as chance will have it. */
  cutPower(): void {
    for (const request of this.#underWay()) if (request.isWrite) this.#log.push(logEntryOf(request, false));
    this.#serving.clear();
    this.#line = [];
    for (const entry of this.#log) {
      if (entry.isDurable) applyWhole(this.#media, entry);
      else applySurvivors(this.#media, entry, this.#random);
    }
    this.#log = [];
    this.#current = this.#media.clone();
  }

  /** A process died while the machine lives on: its requests under way may land or not; the cache stays. */
  dropRequestsOf(owner: object): void {
    for (const request of this.#underWay()) {
      if (request.owner !== owner) continue;
      this.#serving.delete(request);
      if (!request.isWrite || this.#random.chance(0.3)) continue;
      const before = this.#current.bytesAt(request.offset, request.length);
      const entry = logEntryOf(request, false);
      applySurvivors(this.#current, entry, this.#random);
      const landed = { ...entry, kind: 'write' as const, bytes: this.#current.bytesAt(entry.offset, entry.length) };
      if (landed.bytes.some((byte, index) => byte !== before[index])) this.#log.push(landed);
    }
    this.#line = this.#line.filter((request) => request.owner !== owner);
    this.#serveNext();
  }

  submit(request: DiskRequest): void {
    request.logPosition = this.#log.length;
    request.tracePosition = this.trace?.length ?? 0;
    this.#line.push(request);
    this.#serveNext();
  }

  #underWay(): DiskRequest[] {
    return [...this.#serving, ...this.#line];
  }

  #serveNext(): void {
    while (!this.#isStuck && this.#line.length > 0 && this.#serving.size < this.speed.parallelism) {
      const request = this.#line.shift()!;
      this.#serving.add(request);
      this.host.sim.post(null, this.#serviceMs(request), 'disk', () => this.#finish(request), false);
    }
  }

  #serviceMs(request: DiskRequest): number {
    const { speed } = this;
    const mean =
      request.kind === 'read'
        ? speed.readMs
        : request.kind === 'flush'
          ? speed.flushMs
          : request.isDurable
            ? speed.durableMs
            : speed.writeMs;
    return (mean * 0.25 + this.#random.exponential(mean * 0.75) + request.length / speed.bytesPerMs) * this.slowFactor;
  }

  #finish(request: DiskRequest): void {
    if (!this.#serving.has(request)) return;
    if (this.#isStuck) {
      this.#serving.delete(request);
      this.#line.unshift(request);
      return;
    }
    this.#serving.delete(request);
    this.host.sim.note(request.offset / SECTOR_BYTES + request.length);
    request.finished(this.isBroken ? EIO : this.#perform(request));
    this.#serveNext();
  }

  #perform(request: DiskRequest): number {
    if (request.kind === 'read') return this.#read(request);
    if (request.kind === 'flush') return this.#flush(request);
    if (request.kind === 'discard') return this.#discard(request);
    return this.#write(request);
  }

  #read(request: DiskRequest): number {
    const { offset, length } = request;
    for (const other of this.#serving) if (other.kind === 'write' && overlaps(other, offset, length)) this.#landEarly(other);
    if (this.#badRanges.some((range) => overlaps(range, offset, length)) || this.#strikes('readError', offset, length))
      return EIO;
    if (this.#strikes('bitRot', offset, length)) this.rot(offset + this.#random.below(length), this.#random.below(8));
    request.fill(this.#current);
    return 0;
  }

  /** A reader may see some sectors of a write that is under way; whoever saw them will see them again. */
  #landEarly(write: DiskRequest): void {
    const bytes = write.gather();
    for (let start = 0; start < bytes.length; start += SECTOR_BYTES) {
      if (this.#random.chance(0.5)) continue;
      const sector = bytes.slice(start, start + SECTOR_BYTES);
      this.#current.write(write.offset + start, sector);
      this.#remember({ kind: 'write', offset: write.offset + start, length: sector.length, bytes: sector, isDurable: false });
    }
  }

  #write(request: DiskRequest): number {
    const { offset, length } = request;
    const entry = logEntryOf(request, request.isDurable);
    if (this.#strikes('writeError', offset, length)) {
      this.#landPart(entry);
      return EIO;
    }
    this.trace?.record({ ...entry, submittedAt: request.tracePosition });
    if (this.#strikes('lostWrite', offset, length)) return 0;
    if (this.#strikes('tornWrite', offset, length)) {
      this.#landPart(entry);
      return 0;
    }
    const target = this.#strikes('misdirectedWrite', offset, length) ? this.#elsewhere(length) : offset;
    this.#badRanges = this.#badRanges.filter((range) => range.offset < target || range.offset + range.length > target + length);
    this.#current.write(target, entry.bytes);
    this.#remember({ ...entry, offset: target });
    return 0;
  }

  #landPart(entry: LogEntry): void {
    applySurvivors(this.#current, entry, this.#random);
    this.#remember({ ...entry, bytes: this.#current.bytesAt(entry.offset, entry.length) });
  }

  #elsewhere(length: number): number {
    const blocks = Math.floor((this.sizeBytes - length) / this.blockSizeBytes);
    return this.#random.below(blocks + 1) * this.blockSizeBytes;
  }

  #flush(request: DiskRequest): number {
    if (this.#strikes('flushError', 0, 0)) return EIO;
    this.trace?.record({
      kind: 'flush',
      offset: 0,
      length: 0,
      bytes: new Uint8Array(0),
      isDurable: true,
      submittedAt: request.tracePosition,
    });
    for (let index = 0; index < request.logPosition; index += 1) this.#log[index]!.isDurable = true;
    this.#writeBack(false);
    return 0;
  }

  /** Afterwards the content is as before or zeros, unless zeros are promised. */
  #discard(request: DiskRequest): number {
    const { offset, length } = request;
    if (!this.discardReadsZeros && this.#random.chance(0.4)) return 0;
    this.trace?.record({
      kind: 'discard',
      offset,
      length,
      bytes: new Uint8Array(0),
      isDurable: false,
      submittedAt: request.tracePosition,
    });
    this.#current.zero(offset, length);
    this.#remember({ kind: 'discard', offset, length, bytes: new Uint8Array(0), isDurable: false });
    return 0;
  }

  #remember(entry: LogEntry): void {
    this.#log.push(entry);
    this.#writeBack(this.#log.length > MAX_LOG_ENTRIES);
  }

  /** Moves durable entries at the head of the log to the media; with `forced`, half of the log whatever it holds. */
  #writeBack(forced: boolean): void {
    let count = forced ? MAX_LOG_ENTRIES / 2 : 0;
    while (count < this.#log.length && this.#log[count]!.isDurable) count += 1;
    if (count === 0) return;
    for (const entry of this.#log.splice(0, count)) applyWhole(this.#media, entry);
    for (const request of this.#underWay()) request.logPosition = Math.max(0, request.logPosition - count);
  }

  #strikes(kind: FaultKind, offset: number, length: number): boolean {
    if (!this.#random.chance(this.faults[kind]) || !this.isFaultAllowed(kind, alignDown(offset, SECTOR_BYTES), length))
      return false;
    this.injected.push({ kind, atMs: this.host.sim.now, offset, length });
    return true;
  }
}

function logEntryOf(request: DiskRequest, isDurable: boolean): LogEntry {
  const isWrite = request.kind === 'write';
  return {
    kind: isWrite ? 'write' : 'discard',
    offset: request.offset,
    length: request.length,
    bytes: isWrite ? request.gather() : new Uint8Array(0),
    isDurable,
  };
}

function overlaps(range: { offset: number; length: number }, offset: number, length: number): boolean {
  return range.offset < offset + length && offset < range.offset + range.length;
}
