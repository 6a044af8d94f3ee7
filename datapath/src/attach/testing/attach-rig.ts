// A node for tests of pfnbd in the simulated world: a kernel that remembers devices over processes, a cluster that remembers attachments,
// and a death before any chosen step. A step is whatever leaves the process: a file written or removed, a word to the kernel or the cluster.
import { PfError } from '../../base/errors.ts';
import type { BlockDevice, BlockExtent, BlockRequest } from '../../block/device.ts';
import type { SimProcess } from '../../sim/sim-process.ts';
import { Simulator } from '../../sim/simulator.ts';
import { EIO } from '../../world/completion.ts';
import type { Files } from '../../world/files.ts';
import type { World } from '../../world/world.ts';
import { AttachService } from '../attach-service.ts';
import type { OpenedVolume } from '../attached-volume.ts';
import type { ListedVolume } from '../attachment-watch.ts';
import type { Mapper, MapRequest, Mapping } from '../mapper.ts';
import type { AttachRequest } from '../model.ts';

const MiB = 1024 ** 2;

interface KernelDevice {
  readonly path: string;
  sizeBytes: number;
  isMounted: boolean;
  /** Null: nobody serves it, its requests wait. */
  server: BlockDevice | null;
}

interface ClusterVolume {
  attachment: number;
  /** The attachment is a reader's. */
  isReadOnly: boolean;
  attachEpoch: number;
  /** Of what was written and not trimmed. */
  written: readonly BlockExtent[];
  sizeBytes: number;
  /** The latest opening; earlier ones are fenced. */
  opened: ScriptedVolume | null;
  opens: number;
}

export class AttachRig {
  readonly sim: Simulator;
  readonly devices = new Map<string, KernelDevice>();
  readonly volumes = new Map<string, ClusterVolume>();
  readonly kernelProblem: { text: string | null } = { text: null };
  isClusterReachable = true;
  /** Takes questions and answers none. */
  isClusterSilent = false;
  /** What the conductor's list says in place of the volumes that there are. */
  listed: readonly ListedVolume[] | null = null;
  /** How often it was asked for. */
  lists = 0;
  process!: SimProcess;
  service!: AttachService;
  /** Steps so far, and at which one the process dies. */
  steps = 0;
  dieAt = Infinity;
  #deviceCount = 0;

  constructor(seed = 1) {
    this.sim = new Simulator(seed, { memoryBytes: 4 * MiB });
  }

  get volume(): ClusterVolume {
    return this.volumes.get('v1')!;
  }

  addVolume(name: string, attachment = 1): ClusterVolume {
    const volume: ClusterVolume = {
      attachment,
      isReadOnly: false,
      attachEpoch: 1,
      written: [],
      sizeBytes: 64 * MiB,
      opened: null,
      opens: 0,
    };
    this.volumes.set(name, volume);
    return volume;
  }

  /** A new pfnbd on this node. */
  async start(name = 'pfnbd'): Promise<AttachService> {
    this.process = this.sim.machine('node').startProcess(name, async () => {});
    const { process } = this;
    for (const device of this.devices.values()) device.server = null;
    this.service = await process.perform((world) => {
      const counted = { ...world, memory: world.memory, files: this.#countedFiles(world.files) } as World;
      return AttachService.start(counted, {
        stateFolder: '/var/lib/pfnbd',
        instance: 'rig',
        openVolume: (request, signal) => this.#openVolume(request, signal),
        getVolumes: (names, { signal }) => this.#getVolumes(names, signal),
        mappers: [new ScriptedMapper(this)],
      });
    });
    return this.service;
  }

  /** The outcome of `work` in the process, or 'died'. */
  async tryOnce<T>(work: (service: AttachService) => Promise<T>): Promise<T | 'died'> {
    const { process, service } = this;
    const outcome: { value?: T; error?: unknown; isOver?: boolean } = {};
    process.post(0, 'work', () => {
      work(service).then(
        (value) => Object.assign(outcome, { value, isOver: true }),
        (error: unknown) => Object.assign(outcome, { error, isOver: true }),
      );
    });
    while (outcome.isOver !== true && process.isAlive) await this.sim.run(this.sim.now + 1);
    if (!process.isAlive) return 'died';
    if (outcome.error !== undefined) throw outcome.error as Error;
    return outcome.value as T;
  }

  async until(isTrue: () => boolean, withinMs = 20_000): Promise<void> {
    const deadline = this.sim.now + withinMs;
    while (!isTrue()) {
      if (this.sim.now > deadline) throw new Error(`it did not come true within ${withinMs} ms`);
      await this.sim.run(this.sim.now + 5);
    }
  }

  /** Names of the records on the node's disk. */
  records(): Promise<string[]> {
    return this.process.perform(async (world) =>
      (await world.files.list('/var/lib/pfnbd')).filter((name) => name.endsWith('.attachment.json')),
    );
  }

  /** Dies here, or goes on in a later event. */
  async step<T>(label: string, run: () => T): Promise<T> {
    this.steps += 1;
    if (this.steps >= this.dieAt) {
      this.dieAt = Infinity;
      this.process.kill();
    }
    return this.process.later(0.01, label, run);
  }

  nextDevicePath(): string {
    return `/dev/scripted${this.#deviceCount++}`;
  }

  /** No step: nothing follows from it that a death could lose. */
  async #getVolumes(names: readonly string[], signal: AbortSignal): Promise<readonly ListedVolume[]> {
    this.lists += 1;
    if (this.isClusterSilent) return never(signal);
    if (!this.isClusterReachable) throw new PfError('UNAVAILABLE', 'no conductor answers');
    return this.listed ?? names.flatMap((name) => (this.volumes.has(name) ? [listedAs(name, this.volumes.get(name)!)] : []));
  }

