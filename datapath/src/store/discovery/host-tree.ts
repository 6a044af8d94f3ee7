// Reads what the kernel and udev say of the block devices of a host: /sys/block, /proc, /dev/disk and /run/udev, all below `root`.
// Nothing here opens a device. A file that is missing, unreadable or senseless makes one field null and nothing else.
import { SECTOR_BYTES } from '../../base/sizes.ts';
import type { Files } from '../../world/files.ts';
import { parseMountInfo, parseSwaps, type Mount } from './mounts.ts';
import { readStableLinks } from './stable-links.ts';

const TEXT_BYTES_MAX = 64 * 1024;
const MOUNTS_BYTES_MAX = 4 * 1024 * 1024;
const ATTRIBUTE_CHARACTERS_MAX = 128;
const DEVICES_MAX = 4096;

/** A device or a partition. */
export interface BlockNode {
  readonly name: string;
  /** "8:1"; null when the kernel does not say. */
  readonly numbers: string | null;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly holders: readonly string[];
}

export interface HostDevice extends BlockNode {
  readonly links: readonly string[];
  readonly sysPath: string;
  readonly model: string | null;
  readonly serial: string | null;
  readonly wwn: string | null;
  readonly isRotational: boolean | null;
  readonly isRemovable: boolean;
  readonly mapperUuid: string | null;
  readonly partitions: readonly BlockNode[];
}

export interface HostTree {
  readonly devices: readonly HostDevice[];
  readonly mounts: readonly Mount[];
  readonly swaps: readonly string[];
}

/** `root` is '' for this machine's own tree, else where a host's one is seen, such as "/host". */
export async function readHostTree(files: Files, root: string): Promise<HostTree> {
  const links = await readStableLinks(files, root);
  const names = (await files.list(`${root}/sys/block`)).slice(0, DEVICES_MAX);
  const devices: HostDevice[] = [];
  for (const name of names) {
    // One path of several to a name space: the kernel shows the whole as another device.
    if ((await readText(files, `${root}/sys/block/${name}/hidden`)) === '1') continue;
    devices.push(await readDevice(files, root, name, links.get(name) ?? []));
  }
  // Process 1 has the host's mounts; where it may not be looked at, our own are better than none.
  const mountInfo =
    (await readWhole(files, `${root}/proc/1/mountinfo`)) || (await readWhole(files, `${root}/proc/self/mountinfo`));
  const swaps = await readWhole(files, `${root}/proc/swaps`);
  return { devices, mounts: parseMountInfo(mountInfo), swaps: parseSwaps(swaps) };
}

async function readDevice(files: Files, root: string, name: string, links: readonly string[]): Promise<HostDevice> {
  const folder = `${root}/sys/block/${name}`;
  const text = (attribute: string): Promise<string | null> => readText(files, `${folder}/${attribute}`);
  const node = await readNode(files, folder, name);
  const udev =
    node.numbers === null ? new Map<string, string>() : await readUdev(files, `${root}/run/udev/data/b${node.numbers}`);
  const partitions: BlockNode[] = [];
  for (const child of await listFolder(files, folder)) {
    if (!child.startsWith(name)) continue;
    if ((await readText(files, `${folder}/${child}/partition`)) === null) continue;
    partitions.push(await readNode(files, `${folder}/${child}`, child));
  }
  const rotational = await text('queue/rotational');
  return {
    ...node,
    links,
    sysPath: (await files.readLink(folder).catch(() => null)) ?? '',
    model: (await text('device/model')) ?? (await text('device/name')) ?? clean(udev.get('ID_MODEL')),
    serial:
      (await text('serial')) ??
      (await text('device/serial')) ??
      (await readUnitSerial(files, `${folder}/device/vpd_pg80`)) ??
      clean(udev.get('ID_SERIAL_SHORT')),
    wwn: (await text('wwid')) ?? (await text('device/wwid')) ?? clean(udev.get('ID_WWN')),
    isRotational: rotational === '1' ? true : rotational === '0' ? false : null,
    isRemovable: (await text('removable')) === '1',
    mapperUuid: await text('dm/uuid'),
    partitions: partitions.sort((a, b) => a.name.length - b.name.length || (a.name < b.name ? -1 : 1)),
  };
}

async function readNode(files: Files, folder: string, name: string): Promise<BlockNode> {
  const sectors = await readText(files, `${folder}/size`);
  const numbers = await readText(files, `${folder}/dev`);
  return {
    name,
    numbers: numbers !== null && /^\d+:\d+$/.test(numbers) ? numbers : null,
    sizeBytes: sectors !== null && /^\d{1,13}$/.test(sectors) ? Number(sectors) * SECTOR_BYTES : 0,
    isReadOnly: (await readText(files, `${folder}/ro`)) === '1',
    holders: await listFolder(files, `${folder}/holders`),
  };
}

async function listFolder(files: Files, folder: string): Promise<string[]> {
  return files.list(folder).catch(() => []);
}

/** One line of the kernel, cleaned; null when there is none. Many attributes answer with an error on some devices. */
async function readText(files: Files, path: string): Promise<string | null> {
  const bytes = await files.readStart(path, TEXT_BYTES_MAX).catch(() => null);
  return bytes === null ? null : clean(decode(bytes).split('\n')[0]);
}

async function readWhole(files: Files, path: string): Promise<string> {
  const bytes = await files.readStart(path, MOUNTS_BYTES_MAX).catch(() => null);
  return bytes === null ? '' : decode(bytes);
}

/** SCSI's page of the unit serial number: two bytes, a length of two bytes, then ASCII. */
async function readUnitSerial(files: Files, path: string): Promise<string | null> {
  const bytes = await files.readStart(path, TEXT_BYTES_MAX).catch(() => null);
  if (bytes === null || bytes.length < 4 || bytes[1] !== 0x80) return null;
  return clean(decode(bytes.subarray(4, 4 + bytes[2]! * 256 + bytes[3]!)));
}

/** udev's record of a device: lines "E:NAME=value" among others. */
async function readUdev(files: Files, path: string): Promise<Map<string, string>> {
  const bytes = await files.readStart(path, TEXT_BYTES_MAX).catch(() => null);
  const values = new Map<string, string>();
  for (const line of bytes === null ? [] : decode(bytes).split('\n')) {
    const match = /^E:([A-Z0-9_]+)=(.*)$/.exec(line);
    if (match !== null) values.set(match[1]!, match[2]!);
  }
  return values;
}

/** What a device says of itself may hold anything: printable ASCII is kept, runs of the rest become one blank. */
function clean(text: string | undefined): string | null {
  const cleaned = (text ?? '')
    .replace(/[^\x21-\x7e]+/g, ' ')
    .trim()
    .slice(0, ATTRIBUTE_CHARACTERS_MAX);
  return cleaned === '' ? null : cleaned;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
