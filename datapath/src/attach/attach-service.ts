// pfnbd: keeps the volumes of one node mapped into its kernel, through its own restarts and those of everybody else. Started by bin/pfnbd.
//
// What dies when:  record written --> opened --> kernel device made --> record with its size
//   after the first arrow: the next process finds a record without a device, and drops it: whoever asked gets no answer and asks again;
//   after the second or third: it adopts the device by its name.
// Going:  kernel device removed --> closed --> record removed. After the first arrow the next process finds a record without a device.
// Invariants: one step at a time for each volume; a device without a record is removed after the start, or fails its requests while it
// is in use; a device serves the attachment for which it was made, and no other; a record that cannot be read makes no orphan.
import { PfError, errorCodeOf, formatErrorChain } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { ControlHandler } from '../daemon/control-server.ts';
import { TIMED_OUT, within } from '../daemon/deadline.ts';
import { Mutex } from '../daemon/mutex.ts';
import type { World } from '../world/world.ts';
import { AttachmentRecords, type AttachmentRecord } from './attachment-records.ts';
import { AttachedVolume, type OpenedVolume, type Surroundings } from './attached-volume.ts';
import { AttachmentWatch, type WatchOptions } from './attachment-watch.ts';
import { findMapping, mappingName, type DamagedRecord } from './damaged-records.ts';
import type { Mapper } from './mapper.ts';
import { attachRequestField, volumeRequestField, type AttachedVolume as Listed, type AttachRequest } from './model.ts';
import { UsableMappers } from './usable-mappers.ts';

export interface AttachServiceOptions {
  /** On the node's disk; for one pfnbd at a time. */
  readonly stateFolder: string;
  /** Tells its kernel devices from those of another pfnbd on this machine, the same in every process of it: 1 to 16 of 0-9 a-z. */
  readonly instance: string;
  /** The signal ends the waiting for the cluster. */
  readonly openVolume: (request: AttachRequest, signal: AbortSignal) => Promise<OpenedVolume>;
  readonly getVolumes: WatchOptions['getVolumes'];
  /** All that this program has: each takes up the devices that it has made. */
  readonly mappers: readonly Mapper[];
  /** Which kind makes new devices. Default "auto": the first one that this machine can use. */
  readonly wanted?: string;
}

/** For steps under way when the process ends: what they wait for in the cluster is given up, what the kernel does is short. */
const STEPS_END_MS = 1_000;

export class AttachService {
  readonly #world: World;
  readonly #records: AttachmentRecords;
  readonly #around: Surroundings;
  readonly #mappers: readonly Mapper[];
  readonly #ofKind: UsableMappers;
  /** For new devices. */
  readonly #mapper: Mapper;
  readonly #volumes = new Map<string, AttachedVolume>();
  readonly #mutexes = new Map<string, Mutex>();
  readonly #ending = new AbortController();
  readonly #takingUp: Promise<void>[] = [];
  /** Names of all mappings that there are, or are about to be. */
  readonly #known = new Set<string>();
  readonly #prefix: string;
  readonly #watch: AttachmentWatch;
  #unlock: () => Promise<void> = async () => {};

