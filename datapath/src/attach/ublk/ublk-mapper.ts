// Kernel block devices by the kernel's ublk: a mapper of pfnbd for kernels without an nbd client. Requests come to this process over its
// ring; when it dies they wait in the kernel, those in flight included, until the next process takes the device over.
//
//   map():    record -> device (with the name's hash) -> queue -> disk -> record with the device's id
//   adopt():  the kernel's recovery -> queue -> recovered
//   unmap():  disk claimed -> disk gone -> device gone -> record
//
// What remembers: the kernel, which keeps the hash of the name with the device, and our records, which are written first. What died before
// the disk was there, or after it had gone, is DEAD in the kernel: adopt() and reap() remove it.
import { PfError, errorCodeOf, formatErrorChain } from '../../base/errors.ts';
import type { BlockDevice } from '../../block/device.ts';
import { within } from '../../daemon/deadline.ts';
import { isSameProcess, type ProcessIdentity } from '../../world/processes.ts';
import type { World } from '../../world/world.ts';
import { blockSizeOf } from '../block-size.ts';
import type { MapRequest, Mapper, Mapping } from '../mapper.ts';
import { TurnsByName } from '../turns-by-name.ts';
import { MappingRecords, isMappingName } from '../mapping-records.ts';
import { MAPPING_RECORD, type MappingRecord } from './mapping-record.ts';
import { DEAD, LIVE, hashOf, isSameHash, type DeviceInfo, type NameHash } from './protocol.ts';
import { UblkControl } from './ublk-control.ts';
import { UblkMapping } from './ublk-mapping.ts';
import { missingForUblk } from './ublk-requirements.ts';
import { UblkServer } from './ublk-server.ts';

export type UblkMapperWorld = Pick<World, 'ports' | 'memory' | 'clock' | 'files' | 'processes' | 'ublk' | 'log' | 'sha256'>;

export interface UblkMapperOptions {
  /** The records' folder; made when it is missing. */
  readonly folder: string;
  /** How long adopt() waits for the process before to end. Default 30 s. */
  readonly ownerTimeoutMs?: number;
  /** How long handOver() and unmap() wait for requests that the BlockDevice does not answer. Default 5 s. */
  readonly drainMs?: number;
  /** Default "/sys" and "/dev". */
  readonly sysFolder?: string;
  readonly deviceFolder?: string;
}

/** Requests of a device that may be here at once. */
const DEPTH = 128;
/** One slot of I/O memory. */
const MAXIMUM_IO_BYTES = 1024 * 1024;
const OWNER_TIMEOUT_MS = 30_000;
const DRAIN_MS = 5_000;
const LOOK_MS = 20;
/** The kernel lets a dead process's device go within moments. */
const SETTLE_MS = 10_000;

export class UblkMapper implements Mapper {
  readonly kind = 'ublk';
  readonly #world: UblkMapperWorld;
  readonly #options: UblkMapperOptions;
  readonly #records: MappingRecords<MappingRecord>;
  readonly #control: UblkControl | null;
  readonly #owner: ProcessIdentity;
  readonly #served = new Set<string>();
  /** Of all servers; from the first device on. */
  #scratch: number | null = null;
  readonly #turns = new TurnsByName();

  private constructor(world: UblkMapperWorld, options: UblkMapperOptions, owner: ProcessIdentity) {
    const { folder, sysFolder = '/sys', deviceFolder = '/dev' } = options;
    this.#world = world;
    this.#options = options;
    this.#owner = owner;
    this.#records = new MappingRecords(world.files, folder, MAPPING_RECORD);
    this.#control =
      world.ublk === undefined ? null : new UblkControl(world.ublk, world.files, world.clock, { sysFolder, deviceFolder });
  }

  /** Error UNSUPPORTED. */
  static async open(world: UblkMapperWorld, options: UblkMapperOptions): Promise<UblkMapper> {
    const owner = await world.processes.identify(Number(await world.files.readLink('/proc/self')));
    if (owner === null) throw new PfError('UNSUPPORTED', 'ublk devices cannot be made where /proc does not show this process');
    return new UblkMapper(world, options, owner);
  }

