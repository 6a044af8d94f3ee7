// Which block devices can be disks of a store at all, by the names the kernel gives them, with the reason where not. A table; pure.

/** any: also taken unasked, by a filter or with all unused. named: only where a person names it. never. */
export type Candidate = 'any' | 'named' | 'never';

export type Transport =
  | 'nvme'
  | 'sata'
  | 'sas'
  | 'scsi'
  | 'usb'
  | 'fc'
  | 'iscsi'
  | 'virtio'
  | 'xen'
  | 'mmc'
  | 'pmem'
  | 'loop'
  | 'device-mapper'
  | 'md'
  | 'memory'
  | 'network'
  | 'cdrom'
  | 'other';

interface DeviceKind {
  readonly names: RegExp;
  readonly transport: Transport;
  readonly candidate: Candidate;
  readonly reason: string | null;
}

const KINDS: readonly DeviceKind[] = [
  kind(/^nvme\d+n\d+$/, 'nvme', 'any', null),
  kind(/^sd[a-z]+$/, 'scsi', 'any', null),
  kind(/^vd[a-z]+$/, 'virtio', 'any', null),
  kind(/^xvd[a-z]+$/, 'xen', 'any', null),
  kind(/^pmem\d+s?$/, 'pmem', 'any', null),
  kind(/^dasd[a-z]+$/, 'other', 'any', null),
  kind(/^mmcblk\d+$/, 'mmc', 'named', 'memory card or soldered flash, which often holds the system: name it if you mean it'),
  kind(/^mmcblk\d+(boot\d+|rpmb|gp\d+)$/, 'mmc', 'never', 'part of the firmware of a memory card'),
  kind(/^dm-\d+$/, 'device-mapper', 'named', 'lies on other devices: name it if you mean it, or give those below'),
  kind(/^md\d+$|^md_/, 'md', 'named', 'RAID array: replicas are on other hosts, so give its members; or name it if you mean it'),
  kind(/^bcache\d+$/, 'other', 'named', 'lies on other devices: name it if you mean it'),
  kind(/^loop\d+$/, 'loop', 'never', 'loop device: for laboratories only'),
  kind(/^zram\d+$/, 'memory', 'never', 'compressed memory: empty after a restart'),
  kind(/^ram\d+$/, 'memory', 'never', 'memory: empty after a restart'),
  kind(/^nbd\d+$/, 'network', 'never', 'network block device: a volume of this or of another cluster'),
  kind(/^ublkb\d+$/, 'network', 'never', 'user-space block device: a volume of this or of another cluster'),
  kind(/^rbd\d+$/, 'network', 'never', 'volume of another storage cluster'),
  kind(/^drbd\d+$/, 'network', 'never', 'replicated already'),
  kind(/^zd\d+$/, 'other', 'never', 'ZFS volume'),
  kind(/^sr\d+$/, 'cdrom', 'never', 'optical drive'),
  kind(/^fd\d+$/, 'other', 'never', 'floppy drive'),
  kind(/^mtdblock\d+$/, 'memory', 'never', 'raw flash without wear levelling'),
];

const UNKNOWN = kind(/^/, 'other', 'named', 'kind of device that this program does not know: name it if you mean it');

export interface KindFacts {
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly isRemovable: boolean;
  /** Target of the link /sys/block/NAME, which shows the buses on the way. */
  readonly sysPath: string;
  /** dm/uuid of a device-mapper device, else null. */
  readonly mapperUuid: string | null;
  /** Loop devices are candidates. */
  readonly allowsLoop: boolean;
  readonly sizeBytesMin: number;
}

export interface KindOfDevice {
  readonly transport: Transport;
  readonly candidate: Candidate;
  readonly reason: string | null;
}

export function kindOf(name: string, facts: KindFacts): KindOfDevice {
  const found = KINDS.find(({ names }) => names.test(name)) ?? UNKNOWN;
  const transport = found.transport === 'scsi' ? scsiTransport(facts.sysPath) : found.transport;
  const verdict = (candidate: Candidate, reason: string | null): KindOfDevice => ({ transport, candidate, reason });
  if (found.candidate === 'never' && !(transport === 'loop' && facts.allowsLoop)) return verdict('never', found.reason);
  if (facts.sizeBytes === 0) return verdict('never', 'has no size: no medium, or nothing attached');
  if (facts.isReadOnly) return verdict('never', 'read-only');
  if (facts.sizeBytes < facts.sizeBytesMin) return verdict('never', `too small: at least ${facts.sizeBytesMin} bytes are wanted`);
  if (transport === 'loop') return verdict('any', null);
  // Several paths to one disk: the paths beneath are held by it.
  if (facts.mapperUuid?.startsWith('mpath-') === true) return verdict('any', null);
  if (transport === 'usb') return verdict('named', 'on USB: name it if you mean it');
  if (facts.isRemovable) return verdict('named', 'removable: name it if you mean it');
  return verdict(found.candidate, found.reason);
}

/** Devices that exist in numbers without anything behind them are left out of the report. */
export function isEmptySlot(name: string, sizeBytes: number): boolean {
  return sizeBytes === 0 && /^(loop|zram|ram|nbd|rbd|fd|sr|md|drbd)\d+$/.test(name);
}

function scsiTransport(sysPath: string): Transport {
  if (/\/usb\d/.test(sysPath)) return 'usb';
  if (/\/ata\d/.test(sysPath)) return 'sata';
  if (/\/(end_device|sas_)/.test(sysPath) || /\/port-\d+:\d+/.test(sysPath)) return 'sas';
  if (/\/rport-/.test(sysPath)) return 'fc';
  if (/\/session\d/.test(sysPath)) return 'iscsi';
  return /\/virtio\d/.test(sysPath) ? 'virtio' : 'scsi';
}

function kind(names: RegExp, transport: Transport, candidate: Candidate, reason: string | null): DeviceKind {
  return { names, transport, candidate, reason };
}
