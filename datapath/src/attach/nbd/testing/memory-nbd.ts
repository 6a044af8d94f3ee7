// The kernel's NBD client in memory: what its netlink commands do to devices and sockets, and what /sys shows of them. A message that
// could deadlock a real kernel is an error of the test.
import * as nbd from '../nbd-netlink.ts';
import { AttributeSet, GENERIC_HEAD_BYTES, HEAD_BYTES, encodeRequest, type Attribute } from '../netlink-message.ts';
import type { NetlinkListener } from '../../../world/kernel.ts';
import type { MemoryPair } from './memory-machine.ts';

const CONTROL_FAMILY = 16;
const FAMILY = 27;
const GROUP = 9;
const ENOENT = 2;
const EBUSY = 16;
const EINVAL = 22;

interface Device {
  sizeBytes: number;
  readonly pid: number;
  readonly backend: string | null;
  readonly slots: (MemoryPair | null)[];
}

export class MemoryNbd {
  isLoaded = true;
  /** False: a kernel from before 5.14. */
  knowsBackends = true;
  /** Connected devices. */
  readonly devices = new Map<number, Device>();
  /** Mounted devices. */
  readonly mounted = new Set<number>();
  /** Sizes that were set by RECONFIGURE, and the sockets that were live then. */
  readonly resizes: string[] = [];
  #known = 0;
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();

  names(): string[] {
    return Array.from({ length: this.#known }, (_, index) => `nbd${index}`);
  }

  attribute(index: number, name: string): string | null {
    const device = this.devices.get(index);
    if (name === 'size') return index < this.#known ? `${(device?.sizeBytes ?? 0) / 512}\n` : null;
    if (device === undefined) return null;
    if (name === 'pid') return `${device.pid}\n`;
    return device.backend === null ? null : `${device.backend}\n`;
  }

  isClaimed(path: string): boolean {
    return this.mounted.has(Number(/^\/dev\/nbd(\d+)$/.exec(path)![1]));
  }

  listen(onMessages: (bytes: Uint8Array) => void): NetlinkListener {
    this.#listeners.add(onMessages);
    return { close: () => this.#listeners.delete(onMessages) };
  }

  liveSlots(index: number): number {
    return this.devices.get(index)!.slots.filter((slot) => slot !== null && !slot.isDead).length;
  }

  /** The kernel gives a socket up: a late answer. */
  killSocket(index: number, slot: number): void {
    this.devices.get(index)!.slots[slot]?.letGo();
  }

  answer(request: Uint8Array, pid: number, sockets: readonly MemoryPair[]): Uint8Array {
    const view = new DataView(request.buffer, request.byteOffset);
    const family = view.getUint16(4, true);
    const attributes = AttributeSet.decode(request.subarray(HEAD_BYTES + GENERIC_HEAD_BYTES));
    const command = request[HEAD_BYTES]!;
    const result = family === CONTROL_FAMILY ? this.#family() : this.#obey(command, attributes, pid, sockets);
    const verdict = new Uint8Array(HEAD_BYTES + 4 + HEAD_BYTES);
    const verdictView = new DataView(verdict.buffer);
    verdictView.setUint32(0, verdict.length, true);
    verdictView.setUint16(4, 2, true);
    verdictView.setInt32(HEAD_BYTES, typeof result === 'number' ? -result : 0, true);
    return typeof result === 'number' ? verdict : new Uint8Array([...result, ...verdict]);
  }

  #family(): Uint8Array | number {
    if (!this.isLoaded) return ENOENT;
    const group: Attribute = [
      1,
      {
        nested: [
          [1, { text: nbd.GROUP_NAME }],
          [2, { u32: GROUP }],
        ],
      },
    ];
    const attributes: Attribute[] = [
      [1, { u32: FAMILY }],
      [7, { nested: [group] }],
    ];
    return encodeRequest({ family: CONTROL_FAMILY, command: 1, version: 2, sequence: 0, attributes });
  }

  #obey(command: number, attributes: AttributeSet, pid: number, sockets: readonly MemoryPair[]): Uint8Array | number {
    const index = attributes.number(nbd.INDEX);
    if (command === nbd.CONNECT) return this.#connect(index, attributes, pid, sockets);
    const device = index === null ? undefined : this.devices.get(index);
    if (device === undefined) return EINVAL;
    if (command === nbd.DISCONNECT) return this.#disconnect(index!, device);
    if (command === nbd.RECONFIGURE) return this.#reconfigure(device, attributes, sockets);
    return EINVAL;
  }

  #connect(wanted: number | null, attributes: AttributeSet, pid: number, sockets: readonly MemoryPair[]): Uint8Array | number {
    let index = wanted ?? 0;
    while (wanted === null && this.devices.has(index)) index += 1;
    const sizeBytes = wide(attributes, nbd.SIZE_BYTES);
    if (this.devices.has(index)) return EBUSY;
    if (sizeBytes === 0 || sockets.length === 0) return EINVAL;
    this.#known = Math.max(this.#known, index + 1);
    const backend = this.knowsBackends ? attributes.text(nbd.BACKEND_IDENTIFIER) : null;
    const device: Device = { sizeBytes, pid, backend, slots: [] };
    this.devices.set(index, device);
    for (const socket of sockets) this.#put(device, device.slots.length, socket);
    return encodeRequest({
      family: FAMILY,
      command: nbd.CONNECT,
      version: 1,
      sequence: 0,
      attributes: [[nbd.INDEX, { u32: index }]],
    });
  }

  #disconnect(index: number, device: Device): Uint8Array {
    this.devices.delete(index);
    for (const slot of device.slots) slot?.letGo();
    return new Uint8Array();
  }

  #reconfigure(device: Device, attributes: AttributeSet, sockets: readonly MemoryPair[]): Uint8Array | number {
    if (device.backend !== null && attributes.text(nbd.BACKEND_IDENTIFIER) !== device.backend) return EINVAL;
    const sizeBytes = wide(attributes, nbd.SIZE_BYTES);
    if (sizeBytes > 0) {
      const dead = device.slots.filter((slot) => slot === null || slot.isDead).length;
      if (dead > 0 || sockets.length > 0)
        throw new Error(`a size for a device with ${dead} dead and ${sockets.length} new sockets: deadlock`);
      device.sizeBytes = sizeBytes;
      this.resizes.push(`${sizeBytes}`);
    }
    for (const socket of sockets) {
      const free = device.slots.findIndex((slot) => slot === null || slot.isDead);
      if (free < 0) break; // As the kernel: without a word.
      this.#put(device, free, socket);
    }
    return new Uint8Array();
  }

  #put(device: Device, slot: number, socket: MemoryPair): void {
    device.slots[slot]?.letGo();
    device.slots[slot] = socket;
    socket.takeOver();
    socket.onDead = () => this.#announce(device);
  }

  #announce(device: Device): void {
    const index = [...this.devices].find(([, each]) => each === device)?.[0];
    if (index === undefined) return;
    const attributes: Attribute[] = [[nbd.INDEX, { u32: index }]];
    const bytes = encodeRequest({ family: FAMILY, command: nbd.LINK_DEAD, version: 1, sequence: 0, attributes });
    for (const listener of this.#listeners) listener(bytes);
  }
}

function wide(attributes: AttributeSet, type: number): number {
  const bytes = attributes.bytes(type);
  return bytes === null ? 0 : Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}
