// One ublk device that this process serves, and what may be done to it. Made by UblkMapper.
//
//   served --unmap()--> gone
//      \---handOver()--> left: its requests wait in the kernel for the next process
import { PfError, errorCodeOf, formatErrorChain } from '../../base/errors.ts';
import type { BlockDevice } from '../../block/device.ts';
import { TIMED_OUT, within } from '../../daemon/deadline.ts';
import { Mutex } from '../../daemon/mutex.ts';
import type { World } from '../../world/world.ts';
import { blockSizeOf } from '../block-size.ts';
import type { Mapping } from '../mapper.ts';
import type { MappingRecords } from '../mapping-records.ts';
import type { MappingRecord } from './mapping-record.ts';
import type { UblkControl } from './ublk-control.ts';
import type { UblkServer } from './ublk-server.ts';

export interface MappingParts {
  readonly world: Pick<World, 'clock' | 'log'>;
  readonly control: UblkControl;
  readonly records: MappingRecords<MappingRecord>;
  readonly record: MappingRecord;
  readonly deviceId: number;
  readonly device: BlockDevice;
  readonly server: UblkServer;
  readonly sizeBytes: number;
  /** How long requests that the BlockDevice does not answer are waited for. */
  readonly drainMs: number;
  /** It is no longer served here. */
  readonly onLeft: () => void;
}

/** Commands that the kernel gives back come within a turn or two. */
const BACK_MS = 200;
const QUIESCE_MS = 1_000;
/** Each round takes back the commands of requests that were answered since the last one. */
const ROUNDS_MAX = 20;

export class UblkMapping implements Mapping {
  readonly devicePath: string;
  sizeBytes: number;
  readonly #parts: MappingParts;
  readonly #mutex = new Mutex();
  #isLeft = false;

  constructor(parts: MappingParts) {
    this.#parts = parts;
    this.devicePath = parts.control.devicePath(parts.deviceId);
    this.sizeBytes = parts.sizeBytes;
  }

  resize(): Promise<void> {
    return this.#mutex.run(() => this.#resize());
  }

  unmap(): Promise<void> {
    return this.#mutex.run(() => this.#unmap());
  }

  handOver(): Promise<void> {
    return this.#mutex.run(() => this.#handOver());
  }

  async #resize(): Promise<void> {
    const { control, deviceId, device } = this.#parts;
    if (this.#isLeft) throw new PfError('INVALID_STATE', `cannot resize ${this.devicePath}: it is unmapped or handed over`);
    const wanted = device.sizeBytes - (device.sizeBytes % blockSizeOf(device));
    if (wanted <= this.sizeBytes) return;
    await control.resize(deviceId, wanted);
    this.sizeBytes = wanted;
  }

  async #unmap(): Promise<void> {
    const { control, deviceId, records, record, server, world, drainMs } = this.#parts;
    if (this.#isLeft) return;
    const isThere = await this.#isUnused();
    // From here on nobody uses the disk: whoever still waits for an answer may get an error.
    // Again and again: requests come until the disk has gone.
    const patience = world.clock.every(drainMs, () => server.abandon());
    try {
      // Dying before this, or in it: the device is there, or stopped; adopt() and reap() know it by its hash.
      await control.remove(deviceId, isThere);
    } finally {
      patience.cancel();
    }
    if ((await within(world.clock, BACK_MS * ROUNDS_MAX, server.back())) === TIMED_OUT)
      throw new PfError('TIMEOUT', `${this.devicePath} is gone, and the kernel has not given its commands back; unmap it again`);
    server.close();
    await records.remove(record.name);
    this.#isLeft = true;
    this.#parts.onLeft();
  }

  /** False when there is no disk any more: somebody else has stopped it. Error INVALID_STATE. */
  async #isUnused(): Promise<boolean> {
    try {
      await this.#parts.control.checkUnused(this.#parts.deviceId);
      return true;
    } catch (error) {
      if (errorCodeOf(error) === 'NOT_FOUND') return false;
      if (errorCodeOf(error) !== 'INVALID_STATE') throw error;
      throw new PfError(
        'INVALID_STATE',
        `cannot unmap ${this.devicePath}: it is mounted, or somebody has claimed it; unmount it first`,
        {
          cause: error,
        },
      );
    }
  }

  async #handOver(): Promise<void> {
    const { records, record, server, world } = this.#parts;
    if (this.#isLeft) return;
    this.#isLeft = true;
    try {
      await this.#letGo();
      server.close();
      await records.write({ ...record, owner: null });
    } catch (error) {
      // The end of this process does the same: the record names it, and the next process waits for that.
      server.stop();
      world.log.warn('a ublk device was not handed over: the next process waits until this one has ended', {
        device: this.devicePath,
        error: formatErrorChain(error),
      });
    }
    this.#parts.onLeft();
  }

  /** New requests wait in the kernel; what is here is answered; the kernel takes its commands back. */
  async #letGo(): Promise<void> {
    const { control, deviceId, server, world, drainMs } = this.#parts;
    const deadline = world.clock.now() + drainMs;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const { answers } = server;
      await control.quiesce(deviceId, QUIESCE_MS);
      const leftMs = Math.max(0, deadline - world.clock.now());
      if ((await within(world.clock, leftMs, server.answered())) === TIMED_OUT) {
        server.stop();
        world.log.warn('requests of a ublk device are unanswered: the next process gets them again', { device: this.devicePath });
      }
      // Those that were answered since have asked for more.
      if (server.answers !== answers) continue;
      if ((await within(world.clock, BACK_MS, server.back())) !== TIMED_OUT) return;
    }
    throw new PfError('TIMEOUT', `the kernel has not given the commands of ${this.devicePath} back`);
  }
}