  /** Serves at once; volumes of an earlier process come back one by one. Errors: INVALID_STATE (another pfnbd has the folder), UNSUPPORTED (no mapper for new devices, or none for old ones). */
  static async start(world: World, options: AttachServiceOptions): Promise<AttachService> {
    const { stateFolder } = options;
    await world.files.makeFolder(stateFolder, { isPrivate: true });
    const lock = await world.files.lock(`${stateFolder}/lock`);
    try {
      const records = new AttachmentRecords(world, stateFolder);
      const mappers = await UsableMappers.among(options.mappers);
      const service = new AttachService(world, records, mappers, options);
      service.#unlock = () => lock.release();
      await service.#takeUpAll();
      void service.#reap();
      return service;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  private constructor(world: World, records: AttachmentRecords, mappers: UsableMappers, options: AttachServiceOptions) {
    this.#world = world;
    this.#records = records;
    this.#mappers = mappers.all;
    this.#ofKind = mappers;
    this.#mapper = mappers.wanted(options.wanted ?? 'auto');
    this.#prefix = `pf-${options.instance}-`;
    const { openVolume, getVolumes } = options;
    this.#around = { world, openVolume, mappingName: (request) => this.#nameOf(request) };
    const attached = (): Iterable<AttachedVolume> => this.#volumes.values();
    this.#watch = new AttachmentWatch(world, { getVolumes, attached, signal: this.#ending.signal });
  }

  /** For its control socket. */
  get handlers(): Readonly<Record<string, ControlHandler>> {
    return {
      attach: async (body) => asJson(await this.attach(attachRequestField.fromJson(body, 'attach'))),
      detach: async (body) => this.detach(volumeRequestField.fromJson(body, 'detach').volume_name).then(() => null),
      resize: async (body) => asJson(await this.resize(volumeRequestField.fromJson(body, 'resize').volume_name)),
      is_written: async (body) => ({
        is_written: await this.isWritten(volumeRequestField.fromJson(body, 'is_written').volume_name),
      }),
      list: () => this.list().map(asJson),
    };
  }

  attach(request: AttachRequest): Promise<Listed> {
    return this.#alone(request.volume_name, async () => {
      const present = this.#volumes.get(request.volume_name);
      if (present !== undefined && isSame(present.request, request)) return servingOf(present);
      if (present !== undefined) await this.#replace(present, request);
      const volume = new AttachedVolume(this.#around, this.#mapper, request);
      this.#known.add(this.#nameOf(request));
      await this.#records.write(recordOf(volume));
      try {
        await volume.attach(this.#ending.signal);
      } catch (error) {
        await this.#forget(request);
        throw error;
      }
      this.#volumes.set(request.volume_name, volume);
      this.#watch.wake();
      await this.#records.write(recordOf(volume));
      return volume.listed();
    });
  }

  detach(volumeName: string): Promise<void> {
    return this.#alone(volumeName, async () => {
      const volume = this.#volumes.get(volumeName);
      if (volume === undefined) return;
      await this.#remove(volume);
    });
  }

