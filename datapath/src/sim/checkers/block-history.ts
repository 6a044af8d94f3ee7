// Watches every read, write and trim of one volume and throws a Violation as soon as no honest disk could have answered so:
// an acknowledged write is readable until it is overwritten; a write without an answer may be there or not, but once seen it
// stays; a fenced client's write never appears late; no foreign, misplaced, torn or invented bytes; zeros only where nothing
// was written, or where it was trimmed. Per sector of 512 bytes, for any number of concurrent clients.
//
// Used by the workload of a simulated run (and of tests on real devices): call ...Started() before submitting a request and
// ...Done() when it is answered, at the moments at which the client itself sees them.
import { assert } from '../../base/assert.ts';
import { SECTOR_BYTES } from '../../base/sizes.ts';
import { readStamp, writeStamp } from './sector-stamp.ts';
import { SectorZones } from './sector-zones.ts';
import type { Contradiction, Mutation, Zone } from './sector-zones.ts';
import { Violation } from './violation.ts';

export class WriteOperation implements Mutation {
  readonly number: number;
  readonly client: string;
  readonly kind: 'write' | 'zero';
  readonly offset: number;
  readonly length: number;
  readonly startTick: number;
  readonly startedAtMs: number;
  endTick = Infinity;
  answeredTick = Infinity;
  deadlineTick = Infinity;
  outcome = 'not answered';

  constructor(
    number: number,
    client: string,
    kind: 'write' | 'zero',
    offset: number,
    length: number,
    startTick: number,
    startedAtMs: number,
  ) {
    this.number = number;
    this.client = client;
    this.kind = kind;
    this.offset = offset;
    this.length = length;
    this.startTick = startTick;
    this.startedAtMs = startedAtMs;
  }
}

export interface ReadOperation {
  readonly client: string;
  readonly offset: number;
  readonly length: number;
  readonly startTick: number;
  readonly startedAtMs: number;
  /** Set by closeWindow: the content is from before this moment. */
  endTick: number;
}

export interface HistoryOptions {
  /** 32 bits that no other volume of the run has. */
  readonly volumeTag: number;
  readonly sizeBytes: number;
  /** For messages. */
  readonly now?: () => number;
}

export class BlockHistory {
  readonly volumeTag: number;
  /** Sectors whose bytes were checked, for "did this run test anything". */
  sectorsChecked = 0;
  readonly #now: () => number;
  #sizeBytes: number;
  readonly #sectors = new Map<number, SectorZones>();
  readonly #operations = new Map<number, WriteOperation>();
  /** Trims that sectors first touched later must hear of: not acknowledged yet, or never. */
  readonly #openTrims = new Set<WriteOperation>();
  /** In the order of their starts. */
  readonly #reads = new Set<ReadOperation>();
  readonly #unanswered = new Map<string, Set<WriteOperation>>();
  #tick = 0;

