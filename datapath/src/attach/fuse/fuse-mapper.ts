// Kernel block devices for machines without nbd: a FUSE file system of ours with one file in it, and a loop device with direct I/O over
// that file. Made by pfnbd.
//
//   map():    record -> connection -> holder -> record with holder -> mount -> serve -> loop device
//   unmap():  loop device -> unmount -> holder -> record
//
// After the server's death the holder still has the connection, requests wait in the kernel, and adopt() borrows the connection and has the
// kernel send again what the dead one had taken. What died between two steps of map() or unmap() has no loop device or no holder:
// adopt() and reap() remove it, which they know by the record.
import { PfError, formatErrorChain } from '../../base/errors.ts';
import type { BlockDevice } from '../../block/device.ts';
import type { FuseChannel } from '../../world/fuse.ts';
import type { LoopDevice } from '../../world/loop-devices.ts';
import type { World } from '../../world/world.ts';
import type { MapRequest, Mapper, Mapping } from '../mapper.ts';
import { FuseMapping, type MappingWorld } from './fuse-mapping.ts';
import { FuseServer } from './fuse-server.ts';
import { MappingRecords, isMappingName } from '../mapping-records.ts';
import { MAPPING_RECORD, type MappingRecord } from './mapping-record.ts';

const FILE_SUFFIX = '.disk';
const DRAIN_MS = 5000;

export interface FuseMapperOptions {
  /** Absolute, without symbolic links; made if need be (0700). Outlives the process, and not the machine's boot: /run/..., say. */
  readonly folder: string;
  /** How long handOver() waits for requests that the BlockDevice does not answer. */
  readonly drainMs?: number;
}

type FuseMapperWorld = Pick<World, 'clock' | 'files' | 'memory' | 'log' | 'fuse' | 'loopDevices'>;

export class FuseMapper implements Mapper {
  readonly kind = 'fuse';
  readonly #world: FuseMapperWorld;
  readonly #folder: string;
  readonly #drainMs: number;
  readonly #records: MappingRecords<MappingRecord>;
  readonly #served = new Set<string>();
  /** Their connections are ended by us. */
  readonly #ending = new Set<string>();

  constructor(world: FuseMapperWorld, options: FuseMapperOptions) {
    this.#world = world;
    this.#folder = options.folder;
    this.#drainMs = options.drainMs ?? DRAIN_MS;
    this.#records = new MappingRecords(world.files, options.folder, MAPPING_RECORD);
  }

  async unavailable(): Promise<string | null> {
    const { fuse, loopDevices } = this.#world;
    if (fuse === undefined || loopDevices === undefined)
      return 'the native addon is not built; run: node datapath/native/build.mjs';
    return (await fuse.unavailable()) ?? (await loopDevices.unavailable());
  }

