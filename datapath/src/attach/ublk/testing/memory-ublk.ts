// The kernel's ublk in memory: its devices through their lives, as the control commands and the death of processes change them. It
// knows the layouts by itself, and refuses what the kernel refuses.
import type { UblkCommand, UblkHandler, UblkOutcome, UblkQueue } from '../../../world/ublk.ts';

const EPERM = 1;
const EBUSY = 16;
const EEXIST = 17;
const ENODEV = 19;
const EINVAL = 22;
const ECANCELED = 125;
const [DEAD, LIVE, QUIESCED] = [0, 1, 2] as const;
const ALL_FEATURES = 0xeffff;

export interface MemoryUblkDevice {
  readonly id: number;
  /** What the kernel keeps for us: struct ublksrv_ctrl_dev_info. */
  readonly info: Uint8Array;
  state: 0 | 1 | 2;
  parameters: Uint8Array | null;
  disk: { sizeBytes: number; isUsed: boolean } | null;
  queue: MemoryUblkQueue | null;
}

export class MemoryUblk {
  readonly devices = new Map<number, MemoryUblkDevice>();
  features = ALL_FEATURES;
  #nextId = 0;

  /** Of one process, whose death ends the call. */
  async control(commands: readonly UblkCommand[], claim: string | undefined, goesOn: boolean): Promise<UblkOutcome[] | number> {
    const device = claim === undefined ? undefined : this.#byDisk(claim);
    if (claim !== undefined && device === undefined) return 2;
    if (device?.disk!.isUsed) return EBUSY;
    const outcomes: UblkOutcome[] = [];
    let isGood = true;
    for (const command of commands) {
      const bytes = new Uint8Array(command.bytes ?? []);
      const errno: number = isGood ? await this.#run({ ...command, bytes }) : ECANCELED;
      outcomes.push({ errno, bytes });
      isGood &&= errno === 0 || goesOn;
    }
    return outcomes;
  }

  open(id: number, depth: number, pid: number): MemoryUblkQueue | number {
    const device = this.devices.get(id);
    if (device === undefined) return 2;
    if (device.queue !== null) return EBUSY;
    device.queue = new MemoryUblkQueue(depth, pid, () => release(device));
    return device.queue;
  }

  /** All its descriptors close. */
  processDied(pid: number): void {
    for (const device of this.devices.values()) if (device.queue?.pid === pid) release(device);
  }

  /** Names in /sys/class/ublk-char and /sys/block. */
  characterDevices(): string[] {
    return [...this.devices.keys()].map((id) => `ublkc${id}`);
  }

  disks(): string[] {
    return [...this.devices.values()].filter(({ disk }) => disk !== null).map(({ id }) => `ublkb${id}`);
  }

  sizeBytes(id: number): number | null {
    return this.devices.get(id)?.disk?.sizeBytes ?? null;
  }

  /** The only device. */
  get device(): MemoryUblkDevice {
    const [device] = this.devices.values();
    if (device === undefined || this.devices.size > 1) throw new Error(`there are ${this.devices.size} devices`);
    return device;
  }

  #byDisk(path: string): MemoryUblkDevice | undefined {
    const device = this.devices.get(Number(path.replace('/dev/ublkb', '')));
    return device?.disk === null ? undefined : device;
  }

  async #run({ operation, deviceId, data = 0, bytes = new Uint8Array() }: UblkCommand): Promise<number> {
    const view = new DataView(bytes.buffer);
    const number = operation & 0xff;
    if (number === 0x13) {
      view.setUint32(0, this.features, true);
      return 0;
    }
    if (number === 0x04) return this.#add(deviceId, bytes, view);
    const device = this.devices.get(deviceId);
    if (device === undefined) return ENODEV;
    switch (number) {
      case 0x02:
        bytes.set(device.info);
        view.setUint16(4, device.state, true);
        return 0;
      case 0x08:
        if (device.disk !== null) return 13;
        device.parameters = bytes;
        return 0;
      case 0x06:
        return this.#start(device, data);
      case 0x07:
        stop(device);
        return 0;
      case 0x14:
        stop(device);
        this.devices.delete(deviceId);
        return 0;
      case 0x10:
        return device.queue !== null || device.state !== QUIESCED ? EBUSY : 0;
      case 0x11:
        return this.#endRecovery(device, data);
      case 0x15:
        if (device.disk === null) return ENODEV;
        device.disk.sizeBytes = data * 512;
        return 0;
      case 0x16:
        if (device.disk === null) return ENODEV;
        device.queue?.takeBack();
        return 0;
      default:
        return 95;
    }
  }

  #add(deviceId: number, bytes: Uint8Array, view: DataView): number {
    if (deviceId !== 0xffffffff || view.getUint32(12, true) !== deviceId) return EINVAL;
    // Recovery that sends requests again, and commands as they are given here.
    if ((view.getUint32(24, true) & 0x1458) !== 0x1458) return EPERM;
    const id = this.#nextId++;
    view.setUint32(12, id, true);
    this.devices.set(id, { id, info: bytes.slice(), state: DEAD, parameters: null, disk: null, queue: null });
    return 0;
  }

  async #start(device: MemoryUblkDevice, pid: number): Promise<number> {
    if (device.parameters === null || device.queue?.pid !== pid) return EINVAL;
    if (device.disk !== null) return EEXIST;
    await device.queue.ready;
    const view = new DataView(device.parameters.buffer);
    device.disk = { sizeBytes: view.getUint32(24, true) * 512, isUsed: false };
    device.state = LIVE;
    return 0;
  }

  async #endRecovery(device: MemoryUblkDevice, pid: number): Promise<number> {
    if (device.queue?.pid !== pid) return EINVAL;
    await device.queue.ready;
    if (device.state !== QUIESCED) return EBUSY;
    device.state = LIVE;
    return 0;
  }
}

function stop(device: MemoryUblkDevice): void {
  device.disk = null;
  device.state = DEAD;
  device.queue?.takeBack();
}

function release(device: MemoryUblkDevice): void {
  device.queue = null;
  if (device.disk !== null) device.state = QUIESCED;
}

export class MemoryUblkQueue implements UblkQueue {
  readonly descriptors: Uint32Array;
  readonly pid: number;
  /** When every tag has asked for a request. */
  readonly ready: Promise<void>;
  readonly #depth: number;
  readonly #release: () => void;
  readonly #out = new Set<number>();
  #handler: UblkHandler | null = null;
  #isReady!: () => void;

  constructor(depth: number, pid: number, release: () => void) {
    this.descriptors = new Uint32Array(6 * depth);
    this.pid = pid;
    this.#depth = depth;
    this.#release = release;
    this.ready = new Promise((resolve) => (this.#isReady = resolve));
  }

  start(handler: UblkHandler): void {
    this.#handler = handler;
  }

  fetch(tag: number): void {
    this.#out.add(tag);
    if (this.#out.size === this.#depth) this.#isReady();
  }

  getData(): void {
    throw new Error('the kernel in memory sends no requests');
  }

  commit(): void {
    throw new Error('the kernel in memory sends no requests');
  }

  close(): void {
    if (this.#out.size > 0) throw new Error(`closed while the kernel has ${this.#out.size} commands`);
    this.#release();
  }

  /** Later, as completions come. */
  takeBack(): void {
    setImmediate(() => {
      for (const tag of [...this.#out]) {
        this.#out.delete(tag);
        this.#handler!.commandDone(tag, -ENODEV);
      }
    });
  }
}
