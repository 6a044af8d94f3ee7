// A make-believe host below a temporary folder: /sys/block, /dev, /proc and /run as the kernel and udev would show them, with files
// for devices. For the tests of the discovery.
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SECTOR_BYTES } from '../../../base/sizes.ts';

export interface FixtureDevice {
  readonly name: string;
  readonly sizeBytes: number;
  /** "8:0". */
  readonly numbers?: string;
  /** Target of the link in /sys/block, behind "../devices/". */
  readonly bus?: string;
  /** Paths below /sys/block/NAME. */
  readonly attributes?: Readonly<Record<string, string | Uint8Array>>;
  readonly holders?: readonly string[];
  readonly partitions?: readonly {
    readonly name: string;
    readonly sizeBytes: number;
    readonly numbers: string;
    readonly holders?: readonly string[];
  }[];
  readonly links?: readonly string[];
  readonly udev?: string;
  /** False: there is no node in /dev. */
  readonly hasNode?: boolean;
}

export class HostFixture {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
    for (const folder of ['sys/block', 'dev', 'proc/1', 'dev/disk/by-id', 'dev/disk/by-path', 'run/udev/data'])
      mkdirSync(join(root, folder), { recursive: true });
  }

  add(device: FixtureDevice): this {
    const { name, sizeBytes, bus = `virtual/block/${device.name}` } = device;
    const folder = `sys/devices/${bus}`;
    this.#writeNode(folder, sizeBytes, device.numbers, device.holders);
    for (const [attribute, value] of Object.entries(device.attributes ?? {})) this.write(`${folder}/${attribute}`, value);
    symlinkSync(`../devices/${bus}`, join(this.root, 'sys/block', name));
    for (const [index, partition] of (device.partitions ?? []).entries()) {
      this.#writeNode(`${folder}/${partition.name}`, partition.sizeBytes, partition.numbers, partition.holders);
      this.write(`${folder}/${partition.name}/partition`, `${index + 1}\n`);
    }
    for (const link of device.links ?? []) symlinkSync(`../../${name}`, join(this.root, link));
    if (device.udev !== undefined) this.write(`run/udev/data/b${device.numbers}`, device.udev);
    if (device.hasNode === false) return this;
    this.write(`dev/${name}`, '');
    truncateSync(this.deviceFile(name), sizeBytes);
    return this;
  }

  deviceFile(name: string): string {
    return join(this.root, 'dev', name);
  }

  write(path: string, content: string | Uint8Array): void {
    const file = join(this.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  #writeNode(folder: string, sizeBytes: number, numbers: string | undefined, holders: readonly string[] = []): void {
    this.write(`${folder}/size`, `${sizeBytes / SECTOR_BYTES}\n`);
    if (numbers !== undefined) this.write(`${folder}/dev`, `${numbers}\n`);
    mkdirSync(join(this.root, folder, 'holders'), { recursive: true });
    for (const holder of holders) symlinkSync(`../../${holder}`, join(this.root, folder, 'holders', holder));
  }
}
