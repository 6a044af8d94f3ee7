// A client of one simulated volume: opens it in a process of its own, keeps a number of random requests in flight, and tells the
// volume's history what it asked and what it was answered. Stories use its single requests (write, read, trim) instead.
//
//   open() --> running --stop()--> idle --close()--> closed        die(): the process is gone, its answers never come
//
// A request that fails is a violation unless the run allows it: a volume whose replicas come back in time loses no request.
import { FLUSH, READ, TRIM, WRITE, WRITE_ZEROES, type BlockRequest } from '../../block/device.ts';
import type { BlockOperation } from '../../block/device.ts';
import { PfError, errorCodeOf } from '../../base/errors.ts';
import { KiB } from '../../base/sizes.ts';
import { openVolume, type VolumeDevice } from '../../volume/volume-device.ts';
import { ENOSPC } from '../../world/completion.ts';
import { MAX_SLOT_BYTES } from '../../world/memory.ts';
import type { World } from '../../world/world.ts';
import type { BlockHistory } from '../checkers/block-history.ts';
import { Violation } from '../checkers/violation.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { SimProcess } from '../sim-process.ts';
import type { HotSet, Region } from './hot-set.ts';
import { LoadSlot } from './load-slot.ts';
import type { LoadShape } from './profile.ts';

export interface LoadClientOptions {
  readonly volume: string;
  readonly conductors: readonly string[];
  readonly isReadOnly: boolean;
  readonly history: BlockHistory;
  /** By size, smallest first: a client uses the one of the volume as it knows it. */
  readonly hotSets: readonly HotSet[];
  readonly load: LoadShape;
  /** Extents of 64 KiB that any client of the volume has changed. */
  readonly touched: Set<number>;
  /** Errno of requests that may fail in this run, beside those of a client that was fenced. */
  readonly isFailureAllowed: (operation: BlockOperation, errno: number) => boolean;
  readonly deadlineMs?: number;
  /** Opens the volume with it. */
  readonly attachment?: { readonly client: string; readonly attachment: number };
}

const EXTENT_BYTES = 64 * KiB;
const MAX_TOUCH_BYTES = MAX_SLOT_BYTES;
const OPEN_AGAIN_MS = 100;

export class LoadClient {
  readonly process: SimProcess;
  readonly name: string;
  readonly options: LoadClientOptions;
  readonly random: SeededRandom;
  device: VolumeDevice | null = null;
  /** A newer writer may have raised the epoch: this one may be refused for good. */
  mayBeFenced = false;
  /** A newer writer has been admitted: nothing that this one starts may succeed. */
  isSuperseded = false;
  requestCount = 0;
  failureCount = 0;
  inFlight = 0;
  #isStopped = false;
  #slots: LoadSlot[] = [];
  /** Requests left in the burst that began, or will begin, at this time. */
  #burstLeft = 0;
  #burstStart = 0;

  constructor(process: SimProcess, options: LoadClientOptions) {
    this.process = process;
    this.name = process.name;
    this.options = options;
    this.random = process.sim.random.fork(`client ${process.name}`);
  }

  get world(): World {
    return this.process.world;
  }

  get isFenced(): boolean {
    return this.device?.failure?.code === 'FENCED';
  }

  /** Opens the volume, again and again while the conductor cannot be reached. */
  async open(): Promise<void> {
    const { conductors, volume, isReadOnly, load, deadlineMs, attachment } = this.options;
    for (;;) {
      try {
        const request = { conductors, name: volume, isReadOnly, connections: load.connections, ...attachment };
        this.device = await openVolume(this.world, deadlineMs === undefined ? request : { ...request, deadlineMs });
        return;
      } catch (error) {
        if (
          !(error instanceof PfError) ||
          !['UNAVAILABLE', 'CONNECTION_LOST', 'TIMEOUT', 'NOT_READY'].includes(errorCodeOf(error))
        )
          throw error;
        this.world.log.info('cannot open the volume yet', { volume, error: error.message });
        await this.world.clock.sleep(OPEN_AGAIN_MS);
      }
    }
  }