  constructor(options: HistoryOptions) {
    assert(options.sizeBytes % SECTOR_BYTES === 0, `volume size ${options.sizeBytes} is no multiple of ${SECTOR_BYTES}`);
    this.volumeTag = options.volumeTag >>> 0;
    this.#sizeBytes = options.sizeBytes;
    this.#now = options.now ?? (() => this.#tick);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** From now on there may be requests up to this size; what is new holds zeros. */
  grow(sizeBytes: number): void {
    assert(
      sizeBytes % SECTOR_BYTES === 0 && sizeBytes >= this.#sizeBytes,
      `a volume of ${this.#sizeBytes} bytes cannot become one of ${sizeBytes}`,
    );
    this.#sizeBytes = sizeBytes;
  }

  /** A WRITE begins; fill() its payload before submitting it. Sending the same write again is the same operation. */
  writeStarted(client: string, offset: number, length: number): WriteOperation {
    return this.#begin('write', client, offset, length);
  }

  /** A TRIM or WRITE_ZEROES begins. */
  trimStarted(client: string, offset: number, length: number): WriteOperation {
    return this.#begin('zero', client, offset, length);
  }

  /** Stamps the payload of a write into `target` at `at`. */
  fill(operation: WriteOperation, target: Uint8Array, at: number): void {
    const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
    for (let done = 0; done < operation.length; done += SECTOR_BYTES) {
      writeStamp(view, at + done, this.volumeTag, operation.number, (operation.offset + done) / SECTOR_BYTES);
    }
  }

  /** The answer of a write or trim: 0, or an errno, after which it may have happened or not. */
  writeDone(operation: WriteOperation, result: number): void {
    if (!this.#unanswered.get(operation.client)?.delete(operation)) return; // its client has died
    this.#tick += 1;
    operation.answeredTick = this.#tick;
    operation.outcome =
      result === 0 ? `acknowledged at ${this.#now().toFixed(3)}` : `failed with errno ${result} at ${this.#now().toFixed(3)}`;
    if (result !== 0) return;
    operation.endTick = this.#tick;
    this.#openTrims.delete(operation);
    this.#forSectors(operation, (zones, sector) => this.#judge(zones.acknowledge(operation), sector, zones));
  }

  readStarted(client: string, offset: number, length: number): ReadOperation {
    this.#checkRange('read', offset, length);
    this.#tick += 1;
    const read: ReadOperation = { client, offset, length, startTick: this.#tick, startedAtMs: this.#now(), endTick: Infinity };
    this.#reads.add(read);
    return read;
  }

  /** For content that was frozen before it is read, such as a snapshot: the moment by which it was frozen. */
  closeWindow(read: ReadOperation): void {
    this.#tick += 1;
    read.endTick = this.#tick;
  }

  /** The answer of a read: the bytes at `at` of `bytes`, or null when it failed. */
  readDone(read: ReadOperation, bytes: Uint8Array | null, at = 0): void {
    if (!this.#reads.has(read)) return; // its client has died
    this.#tick += 1;
    if (read.endTick === Infinity) read.endTick = this.#tick;
    if (bytes !== null) this.#checkBytes(read, bytes, at);
    this.#reads.delete(read);
  }

  /** Nobody will report this client's answers any more; what it had under way may still happen, at any time. */
  clientDied(client: string): void {
    this.#unanswered.delete(client);
    for (const read of this.#reads) if (read.client === client) this.#reads.delete(read);
  }

  /** From now on nothing that this client has under way may take effect: it has happened already, or never will. */
  clientFenced(client: string): void {
    this.#tick += 1;
    for (const operation of this.#operations.values()) {
      if (operation.client === client && operation.endTick === Infinity)
        operation.deadlineTick = Math.min(operation.deadlineTick, this.#tick);
    }
  }

  #begin(kind: 'write' | 'zero', client: string, offset: number, length: number): WriteOperation {
    this.#checkRange(kind, offset, length);
    this.#tick += 1;
    const operation = new WriteOperation(this.#operations.size + 1, client, kind, offset, length, this.#tick, this.#now());
    this.#operations.set(operation.number, operation);
    let own = this.#unanswered.get(client);
    if (own === undefined) this.#unanswered.set(client, (own = new Set()));
    own.add(operation);
    if (kind === 'write') for (let done = 0; done < length; done += SECTOR_BYTES) this.#sectorAt((offset + done) / SECTOR_BYTES);
    else this.#openTrims.add(operation);
    this.#forSectors(operation, (zones) => zones.begin(operation, kind === 'zero'));
    return operation;
  }

  #sectorAt(sector: number): SectorZones {
    let zones = this.#sectors.get(sector);
    if (zones === undefined) {
      zones = new SectorZones();
      this.#sectors.set(sector, zones);
      for (const trim of this.#openTrims) if (covers(trim, sector)) zones.begin(trim, true);
    }
    return zones;
  }

  /** Every sector of the operation that was ever written. */
  #forSectors(operation: WriteOperation, visit: (zones: SectorZones, sector: number) => void): void {
    if (operation.length / SECTOR_BYTES > this.#sectors.size) {
      for (const [sector, zones] of this.#sectors) if (covers(operation, sector)) visit(zones, sector);
      return;
    }
    for (let done = 0; done < operation.length; done += SECTOR_BYTES) {
      const sector = (operation.offset + done) / SECTOR_BYTES;
      const zones = this.#sectors.get(sector);
      if (zones !== undefined) visit(zones, sector);
    }
  }

  #checkBytes(read: ReadOperation, bytes: Uint8Array, at: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let done = 0; done < read.length; done += SECTOR_BYTES) {
      this.#checkSector(read, (read.offset + done) / SECTOR_BYTES, view, at + done);
      this.sectorsChecked += 1;
    }
  }

  #checkSector(read: ReadOperation, sector: number, view: DataView, at: number): void {
    const seen = readStamp(view, at);
    const zones = this.#sectors.get(sector);
    if (seen.kind === 'zero') {
      if (zones !== undefined) this.#judge(zones.seeZeros(read.startTick, read.endTick), sector, zones, read);
      return;
    }
    if (seen.kind === 'garbage') {
      const start = Array.from(new Uint8Array(view.buffer, view.byteOffset + at, 16), (byte) =>
        byte.toString(16).padStart(2, '0'),
      ).join(' ');
      this.#refuse(
        read,
        sector,
        seen.at === 0
          ? `bytes that nobody wrote: ${start} ...`
          : `write ${seen.writeNumber} with its pattern broken at byte ${seen.at}: a torn or rotten sector`,
      );
    }
    if (seen.volumeTag !== this.volumeTag)
      this.#refuse(read, sector, `foreign bytes: write ${seen.writeNumber} of volume tag ${seen.volumeTag}`);
    if (seen.sector !== sector)
      this.#refuse(read, sector, `misplaced bytes: sector ${seen.sector} of ${this.#tell(seen.writeNumber)}`);
    const operation = this.#operations.get(seen.writeNumber);
    if (operation === undefined || operation.kind !== 'write' || !covers(operation, sector) || zones === undefined) {
      this.#refuse(read, sector, `write ${seen.writeNumber}, which this volume never had there`);
    }
    if (operation.startTick > read.endTick)
      this.#refuse(read, sector, `content from after its time: ${this.#tell(seen.writeNumber)}`);
    const verdict = zones.seeWrite(seen.writeNumber, read.startTick, read.endTick);
    if (verdict === 'stale')
      this.#refuse(
        read,
        sector,
        `stale bytes of ${this.#tell(seen.writeNumber)}, although newer content was certain before the read began`,
      );
    this.#judge(verdict, sector, zones, read);
  }

  #judge(contradiction: Contradiction | null, sector: number, zones: SectorZones, read?: ReadOperation): void {
    if (contradiction !== null) {
      const { zone, other } = contradiction;
      const where = read === undefined ? '' : `, found by ${tellRead(read)}`;
      throw new Violation(
        `sector ${sector} of volume tag ${this.volumeTag} (byte ${sector * SECTOR_BYTES})${where}: each was certainly there before the other was last seen: ` +
          `${this.#tellZone(zone)}, and ${this.#tellZone(other)}; an acknowledged write was lost or came back, or content flickered`,
      );
    }
    const oldest = this.#reads.values().next().value;
    zones.prune(oldest?.startTick ?? this.#tick + 1);
  }

  #refuse(read: ReadOperation, sector: number, what: string): never {
    throw new Violation(
      `sector ${sector} of volume tag ${this.volumeTag} (byte ${sector * SECTOR_BYTES}): ${tellRead(read)} returned ${what}`,
    );
  }

