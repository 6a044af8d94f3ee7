// Kernel devices by the kernel's own NBD client, configured over netlink: a mapper of pfnbd. The kernel's end of each socket belongs to
// the kernel alone; this process may die and the device stays, its requests waiting for the next one.
//
// What remembers: the kernel, which shows the name of a mapping as the device's identifier (Linux 5.14 and later), and our records, which are
// written first. Older kernels have the records only, so there the index is chosen here and recorded before the connect.
import { PfError, errorCodeOf, formatErrorChain } from '../../base/errors.ts';
import { serveNbd, transmissionFlagsOf, type NbdServer } from '../../nbd/index.ts';
import type { NetlinkListener } from '../../world/kernel.ts';
import { isSameProcess, type ProcessIdentity } from '../../world/processes.ts';
import type { World } from '../../world/world.ts';
import { blockSizeOf } from '../block-size.ts';
import type { MapRequest, Mapper, Mapping } from '../mapper.ts';
import { TurnsByName } from '../turns-by-name.ts';
import { KernelDevices, type KernelDevice } from './kernel-devices.ts';
import { openLink, type KernelLink } from './kernel-link.ts';
import { MappingRecords } from '../mapping-records.ts';
import { MAPPING_RECORD, type MappingRecord } from './mapping-record.ts';
import { NbdControl } from './nbd-control.ts';
import { NbdMapping, reconnectLinks, type MappingSurroundings } from './nbd-mapping.ts';
import { missingForNbd } from './nbd-requirements.ts';
import { QUEUE_ATTRIBUTES, tuneQueue, type QueueAttribute } from './queue-tuning.ts';

export type NbdMapperWorld = Pick<World, 'memory' | 'clock' | 'network' | 'files' | 'processes' | 'kernel' | 'log'>;

export interface NbdMapperOptions {
  /** The records' folder; made when it is missing. */
  readonly folder: string;
  /** Sockets of a device. More than one only with timeoutS, because the kernel then gives up slow sockets in any case. Default 1. */
  readonly connections?: number;
  /** Seconds after which the kernel takes a socket that does not answer for dead. Default 0: never. */
  readonly timeoutS?: number;
  /** How long requests wait in the kernel for the next process before they fail. Default 600. */
  readonly deadConnectionTimeoutS?: number;
  /** How long adopt() waits for the process before to end. Default 30 s. */
  readonly ownerTimeoutMs?: number;
  /** How long handOver() may take to find a silent moment. Default 10 s. */
  readonly handOverTimeoutMs?: number;
  /** Default "/sys" and "/dev". */
  readonly sysFolder?: string;
  readonly deviceFolder?: string;
}

const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}$/;
/**
 * After so long the kernel looks whether a request without an answer went to a socket that is gone, and sends it again: what a restart of
 * this program costs the requests in flight. A slow answer costs one line in the kernel's log each time.
 */
const LOOK_AFTER_MS = 2_000;
/** What it is without being told. */
const KERNEL_LOOK_AFTER_MS = 30_000;
/** The kernel rounds its timers up to whole seconds. */
const TIMER_SLACK_MS = 1_500;
const OWNER_LOOK_MS = 20;
const RECONNECT_PAUSE_MS = 50;
const GONE_MS_MAX = 10_000;
const CONNECT_TRIES_MAX = 64;

export class NbdMapper implements Mapper {
  readonly kind = 'nbd';
  readonly #world: NbdMapperWorld;
  readonly #connections: number;
  readonly #timeoutS: number;
  readonly #deadConnectionTimeoutS: number;
  readonly #ownerTimeoutMs: number;
  readonly #owner: ProcessIdentity;
  readonly #shared: MappingSurroundings;
  readonly #mappings = new Map<string, NbdMapping>();
  readonly #turns = new TurnsByName();
  #listener: Promise<NetlinkListener> | null = null;