  /** From now on `depth` requests are kept in flight. */
  run(depth: number): void {
    this.#isStopped = false;
    this.#burstStart = this.world.clock.now();
    this.#slots = Array.from({ length: depth }, () => new LoadSlot(this));
    for (const slot of this.#slots) slot.rest();
  }

  /** How long a slot rests before its next request: hardly at all within a burst. */
  nextRestMs(): number {
    const { random } = this;
    const { burstRounds, requestRate } = this.options.load;
    const now = this.world.clock.now();
    if (this.#burstLeft === 0) {
      this.#burstLeft = this.#slots.length * burstRounds;
      this.#burstStart = Math.max(now, this.#burstStart + random.exponential((this.#burstLeft / requestRate) * 1000));
    }
    this.#burstLeft -= 1;
    return Math.max(0, this.#burstStart - now) + random.exponential(0.3);
  }

  /** No new request begins; those in flight go on. */
  stop(): void {
    this.#isStopped = true;
    for (const slot of this.#slots) slot.cancelRest();
  }

  get isStopped(): boolean {
    return this.#isStopped || this.device!.failure !== null;
  }

  /** Closes the volume; waits for what is in flight. */
  async close(): Promise<void> {
    this.stop();
    await this.device?.close();
    this.device = null;
  }

  /** kill -9: what was in flight may happen or not. */
  die(): void {
    this.stop();
    this.process.kill();
    this.options.history.clientDied(this.name);
  }

  /** A newer writer was admitted just now. */
  superseded(): void {
    this.mayBeFenced = true;
    this.isSuperseded = true;
    this.options.history.clientFenced(this.name);
  }

  /** One request of a story: resolves with its errno, after the history has seen it. */
  request(operation: BlockOperation, offset: number, length: number): Promise<number> {
    return new Promise((resolve) => {
      this.process.post(0, 'request', () => new LoadSlot(this, resolve).issue(operation, { offset, length }));
    });
  }

  write(offset: number, length: number): Promise<number> {
    return this.request(WRITE, offset, length);
  }

  read(offset: number, length: number): Promise<number> {
    return this.request(READ, offset, length);
  }

  trim(offset: number, length: number): Promise<number> {
    return this.request(TRIM, offset, length);
  }

  flush(): Promise<number> {
    return this.request(FLUSH, 0, 0);
  }

  drawOperation(): BlockOperation {
    if (this.options.isReadOnly) return READ;
    const { readShare, trimShare, zeroShare } = this.options.load;
    const fate = this.random.float();
    if (fate < readShare) return READ;
    if (fate < readShare + trimShare) return TRIM;
    if (fate < readShare + trimShare + zeroShare) return WRITE_ZEROES;
    return this.random.chance(0.03) ? FLUSH : WRITE;
  }

  drawRange(operation: BlockOperation): Region {
    const { sizeBytes } = this.device!;
    const hotSet = this.options.hotSets.findLast(({ volumeBytes }) => volumeBytes <= sizeBytes)!;
    return operation === TRIM || operation === WRITE_ZEROES ? hotSet.drawTrim(this.random) : hotSet.draw(this.random);
  }

  /** What is to be read back at the end; a trim of everything adds no new place. */
  touch(range: Region): void {
    if (range.length > MAX_TOUCH_BYTES) return;
    const last = Math.floor((range.offset + range.length - 1) / EXTENT_BYTES);
    for (let extent = Math.floor(range.offset / EXTENT_BYTES); extent <= last; extent += 1) this.options.touched.add(extent);
  }

  /** Judges an answer; `wasSuperseded` when the request began. */
  judge(request: BlockRequest, wasSuperseded: boolean): void {
    const { operation, offset, length, result } = request;
    if (result === 0) {
      if (wasSuperseded && operation !== FLUSH) {
        throw new Violation(
          `request ${operation} ${offset}+${length} of ${this.name} succeeded, although a newer writer had been admitted before it began`,
        );
      }
      return;
    }
    this.failureCount += 1;
    if (this.mayBeFenced && this.isFenced) return;
    if (this.options.isFailureAllowed(operation, result)) return;
    const why = this.device?.failure?.message ?? 'the cluster came back in time';
    throw new Violation(`request ${operation} ${offset}+${length} of ${this.name} failed with errno ${result}: ${why}`);
  }
}

export const allowNothing = (): boolean => false;
export const allowNoSpace = (operation: BlockOperation, errno: number): boolean =>
  errno === ENOSPC && operation !== READ && operation !== FLUSH;
