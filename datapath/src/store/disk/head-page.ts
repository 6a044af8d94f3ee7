// The head page: who this disk is, where its regions are, and where replay begins. One sector, so that it cannot tear.
// Written by format.ts, open-disk.ts and the checkpoint; layout in docs/internals/disk-format.md.
import { assert } from '../../base/assert.ts';
import { crc32c } from '../../base/crc32c.ts';
import { BLOCK_BYTES } from '../../base/sizes.ts';
import { diskUuid, storeUuid, type DiskUuid, type StoreUuid } from '../../base/ids.ts';
import { EXTENT_BYTES, FORMAT_VERSION, isGeometrySane, type Geometry } from './layout.ts';

export const HEAD_SECTOR_BYTES = 512;

export interface Head {
  readonly storeUuid: StoreUuid;
  readonly diskUuid: DiskUuid;
  readonly geometry: Geometry;
  readonly headSequence: number;
  readonly isClean: boolean;
  /** Extents from here on were never used: their table entries hold anything. */
  readonly tableLimit: number;
  readonly logTailPosition: number;
  readonly logTailSequence: number;
  readonly logSecret: number;
  readonly createdMs: number;
}

/** What a sector of a head page turned out to be. */
export type DecodedHead =
  | { readonly kind: 'head'; readonly head: Head }
  | { readonly kind: 'blank' | 'foreign' | 'corrupt' }
  | { readonly kind: 'version'; readonly version: number };

const MAGIC = [0x50, 0x46, 0x53, 0x54, 0x4f, 0x52, 0x45, 0x00];
const FLAG_CLEAN = 1;
const CRC_AT = 508;

const AT = {
  version: 8,
  flags: 12,
  storeUuid: 16,
  diskUuid: 32,
  headSequence: 48,
  capacity: 56,
  extentBytes: 64,
  blockBytes: 68,
  logOffset: 72,
  logBytes: 80,
  tableA: 88,
  tableB: 96,
  data: 104,
  extentCount: 112,
  tableLimit: 116,
  tailPosition: 120,
  tailSequence: 128,
  secret: 136,
  created: 144,
  maxBatchBytes: 152,
} as const;

export function encodeHead(head: Head): Uint8Array {
  const bytes = new Uint8Array(HEAD_SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  const { geometry } = head;
  bytes.set(MAGIC, 0);
  view.setUint32(AT.version, FORMAT_VERSION, true);
  view.setUint32(AT.flags, head.isClean ? FLAG_CLEAN : 0, true);
  bytes.set(uuidBytes(head.storeUuid), AT.storeUuid);
  bytes.set(uuidBytes(head.diskUuid), AT.diskUuid);
  setSafe(view, AT.headSequence, head.headSequence);
  setSafe(view, AT.capacity, geometry.capacityBytes);
  view.setUint32(AT.extentBytes, EXTENT_BYTES, true);
  view.setUint32(AT.blockBytes, BLOCK_BYTES, true);
  setSafe(view, AT.logOffset, geometry.logOffset);
  setSafe(view, AT.logBytes, geometry.logBytes);
  setSafe(view, AT.tableA, geometry.tableOffsetA);
  setSafe(view, AT.tableB, geometry.tableOffsetB);
  setSafe(view, AT.data, geometry.dataOffset);
  view.setUint32(AT.extentCount, geometry.extentCount, true);
  view.setUint32(AT.tableLimit, head.tableLimit, true);
  setSafe(view, AT.tailPosition, head.logTailPosition);
  setSafe(view, AT.tailSequence, head.logTailSequence);
  setSafe(view, AT.secret, head.logSecret);
  setSafe(view, AT.created, head.createdMs);
  view.setUint32(AT.maxBatchBytes, geometry.maxBatchBytes, true);
  view.setUint32(CRC_AT, crc32c(bytes, 0, CRC_AT, 0), true);
  return bytes;
}

export function decodeHead(bytes: Uint8Array): DecodedHead {
  assert(bytes.length >= HEAD_SECTOR_BYTES, `a head needs ${HEAD_SECTOR_BYTES} bytes, ${bytes.length} given`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEAD_SECTOR_BYTES);
  if (!MAGIC.every((byte, at) => bytes[at] === byte)) {
    return { kind: bytes.subarray(0, HEAD_SECTOR_BYTES).every((byte) => byte === 0) ? 'blank' : 'foreign' };
  }
  if (view.getUint32(CRC_AT, true) !== crc32c(bytes, 0, CRC_AT, 0)) return { kind: 'corrupt' };
  const version = view.getUint32(AT.version, true);
  if (version !== FORMAT_VERSION) return { kind: 'version', version };
  const geometry: Geometry = {
    capacityBytes: getSafe(view, AT.capacity),
    logOffset: getSafe(view, AT.logOffset),
    logBytes: getSafe(view, AT.logBytes),
    maxBatchBytes: view.getUint32(AT.maxBatchBytes, true),
    tableOffsetA: getSafe(view, AT.tableA),
    tableOffsetB: getSafe(view, AT.tableB),
    dataOffset: getSafe(view, AT.data),
    extentCount: view.getUint32(AT.extentCount, true),
  };
  const head: Head = {
    storeUuid: storeUuid(uuidText(bytes, AT.storeUuid)),
    diskUuid: diskUuid(uuidText(bytes, AT.diskUuid)),
    geometry,
    headSequence: getSafe(view, AT.headSequence),
    isClean: (view.getUint32(AT.flags, true) & FLAG_CLEAN) !== 0,
    tableLimit: view.getUint32(AT.tableLimit, true),
    logTailPosition: getSafe(view, AT.tailPosition),
    logTailSequence: getSafe(view, AT.tailSequence),
    logSecret: getSafe(view, AT.secret),
    createdMs: getSafe(view, AT.created),
  };
  const sizesMatch = view.getUint32(AT.extentBytes, true) === EXTENT_BYTES && view.getUint32(AT.blockBytes, true) === BLOCK_BYTES;
  const isSane = sizesMatch && isGeometrySane(geometry) && head.tableLimit <= geometry.extentCount;
  const areSafe = [head.headSequence, head.logTailPosition, head.logTailSequence, head.logSecret].every(Number.isSafeInteger);
  return isSane && areSafe ? { kind: 'head', head } : { kind: 'corrupt' };
}

/** "01234567-89ab-cdef-0123-456789abcdef" -> 16 bytes. */
export function uuidBytes(uuid: string): Uint8Array {
  const digits = uuid.replaceAll('-', '');
  assert(/^[0-9a-f]{32}$/.test(digits), `"${uuid}" is not a UUID in lower case`);
  return Uint8Array.from({ length: 16 }, (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

export function uuidText(bytes: Uint8Array, at: number): string {
  const digits = Array.from(bytes.subarray(at, at + 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${digits.slice(20)}`;
}

function setSafe(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} does not fit a head field`);
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function getSafe(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
