// Numbers and layouts of the kernel's ublk (include/uapi/linux/ublk_cmd.h), as far as this mapper uses them. Little-endian, as both
// machines are that this runs on. Called by ublk-control.ts and ublk-server.ts.
import { assert } from '../../base/assert.ts';

/** Control commands, in the encoding that all kernels wanted here take. */
export const GET_DEV_INFO = 0x80207502;
export const ADD_DEV = 0xc0207504;
export const START_DEV = 0xc0207506;
export const STOP_DEV = 0xc0207507;
export const SET_PARAMS = 0xc0207508;
export const START_USER_RECOVERY = 0xc0207510;
export const END_USER_RECOVERY = 0xc0207511;
export const GET_FEATURES = 0x80207513;
export const DEL_DEV_ASYNC = 0x80207514;
export const UPDATE_SIZE = 0xc0207515;
export const QUIESCE_DEV = 0xc0207516;

/** As a device's id: the kernel chooses one. */
export const ANY_DEVICE = 0xffffffff;
export const FEATURES_BYTES = 8;
export const DEVICE_INFO_BYTES = 64;
export const PARAMETERS_BYTES = 60;
export const SECTOR_BYTES = 512;

/** What a device must be made with, and the Linux version that brought it. */
export const FEATURES = [
  { bit: 2, name: 'NEED_GET_DATA', since: '6.0' },
  { bit: 3, name: 'USER_RECOVERY', since: '6.1' },
  { bit: 4, name: 'USER_RECOVERY_REISSUE', since: '6.1' },
  { bit: 6, name: 'CMD_IOCTL_ENCODE', since: '6.4' },
  { bit: 10, name: 'UPDATE_SIZE', since: '6.16' },
  { bit: 12, name: 'QUIESCE', since: '6.16' },
] as const;
export const DEVICE_FLAGS = FEATURES.reduce((flags, { bit }) => flags | (1 << bit), 0);

/** States of a device. DEAD: not started yet, or stopped. */
export const DEAD = 0;
export const LIVE = 1;
export const QUIESCED = 2;
export type DeviceState = typeof DEAD | typeof LIVE | typeof QUIESCED;

/** Operations of a request's descriptor, and flags beside them. */
export const OP_READ = 0;
export const OP_WRITE = 1;
export const OP_FLUSH = 2;
export const OP_DISCARD = 3;
export const OP_WRITE_ZEROES = 5;
export const OPERATION_MASK = 0xff;
export const FLAG_FUA = 1 << 13;
export const FLAG_NOUNMAP = 1 << 15;

/** Results of a command of the queue. */
export const RESULT_OK = 0;
export const RESULT_NEED_GET_DATA = 1;
/** The kernel takes the command back and wants no further one. */
export const RESULT_ABORT = -19;

/** Words of a descriptor, of which a tag has UBLK_DESCRIPTOR_WORDS. */
export const DESCRIPTOR = { operation: 0, sectors: 1, startLow: 2, startHigh: 3 } as const;

const ATTRIBUTE_READ_ONLY = 1 << 0;
const ATTRIBUTE_VOLATILE_CACHE = 1 << 2;
const ATTRIBUTE_FUA = 1 << 3;
const TYPE_BASIC = 1 << 0;
const TYPE_DISCARD = 1 << 1;
/** A discard or a run of zeros of one request. */
const LONG_SECTORS_MAX = (1024 * 1024 * 1024) / SECTOR_BYTES;
const WORD = 2 ** 32;

/** A 64-bit word that the kernel keeps for us with each device and never looks at. */
export interface NameHash {
  readonly low: number;
  readonly high: number;
}

export interface DeviceInfo {
  readonly deviceId: number;
  readonly state: number;
  readonly depth: number;
  /** Of the process that serves it, or served it last. */
  readonly pid: number;
  readonly hash: NameHash;
}

export interface NewDevice {
  readonly depth: number;
  readonly maximumIoBytes: number;
  readonly hash: NameHash;
}

export interface DeviceParameters {
  readonly sizeBytes: number;
  readonly blockSizeBytes: 512 | 4096;
  readonly maximumIoBytes: number;
  readonly isReadOnly: boolean;
  readonly canTrim: boolean;
}

/** One queue, and the kernel chooses the id. */
export function encodeNewDevice({ depth, maximumIoBytes, hash }: NewDevice): Uint8Array {
  const { bytes, view } = blank(DEVICE_INFO_BYTES);
  view.setUint16(0, 1, true);
  view.setUint16(2, depth, true);
  view.setUint32(8, maximumIoBytes, true);
  view.setUint32(12, ANY_DEVICE, true);
  view.setInt32(16, -1, true);
  view.setUint32(24, DEVICE_FLAGS, true);
  view.setUint32(32, hash.low, true);
  view.setUint32(36, hash.high, true);
  return bytes;
}

export function decodeDeviceInfo(bytes: Uint8Array): DeviceInfo {
  assert(bytes.length === DEVICE_INFO_BYTES, `information on a ublk device has ${DEVICE_INFO_BYTES} bytes, not ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    depth: view.getUint16(2, true),
    state: view.getUint16(4, true),
    deviceId: view.getUint32(12, true),
    pid: view.getInt32(16, true),
    hash: { low: view.getUint32(32, true), high: view.getUint32(36, true) },
  };
}

export function encodeParameters(parameters: DeviceParameters): Uint8Array {
  const { sizeBytes, blockSizeBytes, maximumIoBytes, isReadOnly, canTrim } = parameters;
  const { bytes, view } = blank(PARAMETERS_BYTES);
  const blockShift = blockSizeBytes === 4096 ? 12 : 9;
  const readOnly = isReadOnly ? ATTRIBUTE_READ_ONLY : 0;
  view.setUint32(0, PARAMETERS_BYTES, true);
  view.setUint32(4, TYPE_BASIC | TYPE_DISCARD, true);
  view.setUint32(8, ATTRIBUTE_VOLATILE_CACHE | ATTRIBUTE_FUA | readOnly, true);
  for (const shiftAt of [12, 13, 14, 15]) view.setUint8(shiftAt, blockShift); // logical, physical, optimal, smallest
  view.setUint32(16, maximumIoBytes / SECTOR_BYTES, true);
  setU64(view, 24, sizeBytes / SECTOR_BYTES);
  view.setUint32(44, 4096, true);
  view.setUint32(48, canTrim && !isReadOnly ? LONG_SECTORS_MAX : 0, true);
  view.setUint32(52, isReadOnly ? 0 : LONG_SECTORS_MAX, true);
  view.setUint16(56, 1, true);
  return bytes;
}

/** Names and versions of what is missing. */
export function missingFeatures(bytes: Uint8Array): readonly string[] {
  const low = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0, true);
  return FEATURES.filter(({ bit }) => (low & (1 << bit)) === 0).map(({ name, since }) => `${name} (Linux ${since})`);
}

export function isSameHash(one: NameHash, other: NameHash): boolean {
  return one.low === other.low && one.high === other.high;
}

/** The first 64 bits of a digest in hex. */
export function hashOf(digest: string): NameHash {
  return { low: Number.parseInt(digest.slice(0, 8), 16), high: Number.parseInt(digest.slice(8, 16), 16) };
}

function blank(length: number): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer) };
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % WORD, true);
  view.setUint32(at + 4, Math.floor(value / WORD), true);
}