  async #openVolume(request: AttachRequest, signal: AbortSignal): Promise<OpenedVolume> {
    if (this.isClusterSilent) return never(signal);
    return this.step('open the volume', () => {
      const volume = this.volumes.get(request.volume_name);
      if (!this.isClusterReachable) throw new PfError('UNAVAILABLE', 'no conductor answers');
      if (volume === undefined) throw new PfError('NOT_FOUND', `volume "${request.volume_name}" does not exist`);
      if (volume.attachment !== request.attachment || (volume.isReadOnly && !request.read_only))
        throw new PfError('FENCED', 'the attachment is over');
      volume.opened?.fail(new PfError('FENCED', 'another one has it'));
      volume.attachEpoch += 1;
      volume.opens += 1;
      volume.opened = new ScriptedVolume(volume, this);
      return volume.opened;
    });
  }

  #countedFiles(files: Files): Files {
    return {
      read: (path) => files.read(path),
      readStart: (path, limit) => files.readStart(path, limit),
      readLink: (path) => files.readLink(path),
      openAppend: (path) => files.openAppend(path),
      makeFolder: (path, options) => files.makeFolder(path, options),
      list: (path) => files.list(path),
      lock: (path) => files.lock(path),
      replace: async (path, bytes) => (await this.step('write a file', () => files.replace(path, bytes))) as unknown as void,
      remove: async (path) => (await this.step('remove a file', () => files.remove(path))) as unknown as void,
    };
  }
}

function listedAs(name: string, { attachment, isReadOnly, attachEpoch }: ClusterVolume): ListedVolume {
  const attachments = [{ client: 'node', attachment, read_only: isReadOnly, shared: false }];
  return { name, attach_epoch: attachEpoch, attachments };
}

async function never(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted();
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
}

class ScriptedVolume implements OpenedVolume {
  readonly minimumIoBytes = 512;
  readonly preferredIoBytes = 4096;
  readonly maximumIoBytes = MiB;
  readonly isReadOnly = false;
  readonly canTrim = true;
  readonly canMultiConnect = true;
  failure: PfError | null = null;
  isClosed = false;
  sizeBytes: number;
  readonly attachEpoch: number;
  readonly #volume: ClusterVolume;
  readonly #rig: AttachRig;

  constructor(volume: ClusterVolume, rig: AttachRig) {
    this.#volume = volume;
    this.#rig = rig;
    this.sizeBytes = volume.sizeBytes;
    this.attachEpoch = volume.attachEpoch;
  }

  fail(reason: PfError): void {
    this.failure ??= reason;
  }

  submit(request: BlockRequest): void {
    request.finish(this.failure === null && this.#rig.isClusterReachable ? 0 : EIO);
  }

  extents(): Promise<readonly BlockExtent[]> {
    return Promise.resolve(this.#volume.written);
  }

  refresh(): Promise<number> {
    return this.#rig.step('ask for the size', () => (this.sizeBytes = this.#volume.sizeBytes));
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

class ScriptedMapper implements Mapper {
  readonly kind = 'scripted';
  readonly #rig: AttachRig;

  constructor(rig: AttachRig) {
    this.#rig = rig;
  }

  async unavailable(): Promise<string | null> {
    return this.#rig.kernelProblem.text;
  }

  map({ name, device }: MapRequest): Promise<Mapping> {
    return this.#rig.step('map', () => {
      if (this.#rig.devices.has(name)) throw new PfError('ALREADY_EXISTS', `there is a device ${name}`);
      const made = { path: this.#rig.nextDevicePath(), sizeBytes: device.sizeBytes, isMounted: false, server: device };
      this.#rig.devices.set(name, made);
      return new ScriptedMapping(this.#rig, name, made, device);
    });
  }

  adopt({ name, device }: MapRequest): Promise<Mapping | null> {
    return this.#rig.step('adopt', () => {
      const found = this.#rig.devices.get(name);
      if (found === undefined) return null;
      found.server = device;
      return new ScriptedMapping(this.#rig, name, found, device);
    });
  }

  async names(prefix: string): Promise<readonly string[]> {
    return [...this.#rig.devices.keys()].filter((name) => name.startsWith(prefix));
  }

  reap(prefix: string, known: ReadonlySet<string>): Promise<readonly string[]> {
    return this.#rig.step('reap', () => {
      const gone = [...this.#rig.devices].filter(
        ([name, device]) => name.startsWith(prefix) && !known.has(name) && !device.isMounted,
      );
      for (const [name] of gone) this.#rig.devices.delete(name);
      return gone.map(([name]) => name);
    });
  }

  async close(): Promise<void> {}
}

class ScriptedMapping implements Mapping {
  readonly devicePath: string;
  readonly #rig: AttachRig;
  readonly #name: string;
  readonly #kernel: KernelDevice;
  readonly #device: BlockDevice;

  constructor(rig: AttachRig, name: string, kernel: KernelDevice, device: BlockDevice) {
    this.#rig = rig;
    this.#name = name;
    this.#kernel = kernel;
    this.#device = device;
    this.devicePath = kernel.path;
  }

  get sizeBytes(): number {
    return this.#kernel.sizeBytes;
  }

  resize(): Promise<void> {
    return this.#rig.step('resize', () => void (this.#kernel.sizeBytes = this.#device.sizeBytes));
  }

  unmap(): Promise<void> {
    return this.#rig.step('unmap', () => {
      if (this.#kernel.isMounted) throw new PfError('INVALID_STATE', `${this.devicePath} is mounted; unmount it first`);
      this.#rig.devices.delete(this.#name);
    });
  }

  handOver(): Promise<void> {
    return this.#rig.step('hand over', () => void (this.#kernel.server = null));
  }
}