  async map(request: MapRequest): Promise<Mapping> {
    const { name, device } = request;
    const { fuse, loopDevices } = await this.#kernel();
    checkName(name);
    await this.#world.files.makeFolder(this.#folder, { isPrivate: true });
    if ((await this.#records.read(name)) !== null) {
      throw new PfError('ALREADY_EXISTS', `cannot map "${name}": there is a mapping of that name; adopt it or unmap it first`);
    }
    await this.#records.write({ name, holder: null });
    this.#served.add(name);
    let server: FuseServer | null = null;
    try {
      const channel = await fuse.open();
      server = this.#makeServer(name, channel, device);
      await this.#records.write({ name, holder: await fuse.hold(channel, this.#mountPoint(name)) });
      await fuse.mount(channel, this.#mountPoint(name));
      server.start();
      const options = { blockSizeBytes: blockSizeOf(device), isReadOnly: device.isReadOnly } as const;
      await loopDevices.attach(this.#filePath(name), options);
      const loop = await this.#findLoop(name);
      if (loop === null) throw new PfError('IO_ERROR', `the loop device of "${name}" has gone while it was made`);
      this.#warnOf(name, loop, server);
      return this.#makeMapping(name, device, server, loop);
    } catch (error) {
      await this.#remove(name, server).catch((second: unknown) => this.#world.log.warn(formatErrorChain(second)));
      this.#served.delete(name);
      throw error;
    }
  }

  async adopt(request: MapRequest): Promise<Mapping | null> {
    const { name, device } = request;
    await this.#kernel();
    checkName(name);
    if (this.#served.has(name)) throw new PfError('INVALID_STATE', `cannot adopt "${name}": this process serves it already`);
    const record = await this.#records.read(name);
    if (record === null && (await this.#findLoop(name)) === null) return null;
    this.#served.add(name);
    try {
      const mapping = await this.#takeOver(name, record?.holder ?? null, device);
      if (mapping !== null) return mapping;
      await this.#remove(name, null);
    } catch (error) {
      this.#served.delete(name);
      throw error;
    }
    this.#served.delete(name);
    return null;
  }

  async names(prefix: string): Promise<readonly string[]> {
    return (await this.#records.names()).filter((name) => name.startsWith(prefix) && isMappingName(name));
  }

  async reap(prefix: string, known: ReadonlySet<string>): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const name of await this.names(prefix)) {
      if (known.has(name) || this.#served.has(name)) continue;
      try {
        const { fuse, loopDevices } = await this.#kernel();
        // First: nobody answers what its users wait for, and a loop device does not let go of a file that does not answer.
        await fuse.unmount(this.#mountPoint(name), 'abort');
        await this.#endHolders((await this.#records.read(name))?.holder ?? null, name);
        const loop = await this.#findLoop(name);
        if (loop !== null) await loopDevices.detach(loop);
        await this.#remove(name, null);
        removed.push(name);
      } catch (error) {
        this.#world.log.warn(`cannot remove the orphaned device of "${name}": ${formatErrorChain(error)}`);
      }
    }
    return removed;
  }

  async close(): Promise<void> {}

  /** Null when it cannot be saved. */
  async #takeOver(name: string, recorded: MappingRecord['holder'], device: BlockDevice): Promise<Mapping | null> {
    const { fuse } = await this.#kernel();
    const loop = await this.#findLoop(name);
    if (loop === null || !(await fuse.isMounted(this.#mountPoint(name)))) return null;
    const channel = await this.#regain(name, recorded);
    if (channel === null) return null;
    const server = this.#makeServer(name, channel, device);
    server.start();
    const refusal = await server.askAgain();
    if (refusal === 0) return this.#makeMapping(name, device, server, loop);
    this.#world.log.warn(`the kernel cannot send requests of "${name}" again (errno ${refusal}): ${loop.path} is removed`);
    await server.close();
    return null;
  }

  /**
   * The connection, from the holder that the record names; there is a whole device, so where the record names none that lives it is damaged,
   * and the holder is known by its argument.
   */
  async #regain(name: string, recorded: MappingRecord['holder']): Promise<FuseChannel | null> {
    const { fuse } = await this.#kernel();
    const channel = recorded === null ? null : await fuse.regain(recorded);
    if (channel !== null) return channel;
    const [holder] = await fuse.findHolders(this.#mountPoint(name));
    const found = holder === undefined ? null : await fuse.regain(holder);
    if (found === null) return null;
    this.#world.log.error(
      `the record of the mapping "${name}" is damaged or wrong: it is made anew from the holder, process ${holder!.pid}`,
    );
    await this.#records.write({ name, holder: holder! });
    return found;
  }

  /** Whatever there is of it: users of the device get errors. */
  async #remove(name: string, server: FuseServer | null): Promise<void> {
    const { fuse, loopDevices } = await this.#kernel();
    const record = await this.#records.read(name);
    this.#ending.add(name);
    await fuse.unmount(this.#mountPoint(name), 'abort');
    await server?.close();
    this.#ending.delete(name);
    const loop = await this.#findLoop(name);
    if (loop !== null) await loopDevices.detachLazily(loop);
    await this.#endHolders(record?.holder ?? null, name);
    await this.#records.remove(name);
  }

  /** After the loop device has gone in order. */
  async #removeRest(name: string, server: FuseServer): Promise<void> {
    const { fuse } = await this.#kernel();
    const record = await this.#records.read(name);
    this.#ending.add(name);
    await fuse.unmount(this.#mountPoint(name), 'clean');
    await server.close();
    this.#ending.delete(name);
    await this.#endHolders(record?.holder ?? null, name);
    await this.#records.remove(name);
  }

  /** One that was started just before its server died is known only by its argument. */
  async #endHolders(known: MappingRecord['holder'], name: string): Promise<void> {
    const { fuse } = await this.#kernel();
    const holders = known === null ? await fuse.findHolders(this.#mountPoint(name)) : [known];
    for (const holder of holders) await fuse.endHolder(holder);
  }

  #makeServer(name: string, channel: FuseChannel, device: BlockDevice): FuseServer {
    const onEnded = (): void => {
      if (this.#ending.has(name)) return;
      this.#world.log.error(
        `somebody has unmounted or aborted the file system under "${name}": its device answers with errors; map it anew`,
      );
    };
    return new FuseServer(this.#world.memory, channel, device, { fileName: name + FILE_SUFFIX, onEnded });
  }

  async #makeMapping(name: string, device: BlockDevice, server: FuseServer, loop: LoopDevice): Promise<Mapping> {
    return new FuseMapping(await this.#kernel(), {
      name,
      device,
      server,
      loop,
      filePath: this.#filePath(name),
      drainMs: this.#drainMs,
      removeRest: () => this.#removeRest(name, server),
      onLeft: () => this.#served.delete(name),
    });
  }

  async #findLoop(name: string): Promise<LoopDevice | null> {
    const { loopDevices } = await this.#kernel();
    // The second: made by an earlier container, whose mounts have gone with it.
    const paths = [this.#filePath(name), `/${name}${FILE_SUFFIX}`];
    return (await loopDevices.list()).find(({ backingFile }) => paths.includes(backingFile)) ?? null;
  }

  #warnOf(name: string, loop: LoopDevice, server: FuseServer): void {
    if (!loop.isDirect)
      this.#world.log.warn(`${loop.path} of "${name}" goes through the page cache: the kernel has no direct I/O for it`);
    if (server.canResend === false) {
      this.#world.log.warn(`${loop.path} of "${name}" will not survive the death of this process: the kernel is older than 6.9`);
    }
  }

  #mountPoint(name: string): string {
    return `${this.#folder}/${name}`;
  }

  #filePath(name: string): string {
    return `${this.#folder}/${name}/${name}${FILE_SUFFIX}`;
  }

  async #kernel(): Promise<MappingWorld> {
    const { clock, log, fuse, loopDevices } = this.#world;
    if (fuse !== undefined && loopDevices !== undefined) return { clock, log, fuse, loopDevices };
    throw new PfError('UNSUPPORTED', `cannot make kernel devices by FUSE: ${await this.unavailable()}`);
  }
}

/** Pages are what file systems want; only a device that ends within one needs the old sectors. */
function blockSizeOf(device: BlockDevice): 512 | 4096 {
  return device.sizeBytes % 4096 === 0 ? 4096 : 512;
}

function checkName(name: string): void {
  if (isMappingName(name)) return;
  throw new PfError('INVALID_ARGUMENT', `cannot map "${name}": a name has 1 to 200 characters of A-Z a-z 0-9 . _ -`);
}