  #tellZone(zone: Zone): string {
    const seen = `certain at tick ${zone.firstFinish}, last seen at tick ${zone.lastStart}`;
    return `${zone.mutation === null ? 'zeros that were read' : this.#tell(zone.mutation.number)} (${seen})`;
  }

  #tell(number: number): string {
    const operation = this.#operations.get(number);
    if (operation === undefined) return `write ${number} (unknown)`;
    const { kind, client, offset, length, startedAtMs, outcome } = operation;
    return `${kind} ${number} of ${client}, ${offset}+${length}, started at ${startedAtMs.toFixed(3)}, ${outcome}`;
  }

  #checkRange(action: string, offset: number, length: number): void {
    const isInside =
      offset >= 0 &&
      length > 0 &&
      offset % SECTOR_BYTES === 0 &&
      length % SECTOR_BYTES === 0 &&
      offset + length <= this.sizeBytes;
    assert(
      isInside,
      `cannot record a ${action} of ${offset}+${length}: the volume has ${this.sizeBytes} bytes, in sectors of ${SECTOR_BYTES}`,
    );
  }
}

function covers(operation: WriteOperation, sector: number): boolean {
  const at = sector * SECTOR_BYTES;
  return at >= operation.offset && at < operation.offset + operation.length;
}

function tellRead(read: ReadOperation): string {
  return `the read of ${read.client}, ${read.offset}+${read.length}, started at ${read.startedAtMs.toFixed(3)}`;
}
