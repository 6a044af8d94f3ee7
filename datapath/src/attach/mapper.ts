// A mapper makes a kernel block device out of a BlockDevice. pfnbd has one for each way that the kernel knows (nbd over netlink, FUSE
// with a loop device, ublk); which one a node uses shows nowhere but in its own list.
//
//   map() --> mapped --unmap()--> gone
//              |  ^
//    handOver()|  |adopt(): by the next process, from what the kernel and the mapper's own folder remember
//     or death v  |
//            orphaned: the device is there, its requests wait --reap()--> gone
//
// A mapper keeps what it needs to adopt in files of its own, written before the kernel is told: dying between any two steps leaves
// something that adopt() or reap() recognises by its name. It never closes the BlockDevice, and never waits for the kernel device from
// the thread that serves it.
import type { BlockDevice } from '../block/device.ts';

export interface MapRequest {
  /** Unique on this machine, 1 to 200 characters of A-Z a-z 0-9 . _ -: what the kernel or a file name carries. */
  readonly name: string;
  /** Serves the requests of the kernel device; belongs to the caller. */
  readonly device: BlockDevice;
}

export interface Mapping {
  /** "/dev/nbd3" */
  readonly devicePath: string;
  /** Bytes, as the kernel was told last. */
  readonly sizeBytes: number;
  /** The kernel device takes the BlockDevice's current size. It never shrinks. Only while requests are answered. */
  resize(): Promise<void>;
  /** The kernel device goes. Error INVALID_STATE while somebody has it mounted or opened for himself: nothing has changed then. */
  unmap(): Promise<void>;
  /**
   * Answers what has come, takes nothing more, and leaves the kernel device to the next process: its requests wait there. What cannot be
   * answered by then is sent again by the kernel to the next one.
   */
  handOver(): Promise<void>;
}

export interface Mapper {
  /** "nbd", "ublk", "fuse": for lists and flags. */
  readonly kind: string;
  /** Null when this machine can do it; else what is missing, in words for its administrator. */
  unavailable(): Promise<string | null>;
  /** Errors: ALREADY_EXISTS when there is a mapping of that name (adopt it), NO_SPACE when the machine has no device left, UNSUPPORTED. */
  map(request: MapRequest): Promise<Mapping>;
  /**
   * Takes over what an earlier process has left under that name, also where the mapper's own memory of it is damaged: then the kernel is
   * asked. Null when nothing is there. A device that cannot be saved is removed.
   */
  adopt(request: MapRequest): Promise<Mapping | null>;
  /** Names of all mappings that start with `prefix`: those that there are, and those of which something is left. */
  names(prefix: string): Promise<readonly string[]>;
  /**
   * Removes devices whose names start with `prefix` and are not in `known`, which may grow meanwhile. Those in use stay, and their requests
   * fail, now or after the kernel's own patience. Resolves with the names removed.
   */
  reap(prefix: string, known: ReadonlySet<string>): Promise<readonly string[]>;
  /** Of the mapper itself; mappings stay as they are. */
  close(): Promise<void>;
}