  unavailable(): Promise<string | null> {
    return missingForUblk(this.#world, this.#control);
  }

  map(request: MapRequest): Promise<Mapping> {
    return this.#turns.take(request.name, () => this.#map(request));
  }

  adopt(request: MapRequest): Promise<Mapping | null> {
    return this.#turns.take(request.name, () => this.#adopt(request));
  }

  async names(prefix: string): Promise<readonly string[]> {
    return (await this.#records.names()).filter((name) => name.startsWith(prefix) && isMappingName(name)).sort();
  }

  async reap(prefix: string, known: ReadonlySet<string>): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const name of await this.names(prefix)) {
      if (known.has(name)) continue;
      try {
        if (await this.#turns.take(name, () => this.#reapOne(name))) removed.push(name);
      } catch (error) {
        this.#world.log.warn('a ublk device without an owner stays', { name, error: formatErrorChain(error) });
      }
    }
    return removed;
  }

  async close(): Promise<void> {}

  async #map({ name, device }: MapRequest): Promise<Mapping> {
    const { log } = this.#world;
    const control = await this.#kernel();
    checkName(name);
    const hash = this.#hashOf(name);
    if (this.#served.has(name) || (await this.#records.read(name)) !== null || (await control.find(hash)) !== null)
      throw new PfError('ALREADY_EXISTS', `cannot map "${name}": there is a mapping of that name; adopt it`);
    const record: MappingRecord = { name, deviceId: null, owner: this.#owner };
    await this.#records.write(record);
    let deviceId: number | null = null;
    let server: UblkServer | null = null;
    try {
      deviceId = await control.add({ depth: DEPTH, maximumIoBytes: MAXIMUM_IO_BYTES, hash });
      server = this.#serve(deviceId, DEPTH, device);
      const blockSizeBytes = blockSizeOf(device);
      const sizeBytes = device.sizeBytes - (device.sizeBytes % blockSizeBytes);
      const { isReadOnly, canTrim } = device;
      const parameters = { sizeBytes, blockSizeBytes, maximumIoBytes: MAXIMUM_IO_BYTES, isReadOnly, canTrim };
      await control.start(deviceId, parameters, this.#owner.pid);
      // Dying here: the kernel has the hash.
      await this.#records.write({ ...record, deviceId });
      return this.#begin({ ...record, deviceId }, device, server, sizeBytes);
    } catch (error) {
      await this.#undo(name, deviceId, server).catch((second: unknown) =>
        log.warn('a ublk device that could not be made is left to reap()', { name, error: formatErrorChain(second) }),
      );
      throw error;
    }
  }

  async #undo(name: string, deviceId: number | null, server: UblkServer | null): Promise<void> {
    const control = await this.#kernel();
    if (deviceId !== null) await control.remove(deviceId, false);
    if (server !== null) {
      await within(this.#world.clock, SETTLE_MS, server.back());
      if (server.isBack) server.close();
    }
    await this.#records.remove(name);
  }

  async #adopt({ name, device }: MapRequest): Promise<Mapping | null> {
    const control = await this.#kernel();
    checkName(name);
    if (this.#served.has(name)) throw new PfError('INVALID_STATE', `cannot adopt "${name}": this process serves it already`);
    const record = await this.#records.read(name);
    const info = await this.#awaitRecovery(name, record);
    if (info === null) {
      if (record !== null) await this.#records.remove(name);
      return null;
    }
    const { deviceId, depth } = info;
    const next: MappingRecord = { name, deviceId, owner: this.#owner };
    await this.#records.write(next);
    const server = this.#serve(deviceId, depth, device);
    try {
      // Dying until then, and after it: the kernel starts over with the next process.
      await control.endRecovery(deviceId, this.#owner.pid);
      return this.#begin(next, device, server, await control.sizeBytes(deviceId));
    } catch (error) {
      await this.#giveUp(deviceId, server).catch((second: unknown) =>
        this.#world.log.warn('a ublk device stays with this process until it ends', { name, error: formatErrorChain(second) }),
      );
      throw error;
    }
  }

  /** Of a device that was not taken over: another attempt may. */
  async #giveUp(deviceId: number, server: UblkServer): Promise<void> {
    server.stop();
    await this.#control!.quiesce(deviceId, SETTLE_MS);
    await within(this.#world.clock, SETTLE_MS, server.back());
    if (server.isBack) server.close();
  }

  /** Until the process before has let the device go; null when there is none that can be saved. Error INVALID_STATE: it lives on. */
  async #awaitRecovery(name: string, record: MappingRecord | null): Promise<DeviceInfo | null> {
    const { clock, log } = this.#world;
    const control = await this.#kernel();
    const deadline = clock.now() + (this.#options.ownerTimeoutMs ?? OWNER_TIMEOUT_MS);
    for (;;) {
      const info = await this.#find(name, record);
      const isOwned = record !== null && (await this.#isOwnedElsewhere(record));
      if (info !== null && info.state !== DEAD && (await control.startRecovery(info.deviceId))) return info;
      if (!isOwned && info === null) return null;
      if (!isOwned && info!.state === DEAD) {
        log.warn('a ublk device that was never started, or was stopped, is removed', { name, device: info!.deviceId });
        await control.remove(info!.deviceId, false);
        return null;
      }
      if (clock.now() > deadline) {
        const pid = info?.pid ?? record?.owner?.pid ?? 0;
        throw new PfError('INVALID_STATE', `cannot adopt "${name}": process ${pid} serves it; end it first`);
      }
      await clock.sleep(LOOK_MS);
    }
  }

  async #reapOne(name: string): Promise<boolean> {
    const control = await this.#kernel();
    if (this.#served.has(name)) return false;
    const record = await this.#records.read(name);
    if (record !== null && (await this.#isOwnedElsewhere(record))) return false;
    const found = await this.#find(name, record);
    if (found !== null) {
      const info = await control.settled(found.deviceId, SETTLE_MS);
      if (info?.state === LIVE) return false;
      if (info !== null && !(await this.#removeOrphan(name, info))) return false;
    }
    await this.#records.remove(name);
    return true;
  }

  /** False when it was in use: its users get errors from now on, and the next reap() finds it DEAD. */
  async #removeOrphan(name: string, { deviceId, state }: DeviceInfo): Promise<boolean> {
    const control = await this.#kernel();
    try {
      await control.remove(deviceId, state !== DEAD);
      return true;
    } catch (error) {
      if (errorCodeOf(error) !== 'INVALID_STATE') throw error;
      this.#world.log.warn('a ublk device without an owner is in use: its users get errors', { name, device: deviceId });
      await control.stop(deviceId);
      return false;
    }
  }

  /** The device of that name: where its record says, or wherever the kernel has its hash. */
  async #find(name: string, record: MappingRecord | null): Promise<DeviceInfo | null> {
    const control = await this.#kernel();
    const hash = this.#hashOf(name);
    const recorded = record === null || record.deviceId === null ? null : await control.info(record.deviceId);
    return recorded !== null && isSameHash(recorded.hash, hash) ? recorded : control.find(hash);
  }

  #serve(deviceId: number, depth: number, device: BlockDevice): UblkServer {
    const { memory, ublk, log } = this.#world;
    const onRefused = (errno: number): void =>
      log.error('the kernel refuses a command of a ublk device: one of its requests waits for the next process', {
        device: deviceId,
        errno,
      });
    this.#scratch ??= memory.reserve(MAXIMUM_IO_BYTES);
    const options = { depth, maximumIoBytes: MAXIMUM_IO_BYTES, scratch: this.#scratch, onRefused };
    const server = new UblkServer(memory, ublk!.open(deviceId, depth), device, options);
    server.start();
    return server;
  }

  #begin(record: MappingRecord, device: BlockDevice, server: UblkServer, sizeBytes: number): UblkMapping {
    const { name } = record;
    this.#served.add(name);
    return new UblkMapping({
      world: this.#world,
      control: this.#control!,
      records: this.#records,
      record,
      deviceId: record.deviceId!,
      device,
      server,
      sizeBytes,
      drainMs: this.#options.drainMs ?? DRAIN_MS,
      onLeft: () => this.#served.delete(name),
    });
  }

  async #isOwnedElsewhere({ owner }: MappingRecord): Promise<boolean> {
    if (owner === null || isSameProcess(owner, this.#owner)) return false;
    const now = await this.#world.processes.identify(owner.pid);
    return now !== null && isSameProcess(now, owner);
  }

  #hashOf(name: string): NameHash {
    return hashOf(this.#world.sha256(new TextEncoder().encode(name)));
  }

  async #kernel(): Promise<UblkControl> {
    if (this.#control !== null) return this.#control;
    throw new PfError('UNSUPPORTED', `cannot make ublk devices: ${await this.unavailable()}`);
  }
}

function checkName(name: string): void {
  if (isMappingName(name)) return;
  throw new PfError('INVALID_ARGUMENT', `cannot map "${name.slice(0, 80)}": wanted 1 to 200 characters of A-Z a-z 0-9 . _ -`);
}
