// BlockDevice: the one narrow waist between NBD, volumes, PFS, memory and files.
//
// Hot path: the caller fills a preallocated BlockRequest and submits it; the device calls request.owner.requestDone(request)
// exactly once, possibly before submit() returns. Requests may complete out of order; overlapping requests in flight have
// no order. Range, alignment and read-only checks are the device's duty (checkRequest below): a bad request completes with
// an errno and never throws.
import { EINVAL, ENOSPC, EPERM } from '../world/completion.ts';

export const READ = 1;
export const WRITE = 2;
export const FLUSH = 3;
/** The range's content does not matter; it reads as zeros afterwards. */
export const TRIM = 4;
/** The range reads as zeros. With FLAG_NO_HOLE the space stays allocated where the device can tell. */
export const WRITE_ZEROES = 5;
export type BlockOperation = typeof READ | typeof WRITE | typeof FLUSH | typeof TRIM | typeof WRITE_ZEROES;

export const FLAG_FUA = 1;
export const FLAG_NO_HOLE = 2;

export interface RequestOwner {
  requestDone(request: BlockRequest): void;
}

export class BlockRequest {
  operation: BlockOperation = READ;
  flags = 0;
  /** Bytes; multiples of the device's minimumIoBytes. */
  offset = 0;
  length = 0;
  /** Arena offset of the payload (READ, WRITE), owned by the caller until requestDone; a slot for lengths up to MAX_SLOT_BYTES. */
  memory = 0;
  /**
   * WRITE: true says that `memory` lies in a slot which its owner gives back with releaseSlot() and does not write to after
   * requestDone: the device may retain the slot and answer while something still reads the payload.
   */
  payloadIsSlot = false;
  /** Set by the device before requestDone: 0 or an errno. */
  result = 0;
  owner: RequestOwner;
  /** For the owner's use. */
  tag: unknown = null;

  constructor(owner: RequestOwner) {
    this.owner = owner;
  }

  finish(result: number): void {
    this.result = result;
    this.owner.requestDone(this);
  }
}

/** One extent of a device's map: `isAllocated` false means a hole, `isZero` that it reads as zeros. */
export interface BlockExtent {
  readonly length: number;
  readonly isAllocated: boolean;
  readonly isZero: boolean;
}

export interface BlockDevice {
  readonly sizeBytes: number;
  /** Smallest unit and alignment of I/O: 1, 512 or 4096. */
  readonly minimumIoBytes: number;
  readonly preferredIoBytes: number;
  /** Largest READ or WRITE; TRIM and WRITE_ZEROES may be as long as the device. At most MAX_SLOT_BYTES. */
  readonly maximumIoBytes: number;
  readonly isReadOnly: boolean;
  readonly canTrim: boolean;
  /** WRITE_ZEROES never writes the zeros out, so it is much faster than WRITE. Absent means no. */
  readonly canZeroFast?: boolean;
  /** A flush or FUA answered to one user covers writes answered to all: several connections are safe. */
  readonly canMultiConnect: boolean;

  submit(request: BlockRequest): void;
  /** The map of [offset, offset + length): extents in order that cover it exactly. Rejects with PfError. */
  extents(offset: number, length: number): Promise<readonly BlockExtent[]>;
  /** Finishes what is in flight, then lets go of everything. Idempotent. */
  close(): Promise<void>;
}

/** 0, or the errno with which a device refuses this request: EINVAL out of range or misaligned, ENOSPC write past the end, EPERM read-only. */
export function checkRequest(device: BlockDevice, request: BlockRequest): number {
  const { operation, offset, length } = request;
  if (operation === FLUSH) return 0;
  if (operation !== READ && device.isReadOnly) return EPERM;
  if (operation <= WRITE && length > device.maximumIoBytes) return EINVAL;
  if (offset < 0 || length < 0 || offset % device.minimumIoBytes !== 0 || length % device.minimumIoBytes !== 0) return EINVAL;
  if (offset + length > device.sizeBytes) return operation === READ || operation === TRIM ? EINVAL : ENOSPC;
  return 0;
}
