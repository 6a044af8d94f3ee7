// One request to a DiskStore: a preallocated record that its owner fills, submits, and gets back twice, always in this order:
//   ioDurable(io): the result is known. WRITE, TRIM: everything survives a power cut (or `result` says why not). READ: the bytes are there.
//   ioSettled(io): the store has let go of `memory` and of the record; both may be used again.
// Both may be called before submit() returns, and a write's second one some time after the first: its blocks go from the log to their place.

export const DISK_READ = 1;
export const DISK_WRITE = 2;
export const DISK_TRIM = 3;
export type DiskOperation = typeof DISK_READ | typeof DISK_WRITE | typeof DISK_TRIM;

export interface DiskIoOwner {
  ioDurable(io: DiskIo): void;
  ioSettled(io: DiskIo): void;
}

export class DiskIo {
  operation: DiskOperation = DISK_READ;
  volumeId = 0;
  /** Bytes from the start of the volume; offset and length are multiples of 512. READ and WRITE: up to 1 MiB. TRIM: up to 1 GiB. */
  offset = 0;
  length = 0;
  /** Arena offset of the payload, aligned to 4096: written from or read into, the store's from submit to ioSettled. */
  memory = 0;
  /** The write's stamp; an extent keeps the larger one. */
  generation = 0;
  sequence = 0;
  /** WRITE, TRIM: do not change the stamp of extents (the replica is recovering). */
  keepStamp = false;
  /** WRITE, TRIM: set the stamp to exactly the given one (a recovery write). */
  setsStampExactly = false;
  /** WRITE at a multiple of 4096: CRC32C of each whole 4 KiB block of the payload, in order, if the caller has them. */
  payloadCrcs: Uint32Array | null = null;
  /** READ: also compute the CRC32C of all the bytes read, into `crc`. */
  wantsCrc = false;

  /** Set before ioDurable: 0 or an errno. With EIO, `isCorrupt` says that stored bytes did not match their checksum. */
  result = 0;
  isCorrupt = false;
  crc = 0;

  owner: DiskIoOwner;
  /** For the owner's use. */
  tag: unknown = null;

  /** The store's, between submit and ioSettled. */
  pendingDurable = 0;
  pendingSettled = 0;
  previousActive: DiskIo | null = null;
  nextActive: DiskIo | null = null;
  blockCrcs: Uint32Array | null = null;

  constructor(owner: DiskIoOwner) {
    this.owner = owner;
  }
}
