// One kernel device that this process serves: its sockets, and what may be done to it. Made by NbdMapper.
//
//   serving --a socket ends--> mending --reconnected--> serving
//      | \------unmap(), handOver()--------------------> over
//      \--the kernel's device is gone (somebody else disconnected it)--> lost
//
// A socket is replaced only when nothing of the old one is in flight here any more: the kernel sends its requests again, and the first
// copy of a write must not overtake a newer one.
import { PfError, formatErrorChain } from '../../base/errors.ts';
import { BlockRequest, READ, type BlockDevice } from '../../block/device.ts';
import { within } from '../../daemon/deadline.ts';
import { Mutex } from '../../daemon/mutex.ts';
import type { NbdServer } from '../../nbd/index.ts';
import { blockSizeOf } from '../block-size.ts';
import type { Mapping } from '../mapper.ts';
import { openLink, type KernelLink } from './kernel-link.ts';
import type { KernelDevices } from './kernel-devices.ts';
import type { MappingRecords } from '../mapping-records.ts';
import type { MappingRecord } from './mapping-record.ts';
import type { NbdControl } from './nbd-control.ts';
import type { NbdMapperWorld } from './nbd-mapper.ts';

/** What all mappings of a mapper share. */
export interface MappingSurroundings {
  readonly world: NbdMapperWorld;
  readonly control: NbdControl;
  readonly devices: KernelDevices;
  readonly records: MappingRecords<MappingRecord>;
  readonly server: NbdServer;
  readonly deviceFolder: string;
  /** Until then the kernel has looked for requests of sockets that are gone. */
  readonly resendMs: number;
  readonly handOverTimeoutMs: number;
  readonly onOver: (mapping: NbdMapping) => void;
}

const PROBE_MS_MAX = 5_000;
const GONE_MS_MAX = 10_000;
const OVER_MS_MAX = 10_000;
const MEND_PAUSE_MS = 100;
const MEND_PAUSE_MS_MAX = 5_000;
/** A socket that the kernel did not keep ends within this time. */
const REFUSAL_MS = 20;

export class NbdMapping implements Mapping {
  readonly name: string;
  readonly index: number;
  readonly devicePath: string;
  sizeBytes: number;
  readonly #device: BlockDevice;
  readonly #blockSizeBytes: number;
  readonly #shared: MappingSurroundings;
  readonly #record: MappingRecord;
  readonly #mutex = new Mutex();
  #links: KernelLink[];
  /** Nothing is mended any more. */
  #isEnding = false;
  /** Unmapped or handed over: the index may name somebody else's device. */
  #isOver = false;
  #isMending = false;
  /** Requests of sockets that are gone may still wait in the kernel until then. */
  #settledAt: number;

