// What the discovery says of one block device. Programs read these field names in the JSON of pfdiscover: they change with
// REPORT_VERSION only. Times: all of it is one moment's look; who acts on it looks again (formatting does, pfstore does).
import type { DiskUuid, StoreUuid } from '../../base/ids.ts';
import type { Candidate, Transport } from './device-kinds.ts';

export const REPORT_VERSION = 1;

/** blank: nothing is on it. store: a disk of ours. foreign: anything else, and whatever could not be found out. */
export type DeviceUse = 'blank' | 'store' | 'foreign';

export interface Partition {
  /** Kernel name: "sda1". */
  readonly name: string;
  readonly sizeBytes: number;
  /** "mounted on /boot", "swap", "held by dm-0"; null when nobody uses it now. */
  readonly usedBy: string | null;
}

export interface Device {
  /** Names the device after a restart too, where the host has such a name; else /dev/NAME. */
  readonly path: string;
  /** Kernel name: "nvme0n1". Another device may have it after a restart. */
  readonly name: string;
  /** Its other names in /dev/disk/by-id and /dev/disk/by-path, best first; `path` is the first of them. */
  readonly links: readonly string[];
  readonly model: string | null;
  readonly serial: string | null;
  readonly wwn: string | null;
  readonly sizeBytes: number;
  /** Null when the kernel does not say. */
  readonly isRotational: boolean | null;
  readonly isReadOnly: boolean;
  readonly transport: Transport;
  readonly partitions: readonly Partition[];
  /** Kernel names of devices that lie on it: device-mapper, md, bcache. */
  readonly holders: readonly string[];

  readonly candidate: Candidate;
  /** Why it is not a candidate for everybody; null for candidate 'any'. */
  readonly candidateReason: string | null;

  readonly use: DeviceUse;
  /** What is on it and where it is used: "ext4, mounted on /". Null when blank. At most USED_BY_MAX characters. */
  readonly usedBy: string | null;
  /** Somebody has it now: mounted, swap, held, or open for itself. Nobody else may write to it, erasing confirmed or not. */
  readonly isInUse: boolean;
  /** Why it could not be looked at: it did not answer in time, reading failed, no permission. Its use is then foreign. */
  readonly error: string | null;

  /** Of use 'store'; else null. */
  readonly storeUuid: StoreUuid | null;
  readonly diskUuid: DiskUuid | null;
  readonly formatVersion: number | null;
}

export const USED_BY_MAX = 256;

export interface DiscoveryReport {
  readonly version: typeof REPORT_VERSION;
  /** Candidates first, then by kernel name. */
  readonly devices: readonly Device[];
}