  private constructor(world: NbdMapperWorld, options: NbdMapperOptions, server: NbdServer, owner: ProcessIdentity) {
    this.#world = world;
    this.#connections = options.connections ?? 1;
    this.#timeoutS = options.timeoutS ?? 0;
    this.#deadConnectionTimeoutS = options.deadConnectionTimeoutS ?? 600;
    this.#ownerTimeoutMs = options.ownerTimeoutMs ?? 30_000;
    this.#owner = owner;
    this.#shared = {
      world,
      control: new NbdControl(world.kernel!, world.clock),
      devices: new KernelDevices(world.files, world.clock, `${options.sysFolder ?? '/sys'}/block`),
      records: new MappingRecords(world.files, options.folder, MAPPING_RECORD),
      server,
      deviceFolder: options.deviceFolder ?? '/dev',
      resendMs: (this.#isLooking ? LOOK_AFTER_MS : this.#timeoutS * 1000 || KERNEL_LOOK_AFTER_MS) + TIMER_SLACK_MS,
      handOverTimeoutMs: options.handOverTimeoutMs ?? 10_000,
      onOver: (mapping) => this.#forget(mapping),
    };
  }

  /** Errors: INVALID_ARGUMENT for options that lose requests; UNSUPPORTED without the native addon. */
  static async open(world: NbdMapperWorld, options: NbdMapperOptions): Promise<NbdMapper> {
    const { connections = 1, timeoutS = 0, deadConnectionTimeoutS = 600 } = options;
    if (connections < 1 || connections > 16 || (connections > 1 && timeoutS === 0)) {
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot map with ${connections} connections and a timeout of ${timeoutS} s: wanted 1 to 16, and with more than one a timeout above what the slowest answer takes`,
      );
    }
    if (timeoutS > 0 && timeoutS >= deadConnectionTimeoutS) {
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot map with a timeout of ${timeoutS} s and a dead connection timeout of ${deadConnectionTimeoutS} s: requests would fail instead of being sent again; the second must be larger`,
      );
    }
    if (world.kernel === undefined) throw new PfError('UNSUPPORTED', 'NBD devices cannot be made without the native addon');
    const self = Number(await world.files.readLink('/proc/self'));
    const owner = await world.processes.identify(self);
    if (owner === null) throw new PfError('UNSUPPORTED', 'NBD devices cannot be made where /proc does not show this process');
    return new NbdMapper(world, options, await serveNbd(world, { exports: [] }), owner);
  }

  unavailable(): Promise<string | null> {
    return missingForNbd(this.#world, this.#shared.control);
  }

  map(request: MapRequest): Promise<Mapping> {
    return this.#turns.take(request.name, () => this.#map(request));
  }

  adopt(request: MapRequest): Promise<Mapping | null> {
    return this.#turns.take(request.name, () => this.#adopt(request));
  }

  async close(): Promise<void> {
    const listener = await this.#listener?.catch(() => null); // Who asked for it has been told.
    listener?.close();
    this.#listener = null;
    if (this.#mappings.size === 0) await this.#shared.server.close();
  }

  async #map({ name, device }: MapRequest): Promise<Mapping> {
    const { records, devices, server, control } = this.#shared;
    checkName(name);
    if (this.#mappings.has(name) || (await records.read(name)) !== null || (await devices.findByBackend(name)) !== null)
      throw new PfError('ALREADY_EXISTS', `cannot map "${name}": there is a mapping of that name; adopt it`);
    await this.#listen();
    const blockSizeBytes = blockSizeOf(device);
    const sizeBytes = device.sizeBytes - (device.sizeBytes % blockSizeBytes);
    server.addExport({ name, device });
    const links: KernelLink[] = [];
    let record: MappingRecord = { name, state: 'CONNECTING', index: null, connections: this.#connections, owner: this.#owner };
    try {
      for (let made = 0; made < this.#connections; made += 1) links.push(openLink(this.#world.network, server, name));
      record = await this.#connect(record, links, sizeBytes, blockSizeBytes, transmissionFlagsOf(device));
      // Dying here: the kernel shows the name, or the record has had the index before.
      await records.write(record);
    } catch (error) {
      for (const link of links) link.session.destroy();
      await server.removeExport(name);
      // Without an answer the kernel may have connected all the same; the record stays for reap().
      if (record.state === 'SERVING') await control.disconnect(record.index!, null);
      if (errorCodeOf(error) !== 'TIMEOUT') await records.remove(name);
      throw error;
    } finally {
      for (const link of links) link.closeDescriptor();
    }
    const tuning = [...QUEUE_ATTRIBUTES, ...this.#lookAttributes];
    await tuneQueue(this.#world.kernel!, this.#world.log, this.#attributePath(record.index!), tuning);
    return this.#begin(record, device, sizeBytes, links);
  }

  /** Writes the record first; resolves with what it must be from now on. */
  async #connect(
    record: MappingRecord,
    links: readonly KernelLink[],
    sizeBytes: number,
    blockSizeBytes: number,
    serverFlags: number,
  ): Promise<MappingRecord> {
    const { control, devices, records } = this.#shared;
    const fields = {
      sizeBytes,
      blockSizeBytes,
      serverFlags,
      timeoutS: this.#timeoutS,
      deadConnectionTimeoutS: this.#deadConnectionTimeoutS,
      sockets: links.map((link) => link.descriptor),
      backend: record.name,
    };
    if (await this.#canShowBackend()) {
      await records.write(record);
      return { ...record, state: 'SERVING', index: await control.connect(fields) };
    }
    const taken = new Set((await devices.connected()).map((each) => each.index));
    for (let index = 0; index < CONNECT_TRIES_MAX; index += 1) {
      if (taken.has(index)) continue;
      await records.write({ ...record, index });
      try {
        return { ...record, state: 'SERVING', index: await control.connect({ ...fields, index }) };
      } catch (error) {
        if (errorCodeOf(error) !== 'INVALID_STATE') throw error; // Somebody else was faster: the next one.
      }
    }
    throw new PfError('NO_SPACE', `cannot map "${record.name}": the first ${CONNECT_TRIES_MAX} NBD devices are in use`);
  }

  async #adopt({ name, device }: MapRequest): Promise<Mapping | null> {
    const { records, devices, server } = this.#shared;
    checkName(name);
    if (this.#mappings.has(name)) throw new PfError('INVALID_STATE', `cannot adopt "${name}": this process serves it already`);
    const record = await this.#readForAdoption(name);
    if (record !== null) await this.#waitForOwner(record);
    const found = await this.#find(name, record);
    if (found === null) {
      if (record !== null) await records.remove(name);
      return null;
    }
    await this.#listen();
    const connections = record?.connections ?? this.#connections;
    const next: MappingRecord = { name, state: 'SERVING', index: found.index, connections, owner: this.#owner };
    await records.write(next);
    server.addExport({ name, device });
    try {
      const links = await this.#reconnect(name, found.index, connections);
      const { sizeBytes } = await devices.read(found.index);
      await tuneQueue(this.#world.kernel!, this.#world.log, this.#attributePath(found.index), this.#lookAttributes);
      return this.#begin(next, device, sizeBytes, links);
    } catch (error) {
      await server.removeExport(name);
      if (!['INVALID_ARGUMENT', 'NOT_FOUND'].includes(errorCodeOf(error))) throw error;
      this.#world.log.warn('an NBD device could not be saved', { name, device: found.index, error: formatErrorChain(error) });
      await this.#remove(name, found.index, null);
      return null;
    }
  }

  /**
   * A damaged record says no more than none where the kernel shows the name: the sockets of its owner are waited for in any case. Elsewhere
   * it stays, and so does the device, for a person: CORRUPT.
   */
  async #readForAdoption(name: string): Promise<MappingRecord | null> {
    const { records, devices } = this.#shared;
    try {
      return await records.read(name);
    } catch (error) {
      if (errorCodeOf(error) !== 'CORRUPT') throw error;
      const isShown = (await devices.findByBackend(name)) !== null;
      if (!isShown && !(await this.#canShowBackend())) throw error;
      const outcome = isShown ? 'it is made anew from what the kernel shows' : 'the kernel has no such device: it is removed';
      this.#world.log.error(`the record of an NBD device is damaged: ${outcome}`, { name, error: formatErrorChain(error) });
      if (!isShown) await records.remove(name);
      return null;
    }
  }

  /** Until the sockets of the process before are dead, the kernel takes no others. */
  async #reconnect(name: string, index: number, count: number): Promise<KernelLink[]> {
    const { clock } = this.#world;
    const deadline = clock.now() + this.#ownerTimeoutMs;
    for (;;) {
      try {
        return await reconnectLinks(this.#shared, name, index, count);
      } catch (error) {
        if (errorCodeOf(error) !== 'NOT_READY' || clock.now() > deadline) throw error;
        await clock.sleep(RECONNECT_PAUSE_MS);
      }
    }
  }

  async names(prefix: string): Promise<readonly string[]> {
    const { records, devices } = this.#shared;
    const backends = (await devices.connected()).flatMap(({ backend }) => (backend === null ? [] : [backend]));
    const all = new Set([...(await records.names()), ...backends]);
    return [...all].filter((name) => name.startsWith(prefix) && NAME.test(name)).sort();
  }

  async reap(prefix: string, known: ReadonlySet<string>): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const name of await this.names(prefix)) {
      if (known.has(name)) continue;
      try {
        if (await this.#turns.take(name, () => this.#reapOne(name))) removed.push(name);
      } catch (error) {
        this.#world.log.warn('an NBD device without an owner stays', { name, error: formatErrorChain(error) });
      }
    }
    return removed;
  }

  async #reapOne(name: string): Promise<boolean> {
    if (this.#mappings.has(name)) return false;
    const record = await this.#shared.records.read(name);
    if (record !== null && (await this.#isServedElsewhere(record))) return false;
    const found = await this.#find(name, record);
    if (found === null) await this.#shared.records.remove(name);
    else await this.#remove(name, found.index, `${this.#shared.deviceFolder}/nbd${found.index}`);
    return true;
  }

  async #remove(name: string, index: number, claim: string | null): Promise<void> {
    const { control, devices, records } = this.#shared;
    if ((await devices.read(index)).isConnected) await control.disconnect(index, claim);
    if (!(await devices.waitUntilGone(index, name, GONE_MS_MAX)))
      throw new PfError('INVALID_STATE', `/dev/nbd${index} of "${name}" is disconnected, but somebody has it open`);
    await records.remove(name);
  }

  /** The connected device of that name. */
  async #find(name: string, record: MappingRecord | null): Promise<KernelDevice | null> {
    const { devices } = this.#shared;
    const shown = await devices.findByBackend(name);
    if (shown !== null || record === null || record.index === null) return shown;
    const device = await devices.read(record.index);
    // A device that shows another name has been given to somebody else since.
    return device.isConnected && device.backend === null && !(await this.#canShowBackend()) ? device : null;
  }

  #begin(record: MappingRecord, device: MapRequest['device'], sizeBytes: number, links: KernelLink[]): NbdMapping {
    const mapping = new NbdMapping(this.#shared, record, device, sizeBytes, links);
    this.#mappings.set(record.name, mapping);
    return mapping;
  }

  async #waitForOwner(record: MappingRecord): Promise<void> {
    const { clock } = this.#world;
    const deadline = clock.now() + this.#ownerTimeoutMs;
    while (await this.#isServedElsewhere(record)) {
      if (clock.now() > deadline)
        throw new PfError('INVALID_STATE', `cannot adopt "${record.name}": process ${record.owner.pid} serves it; end it first`);
      await clock.sleep(OWNER_LOOK_MS);
    }
  }

  async #isServedElsewhere(record: MappingRecord): Promise<boolean> {
    if (record.state === 'HANDED_OVER' || isSameProcess(record.owner, this.#owner)) return false;
    const now = await this.#world.processes.identify(record.owner.pid);
    return now !== null && isSameProcess(now, record.owner);
  }

  async #canShowBackend(): Promise<boolean> {
    const release = await this.#world.files.readStart('/proc/sys/kernel/osrelease', 64);
    const match = /^(\d+)\.(\d+)/.exec(new TextDecoder().decode(release ?? new Uint8Array()));
    return match !== null && Number(match[1]) * 1000 + Number(match[2]) >= 5014;
  }

  async #listen(): Promise<void> {
    this.#listener ??= this.#shared.control.listen((index) => {
      for (const mapping of this.#mappings.values()) if (index === null || mapping.index === index) mapping.linkDied();
    });
    try {
      await this.#listener;
    } catch (error) {
      this.#listener = null;
      throw error;
    }
  }

  #forget(mapping: NbdMapping): void {
    this.#mappings.delete(mapping.name);
  }

  /** With one socket and no timeout the kernel only looks; otherwise its look gives slow sockets up, and the timeout says when. */
  get #isLooking(): boolean {
    return this.#connections === 1 && this.#timeoutS === 0;
  }

  get #lookAttributes(): readonly QueueAttribute[] {
    return this.#isLooking ? [['io_timeout', String(LOOK_AFTER_MS)]] : [];
  }

  #attributePath(index: number): (attribute: string) => string {
    return (attribute) => this.#shared.devices.attributePath(index, attribute);
  }
}

function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw new PfError('INVALID_ARGUMENT', `cannot map "${name.slice(0, 80)}": wanted 1 to 200 characters of A-Z a-z 0-9 . _ -`);
}