  constructor(shared: MappingSurroundings, record: MappingRecord, device: BlockDevice, sizeBytes: number, links: KernelLink[]) {
    this.name = record.name;
    this.index = record.index!;
    this.devicePath = `${shared.deviceFolder}/nbd${this.index}`;
    this.sizeBytes = sizeBytes;
    this.#shared = shared;
    this.#record = record;
    this.#device = device;
    this.#blockSizeBytes = blockSizeOf(device);
    this.#links = links;
    this.#settledAt = shared.world.clock.now() + shared.resendMs;
    for (const link of links) this.#watch(link);
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
    const { world, control, devices } = this.#shared;
    if (this.#isOver) throw new PfError('INVALID_STATE', `cannot resize ${this.devicePath}: it is not served here any more`);
    const wanted = this.#device.sizeBytes - (this.#device.sizeBytes % this.#blockSizeBytes);
    if (wanted <= this.sizeBytes) return;
    // Only from a state in which the kernel's wait for its requests ends: what it sent to sockets that are gone has come again, the sockets
    // live, and the device answers.
    await world.clock.sleep(Math.max(0, this.#settledAt - world.clock.now()));
    await this.#probe();
    if (this.#isEnding || this.#isMending || this.#links.some(({ session }) => session.isOver))
      throw new PfError(
        'NOT_READY',
        `cannot resize ${this.devicePath} to ${wanted} bytes: a socket of it is being replaced; try again`,
      );
    await control.resize(this.index, wanted, await backendOf(devices, this.name, this.index));
    const { sizeBytes } = await devices.read(this.index);
    if (sizeBytes !== wanted)
      throw new PfError('IO_ERROR', `cannot resize ${this.devicePath} to ${wanted} bytes: the kernel shows ${sizeBytes}`);
    this.sizeBytes = sizeBytes;
  }

  /** One real read of the device. */
  async #probe(): Promise<void> {
    const { clock, memory } = this.#shared.world;
    const slot = memory.acquireSlot(this.#blockSizeBytes);
    if (slot === 0) throw new PfError('NOT_READY', `cannot probe the device behind ${this.devicePath}: no I/O memory is free`);
    const done = Promise.withResolvers<number>();
    const request = new BlockRequest({
      requestDone: ({ result }) => {
        memory.releaseSlot(slot);
        done.resolve(result);
      },
    });
    request.operation = READ;
    request.length = Math.min(this.#blockSizeBytes, this.#device.sizeBytes);
    request.memory = slot;
    this.#device.submit(request);
    const result = await within(clock, PROBE_MS_MAX, done.promise);
    if (result === 0) return;
    const why = typeof result === 'number' ? `it answers with errno ${result}` : `it has not answered within ${PROBE_MS_MAX} ms`;
    throw new PfError('NOT_READY', `the device behind ${this.devicePath} is not well: ${why}`);
  }

  async #unmap(): Promise<void> {
    const { control, devices, records, server, world, onOver } = this.#shared;
    if (this.#isOver) return;
    const wasEnding = this.#isEnding;
    this.#isEnding = true;
    try {
      if (await this.#isThere()) await control.disconnect(this.index, this.devicePath);
    } catch (error) {
      this.#isEnding = wasEnding;
      this.#mendSoon();
      throw error;
    }
    if (!(await devices.waitUntilGone(this.index, this.name, GONE_MS_MAX)))
      throw new PfError(
        'INVALID_STATE',
        `${this.devicePath} is disconnected, but somebody has it open; close it, then detach again`,
      );
    for (const { session } of this.#links) session.drain();
    await within(world.clock, OVER_MS_MAX, Promise.all(this.#links.map(({ session }) => session.over)));
    await server.removeExport(this.name).catch(() => {}); // An earlier attempt has removed it.
    // Dying before the next line leaves a record without a device: adopt() and reap() remove it.
    await records.remove(this.name);
    this.#isOver = true;
    onOver(this);
  }

  async #handOver(): Promise<void> {
    const { records, server, world, handOverTimeoutMs, onOver } = this.#shared;
    if (this.#isOver) return;
    this.#isEnding = true;
    const results = await Promise.all(
      this.#links.map((link) => link.session.handOver({ refuseInput: () => link.refuseInput(), timeoutMs: handOverTimeoutMs })),
    );
    if (results.includes(false))
      world.log.warn('an NBD device was never silent: some requests are sent again later', { device: this.devicePath });
    // Dying before the next line: the next process waits until this one is gone.
    await records.write({ ...this.#record, state: 'HANDED_OVER' });
    await server.removeExport(this.name);
    this.#isOver = true;
    onOver(this);
  }

  /** The kernel says that a socket has died; or, where it says nothing, ours ends. Whichever comes first. */
  linkDied(): void {
    if (this.#isEnding) return;
    this.#shared.world.log.warn('the kernel has given up a socket of an NBD device', { device: this.devicePath });
    this.#mendSoon();
  }

  #watch(link: KernelLink): void {
    void link.session.over.then(() => this.#mendSoon());
  }

  #mendSoon(): void {
    if (this.#isMending || this.#isEnding) return;
    this.#isMending = true;
    const { log } = this.#shared.world;
    void this.#mend()
      .catch((error: unknown) => log.error('an NBD device is lost', { device: this.devicePath, error: formatErrorChain(error) }))
      .then(() => (this.#isMending = false));
  }

  /** Replaces sockets that are over until none is. */
  async #mend(): Promise<void> {
    const { clock, log } = this.#shared.world;
    for (let pauseMs = MEND_PAUSE_MS; !this.#isEnding; pauseMs = Math.min(2 * pauseMs, MEND_PAUSE_MS_MAX)) {
      const dead = this.#links.filter(({ session }) => session.isOver);
      if (dead.length === 0) return;
      if (!(await this.#isThere()))
        throw new PfError('NOT_FOUND', `the kernel's device ${this.devicePath} was disconnected by somebody else`);
      try {
        const fresh = await reconnectLinks(this.#shared, this.name, this.index, dead.length);
        this.#links = [...this.#links.filter((link) => !dead.includes(link)), ...fresh];
        this.#settledAt = clock.now() + this.#shared.resendMs;
        for (const link of fresh) this.#watch(link);
        log.warn('an NBD device has new sockets', { device: this.devicePath, sockets: fresh.length });
      } catch (error) {
        log.warn('an NBD device could not be reconnected', { device: this.devicePath, error: formatErrorChain(error) });
        await clock.sleep(pauseMs);
      }
    }
  }

  /** Connected, and not as somebody else's. */
  async #isThere(): Promise<boolean> {
    const { isConnected, backend } = await this.#shared.devices.read(this.index);
    return isConnected && (backend === null || backend === this.name);
  }
}

/**
 * New sockets for that many dead ones. The kernel drops a socket for which no slot is dead without a word; what says so is that our end
 * closes. Error NOT_READY then.
 */
export async function reconnectLinks(
  shared: MappingSurroundings,
  name: string,
  index: number,
  count: number,
): Promise<KernelLink[]> {
  const { world, control, devices, server } = shared;
  const backend = await backendOf(devices, name, index);
  const links = Array.from({ length: count }, () => openLink(world.network, server, name));
  try {
    await control.reconnect(
      index,
      links.map((link) => link.descriptor),
      backend,
    );
    for (const link of links) link.closeDescriptor();
    await world.clock.sleep(REFUSAL_MS);
    const refused = links.filter(({ session }) => session.isOver).length;
    if (refused > 0)
      throw new PfError(
        'NOT_READY',
        `the kernel has not taken ${refused} of ${count} sockets for /dev/nbd${index}: the old ones live`,
      );
    return links;
  } catch (error) {
    for (const link of links) {
      link.closeDescriptor();
      link.session.destroy();
    }
    throw error;
  }
}

/** The identifier that the kernel wants with each change, where it keeps one: it refuses when the device is another one by now. */
async function backendOf(devices: KernelDevices, name: string, index: number): Promise<string | null> {
  return (await devices.read(index)).backend === null ? null : name;
}
