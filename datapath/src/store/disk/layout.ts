// Where things are on a formatted disk, and the sizes that format 1 fixes. docs/internals/disk-format.md is the normative page.
// Pure: format.ts computes a geometry once and the head page keeps it; everything else reads it.
import { assert } from '../../base/assert.ts';
import { PfError } from '../../base/errors.ts';
import { BLOCK_BYTES, KiB, MiB, alignDown, alignUp, formatSize } from '../../base/sizes.ts';

export const FORMAT_VERSION = 1;

export const HEAD_A_OFFSET = 0;
export const HEAD_B_OFFSET = 4096;
export const HEAD_PAGE_BYTES = 4096;
export const RESERVED_BYTES = MiB;

export const EXTENT_BYTES = 64 * KiB;
export const BLOCKS_PER_EXTENT = EXTENT_BYTES / BLOCK_BYTES;
export const ALL_BLOCKS = (1 << BLOCKS_PER_EXTENT) - 1;
export const OBJECT_BYTES = 64 * MiB;
export const EXTENTS_PER_OBJECT = OBJECT_BYTES / EXTENT_BYTES;

export const ENTRY_BYTES = 128;
export const ENTRY_WORDS = ENTRY_BYTES / 4;
export const TABLE_PAGE_BYTES = 4096;
export const ENTRIES_PER_PAGE = TABLE_PAGE_BYTES / ENTRY_BYTES;

export const MIN_LOG_BYTES = 4 * MiB;
export const MAX_LOG_BYTES = 256 * MiB;
/** The meta part of the largest batch: see log-batch.ts. */
export const MAX_BATCH_META_BYTES = 80 * KiB;
/** Smaller disks have no sensible room for data beside the log. */
export const MIN_DISK_BYTES = 16 * MiB;

export interface Geometry {
  readonly capacityBytes: number;
  readonly logOffset: number;
  readonly logBytes: number;
  readonly maxBatchBytes: number;
  readonly tableOffsetA: number;
  readonly tableOffsetB: number;
  readonly dataOffset: number;
  readonly extentCount: number;
}

/** Cuts a disk. `logBytes` is chosen by the rule of the format unless given (tests want small logs). */
export function planGeometry(diskBytes: number, wantedLogBytes?: number): Geometry {
  const capacityBytes = alignDown(diskBytes, EXTENT_BYTES);
  if (capacityBytes < MIN_DISK_BYTES) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot format a disk of ${formatSize(diskBytes)}: at least ${formatSize(MIN_DISK_BYTES)} is wanted; give a larger disk`,
    );
  }
  const share = alignDown(Math.floor(capacityBytes / 16), MiB);
  const logBytes = wantedLogBytes ?? Math.min(MAX_LOG_BYTES, Math.max(MIN_LOG_BYTES, share));
  assert(logBytes % MiB === 0 && logBytes >= MiB, `a log of ${logBytes} bytes is not a whole number of MiB`);
  const payloadBytes = Math.min(MiB, alignDown(Math.floor(logBytes / 16), EXTENT_BYTES));
  const tableOffsetA = RESERVED_BYTES + logBytes;
  let extentCount = Math.floor((capacityBytes - tableOffsetA) / (EXTENT_BYTES + 2 * ENTRY_BYTES));
  while (tableOffsetA + 2 * tableBytes(extentCount) + extentCount * EXTENT_BYTES > capacityBytes) extentCount -= 1;
  return {
    capacityBytes,
    logOffset: RESERVED_BYTES,
    logBytes,
    maxBatchBytes: Math.max(payloadBytes, EXTENT_BYTES) + MAX_BATCH_META_BYTES,
    tableOffsetA,
    tableOffsetB: tableOffsetA + tableBytes(extentCount),
    dataOffset: tableOffsetA + 2 * tableBytes(extentCount),
    extentCount,
  };
}

/** Whether a geometry read from a head can be right at all: regions in order, inside the capacity, of the sizes they claim. */
export function isGeometrySane(geometry: Geometry): boolean {
  const { capacityBytes, logOffset, logBytes, maxBatchBytes, tableOffsetA, tableOffsetB, dataOffset, extentCount } = geometry;
  const numbers = [capacityBytes, logOffset, logBytes, maxBatchBytes, tableOffsetA, tableOffsetB, dataOffset, extentCount];
  if (!numbers.every((each) => Number.isSafeInteger(each) && each > 0)) return false;
  if (
    logOffset !== RESERVED_BYTES ||
    logBytes % MiB !== 0 ||
    maxBatchBytes * 3 > logBytes ||
    tableOffsetA !== logOffset + logBytes
  )
    return false;
  if (maxBatchBytes < MAX_BATCH_META_BYTES + EXTENT_BYTES || maxBatchBytes > MAX_BATCH_META_BYTES + MiB) return false;
  if (tableOffsetB !== tableOffsetA + tableBytes(extentCount) || dataOffset !== tableOffsetB + tableBytes(extentCount))
    return false;
  return dataOffset + extentCount * EXTENT_BYTES <= capacityBytes;
}

export function tableBytes(extentCount: number): number {
  return alignUp(extentCount * ENTRY_BYTES, EXTENT_BYTES);
}

/** Payload blocks that one batch may carry. */
export function maxPayloadBlocks(geometry: Geometry): number {
  return (geometry.maxBatchBytes - MAX_BATCH_META_BYTES) / BLOCK_BYTES;
}
