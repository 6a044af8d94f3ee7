// The machine, as the node service sees it. csi/src/host has the real one; testing/fake-host.ts has the one that dies at every step.
//
// Paths are absolute and checked by the caller (node/paths.ts). Every method is one step: dying before or after any of them leaves what
// the next attempt recognises. What can hang on a sick device runs in a child process with a deadline. Nothing here deletes more than
// one empty folder or one file, and nothing unmounts lazily or by force.
// Failures: IO_ERROR when a program said no (its words are in the message), TIMEOUT, UNSUPPORTED when it is not installed.

/** One line of /proc/self/mountinfo. */
export interface Mount {
  readonly id: number;
  readonly parentId: number;
  /** "259:3": of a filesystem on a block device, the device's number. */
  readonly device: string;
  /** What of the filesystem is mounted: "/" unless it is a bind mount of something below. */
  readonly root: string;
  readonly path: string;
  /** The file or folder behind this bind mount has been removed since. */
  readonly isDeleted: boolean;
  /** Of this mount: rw or ro, noexec, ... */
  readonly options: readonly string[];
  /** "shared:7", "master:3", "unbindable" */
  readonly propagation: readonly string[];
  readonly fsType: string;
  readonly source: string;
  /** Of the filesystem: ro once it stopped writing after errors, whatever `options` say. */
  readonly superOptions: readonly string[];
}

export interface PathLook {
  /** Of the thing itself: links are not followed. */
  readonly kind: 'missing' | 'folder' | 'file' | 'link' | 'blockDevice' | 'other';
  /** "7:3" of a block device, else null. */
  readonly deviceNumber: string | null;
  readonly sizeBytes: number;
}

export interface BlockDeviceLook {
  /** "7:3" */
  readonly number: string;
  readonly sizeBytes: number;
}

export type FsType = 'ext4' | 'xfs';

export interface Usage {
  readonly totalBytes: number;
  /** To an ordinary user: what is reserved for root is not available. */
  readonly availableBytes: number;
  readonly usedBytes: number;
  readonly totalInodes: number;
  readonly availableInodes: number;
  readonly usedInodes: number;
}

export interface MountRequest {
  readonly device: string;
  readonly path: string;
  readonly fsType: FsType;
  readonly options: readonly string[];
}

export interface Host {
  /** In the kernel's order: of two mounts on one path, the later one is on top. */
  mounts(): Promise<readonly Mount[]>;
  mount(request: MountRequest): Promise<void>;
  /** `source` is a folder, or a file or device node when `path` is a file. The copy has the source's mount options. */
  bindMount(source: string, path: string): Promise<void>;
  /** Makes one bind mount read-only, and nothing else that shows the same filesystem. */
  remountReadOnly(path: string): Promise<void>;
  /** Takes the topmost mount off. Error INVALID_STATE when it is in use. Success is claimed by the program, not proved. */
  unmount(path: string): Promise<void>;

  look(path: string): Promise<PathLook>;
  /** The path without links, null when it leads nowhere. */
  realPath(path: string): Promise<string | null>;
  /** One level; fine when it is there. */
  makeFolder(path: string): Promise<void>;
  /** An empty file; fine when there is a file. */
  makeFile(path: string): Promise<void>;
  /** rmdir: INVALID_STATE when it is not empty; fine when it is gone. */
  removeFolder(path: string): Promise<void>;
  /** unlink; fine when it is gone. */
  removeFile(path: string): Promise<void>;

  /** Null when there is no such block device. */
  blockDevice(path: string): Promise<BlockDeviceLook | null>;
  /** The first 4096 bytes, read past the page cache: the device answers, or this fails. */
  readHead(device: string): Promise<Uint8Array>;
  /** What an independent program recognises on the device: "ext4", "LVM2_member", "gpt", "several"; null when nothing. */
  signature(device: string): Promise<string | null>;
  /** False while somebody holds the device for himself: a mount, device mapper, a mkfs that still runs. */
  isFree(device: string): Promise<boolean>;
  /** `isOverwriting` allows for a filesystem of the same kind on it, left by an attempt that did not finish. */
  format(device: string, fsType: FsType, isOverwriting: boolean): Promise<void>;
  /** Repairs what can be repaired without a decision. Error CORRUPT when more is needed. Not mounted. */
  check(device: string, fsType: FsType): Promise<void>;
  /** The mounted filesystem takes the device's whole size; fine when it has it. */
  grow(device: string, path: string, fsType: FsType): Promise<void>;
  usage(path: string): Promise<Usage>;
}