  resize(volumeName: string): Promise<Listed> {
    return this.#alone(volumeName, async () => {
      const volume = this.#attached(volumeName, 'resize');
      await volume.resize();
      await this.#records.write(recordOf(volume));
      return volume.listed();
    });
  }

  /** Whether any of its blocks holds what was written. */
  isWritten(volumeName: string): Promise<boolean> {
    return this.#alone(volumeName, () => this.#attached(volumeName, 'look into').isWritten());
  }

  list(): readonly Listed[] {
    return [...this.#volumes.values()].map((volume) => volume.listed());
  }

  /**
   * Leaves every kernel device to the next process. What does not end with the signal is waited for last: the caller may then end the
   * process over it, which is no more than a death.
   */
  async handOver(): Promise<void> {
    this.#ending.abort(new PfError('CANCELLED', 'pfnbd ends'));
    const steps = Promise.all([...this.#takingUp, ...[...this.#mutexes.values()].map((mutex) => mutex.run(async () => {}))]);
    if ((await within(this.#world.clock, STEPS_END_MS, steps)) === TIMED_OUT)
      this.#world.log.warn('steps under way do not end: the next pfnbd finds what they have done');
    await Promise.all([...this.#volumes.values()].map((volume) => volume.handOver()));
    await steps;
    await Promise.all(this.#mappers.map((mapper) => mapper.close()));
    await this.#unlock();
  }

  async #takeUpAll(): Promise<void> {
    const { whole, damaged } = await this.#records.readAll();
    // Before any is begun: a record that is given to another mapper finds no device there, and would be dropped with a device in use.
    const known = whole.map((record) => ({ record, mapper: this.#ofKind.forDevice(record.mapper, record.volume_name) }));
    for (const { record, mapper } of known) this.#begin(new AttachedVolume(this.#around, mapper, requestOf(record)), record.size);
    for (const record of damaged) await this.#recover(record);
  }

  /** Its device may be mounted: it is taken up as what its name says. */
  async #recover({ volumeName, setAside, reason }: DamagedRecord): Promise<void> {
    const found = await findMapping(this.#mappers, this.#prefix, volumeName);
    const about = { volume: volumeName, copy: setAside, error: reason };
    if (found === null) {
      await this.#records.remove(volumeName);
      this.#world.log.warn('a damaged record of an attachment has no device: it is only kept aside', about);
      return;
    }
    this.#world.log.error(
      'the record of an attachment is damaged: it is made anew from the device; check the disk of this node',
      about,
    );
    const request = { volume_name: volumeName, attachment: found.attachment, read_only: false };
    const problem = `its record was damaged (${reason}) and is made anew from its device; the old one is kept as ${setAside}: check the disk of this node`;
    this.#begin(new AttachedVolume(this.#around, found.mapper, request, problem), 0, true);
  }

  #begin(volume: AttachedVolume, sizeBytes: number, isRecordLost = false): void {
    this.#known.add(this.#nameOf(volume.request));
    this.#volumes.set(volume.request.volume_name, volume);
    this.#takingUp.push(this.#takeUp(volume, sizeBytes, isRecordLost));
  }

  /** Beside everything else: what belongs to nobody may take as long as it likes to go. */
  async #reap(): Promise<void> {
    for (const mapper of this.#mappers) {
      try {
        const gone = await mapper.reap(this.#prefix, this.#known);
        if (gone.length > 0) this.#world.log.warn('devices without a record were removed', { devices: [...gone] });
      } catch (error) {
        this.#world.log.warn('devices without a record could not be looked for', { error: formatErrorChain(error) });
      }
    }
  }

  /** Not under the mutex while the cluster is waited for: the volume is STARTING, and calls about it are told so. */
  async #takeUp(volume: AttachedVolume, sizeBytes: number, isRecordLost: boolean): Promise<void> {
    const { volume_name } = volume.request;
    try {
      if (!(await volume.takeUp(sizeBytes, this.#ending.signal))) {
        this.#volumes.delete(volume_name);
        await this.#forget(volume.request);
        return;
      }
      this.#world.log.info('an attached volume has its device again', { volume: volume_name, state: volume.state });
      this.#watch.wake();
      // Dying before this line leaves the damaged record, and with it this way to go.
      if (isRecordLost) await this.#alone(volume_name, () => this.#recordAnew(volume));
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      this.#world.log.error('an attached volume could not be taken up', { volume: volume_name, error: formatErrorChain(error) });
    }
  }

  /** Unless it was detached a moment ago. */
  async #recordAnew(volume: AttachedVolume): Promise<void> {
    if (this.#volumes.get(volume.request.volume_name) === volume) await this.#records.write(recordOf(volume));
  }

  /** No record any more: what is left of a device, if anything, is an orphan. */
  async #forget(request: AttachRequest): Promise<void> {
    this.#known.delete(this.#nameOf(request));
    await this.#records.remove(request.volume_name);
  }

  #nameOf({ attachment, volume_name }: AttachRequest): string {
    return mappingName(this.#prefix, attachment, volume_name);
  }

  /** The attachment that is asked for is another one: what is here belongs to one that is over. */
  async #replace(present: AttachedVolume, request: AttachRequest): Promise<void> {
    try {
      await this.#remove(present);
    } catch (error) {
      if (errorCodeOf(error) !== 'INVALID_STATE') throw error;
      throw new PfError(
        'INVALID_STATE',
        `cannot attach volume "${request.volume_name}" with attachment ${request.attachment}: the device of attachment ${present.request.attachment} is still there; unmount it and detach it first`,
        { cause: error },
      );
    }
  }

  async #remove(volume: AttachedVolume): Promise<void> {
    const { volume_name } = volume.request;
    await volume.detach();
    this.#volumes.delete(volume_name);
    await this.#forget(volume.request);
  }

  #attached(volumeName: string, action: string): AttachedVolume {
    const volume = this.#volumes.get(volumeName);
    if (volume !== undefined) return volume;
    throw new PfError('NOT_FOUND', `cannot ${action} volume "${volumeName}": it is not attached here; attach it first`);
  }

  #alone<T>(volumeName: string, task: () => Promise<T>): Promise<T> {
    if (this.#ending.signal.aborted) return Promise.reject(new PfError('NOT_READY', 'pfnbd ends; ask the next one'));
    const mutex = this.#mutexes.get(volumeName) ?? new Mutex();
    this.#mutexes.set(volumeName, mutex);
    return mutex.run(task);
  }
}

function servingOf(volume: AttachedVolume): Listed {
  const listed = volume.listed();
  if (listed.state === 'SERVING') return listed;
  const { volume_name, attachment } = listed;
  if (listed.state === 'OVER')
    throw new PfError(
      'FENCED',
      `attachment ${attachment} of volume "${volume_name}" is over; detach it here and attach it again`,
    );
  throw new PfError('UNAVAILABLE', `volume "${volume_name}" waits for its cluster since pfnbd was started; try again`);
}

function isSame(one: AttachRequest, other: AttachRequest): boolean {
  return one.attachment === other.attachment && one.read_only === other.read_only;
}

function requestOf({ volume_name, attachment, read_only }: AttachRequest): AttachRequest {
  return { volume_name, attachment, read_only };
}

function recordOf(volume: AttachedVolume): AttachmentRecord {
  return { version: 1, ...volume.request, mapper: volume.mapper.kind, size: volume.sizeBytes };
}

const asJson = (listed: Listed): Json => ({ ...listed });
