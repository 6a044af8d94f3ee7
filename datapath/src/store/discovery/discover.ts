// The discovery of a host's disks: what the kernel says of each block device, what is on it, and who uses it. Reads only.
// Called by bin/pfdiscover. Devices are looked at several at a time, each with a deadline; one that fails is reported as such.
import type { World } from '../../world/world.ts';
import type { DiskContent } from '../disk/blank-check.ts';
import { FORMAT_VERSION, MIN_DISK_BYTES } from '../disk/layout.ts';
import { probeContent, type ProbeResult } from './content-probe.ts';
import { REPORT_VERSION, USED_BY_MAX, type Device, type DeviceUse, type DiscoveryReport, type Partition } from './device.ts';
import { isEmptySlot, kindOf, type KindOfDevice } from './device-kinds.ts';
import { readHostTree, type BlockNode, type HostDevice, type HostTree } from './host-tree.ts';

/** Mount points named for one device; bind mounts may be hundreds. */
const PLACES_MAX = 3;

export type DiscoveryWorld = Pick<World, 'files' | 'disks' | 'memory' | 'clock'>;

export interface DiscoveryOptions {
  /** Where the host's /sys, /dev, /proc and /run are seen; default '': this machine's own. */
  readonly root?: string;
  /** Loop devices are candidates, for laboratories. */
  readonly allowsLoop?: boolean;
  /** For each device; default 10 s. */
  readonly timeoutMs?: number;
  /** Devices looked at at the same time; default 8. */
  readonly parallel?: number;
}

export interface Discovery {
  readonly report: DiscoveryReport;
  /** Some device passed its deadline: closing the world would wait for it. */
  readonly isHung: boolean;
}

/** Errors: those of listing /sys/block. */
export async function discover(world: DiscoveryWorld, options: DiscoveryOptions = {}): Promise<Discovery> {
  const { root = '', allowsLoop = false, timeoutMs = 10_000, parallel = 8 } = options;
  const tree = await readHostTree(world.files, root);
  const found = tree.devices.filter(({ name, sizeBytes }) => !isEmptySlot(name, sizeBytes));
  const devices: Device[] = [];
  let isHung = false;
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < found.length) {
      const device = found[next]!;
      next += 1;
      const kind = kindOf(device.name, { ...device, allowsLoop, sizeBytesMin: MIN_DISK_BYTES });
      const isWorthALook = kind.candidate !== 'never' || (device.sizeBytes > 0 && kind.reason === 'read-only');
      const probe = isWorthALook ? await probeContent(world, `${root}/dev/${device.name}`, timeoutMs) : null;
      isHung ||= probe?.isHung === true;
      devices.push(describe(device, kind, probe, tree));
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, found.length) }, work));
  return { report: { version: REPORT_VERSION, devices: devices.sort(compareDevices) }, isHung };
}

const ORDER = { any: 0, named: 1, never: 2 } as const;

function compareDevices(a: Device, b: Device): number {
  return ORDER[a.candidate] - ORDER[b.candidate] || a.name.length - b.name.length || (a.name < b.name ? -1 : 1);
}

function describe(device: HostDevice, kind: KindOfDevice, probe: ProbeResult | null, tree: HostTree): Device {
  const partitions = device.partitions.map((each): Partition => {
    const users = usersOf(each, tree);
    return { name: each.name, sizeBytes: each.sizeBytes, usedBy: users.length === 0 ? null : users.join(', ') };
  });
  const users = usersOf(device, tree);
  for (const { name, usedBy } of partitions) if (usedBy !== null) users.push(`${name} ${usedBy}`);
  const isWhole = users.length === 0 && partitions.length === 0;
  if (probe?.isOpenElsewhere === true && users.length === 0) users.push('open by another process');
  const content = probe?.content ?? null;
  const use = useOf(content, isWhole, users.length > 0);
  const head = use === 'store' && content?.kind === 'head' ? content.head : null;
  return {
    path: device.links[0] ?? `/dev/${device.name}`,
    name: device.name,
    links: device.links,
    model: device.model,
    serial: device.serial,
    wwn: device.wwn,
    sizeBytes: device.sizeBytes,
    isRotational: device.isRotational,
    isReadOnly: device.isReadOnly,
    transport: kind.transport,
    partitions,
    holders: device.holders,
    candidate: kind.candidate,
    candidateReason: kind.reason,
    use,
    usedBy: use === 'blank' ? null : wordsOf(content, users, partitions.length, probe?.error ?? kind.reason),
    isInUse: users.length > 0,
    error: probe?.error ?? null,
    storeUuid: head?.storeUuid ?? null,
    diskUuid: head?.diskUuid ?? null,
    formatVersion: head === null ? null : FORMAT_VERSION,
  };
}

/** A disk of ours stays one while its store has it open; a blank device that somebody has open is not blank for anybody else. */
function useOf(content: DiskContent | null, isWhole: boolean, isInUse: boolean): DeviceUse {
  if (content === null || !isWhole) return 'foreign';
  if (content.kind === 'head') return 'store';
  return content.kind === 'blank' && !isInUse ? 'blank' : 'foreign';
}

/** "mounted on /", "swap", "held by dm-0": who uses a device or a partition, as the kernel knows it. */
function usersOf(node: BlockNode, { mounts, swaps }: HostTree): string[] {
  const places = mounts
    .filter(({ device, source }) => device === node.numbers || source === node.name)
    .map(({ mountPoint }) => mountPoint);
  const users = [...new Set(places)].slice(0, PLACES_MAX).map((place) => `mounted on ${place}`);
  if (swaps.includes(node.name)) users.push('in use as swap');
  for (const holder of node.holders) users.push(`held by ${holder}`);
  return users;
}

function wordsOf(
  content: DiskContent | null,
  users: readonly string[],
  partitionCount: number,
  otherwise: string | null,
): string {
  const words = content === null ? [] : contentWords(content);
  if (words.length === 0 && partitionCount > 0) words.push(`${partitionCount} partition${partitionCount === 1 ? '' : 's'}`);
  words.push(...users);
  if (content === null && otherwise !== null) words.push(otherwise);
  const text = words.join(', ');
  return text.length <= USED_BY_MAX ? text : `${text.slice(0, USED_BY_MAX - 3)}...`;
}

function contentWords(content: DiskContent): string[] {
  switch (content.kind) {
    case 'blank':
      return [];
    case 'head':
      return [`store ${content.head.storeUuid}`];
    case 'damaged-head':
      return ['PureFlash disk with a damaged head'];
    case 'other-version':
      return [`PureFlash disk of format version ${content.version}, which this program does not know`];
    case 'known':
      return content.isOverOurs ? [...content.names, 'over a PureFlash disk'] : [...content.names];
    case 'unknown':
      return [`unknown data ${content.where}`];
  }
}
