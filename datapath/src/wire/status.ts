// Wire statuses: PureFlash's numbers, and the one table between them, error codes and errnos.
import type { ErrorCode } from '../base/errors.ts';

export const STATUS_OK = 0;
export const STATUS_INVALID_OPCODE = 1;
export const STATUS_INVALID_FIELD = 2;
export const STATUS_DATA_XFER_ERROR = 4;
export const STATUS_INTERNAL = 6;
export const STATUS_OUT_OF_RANGE = 0x80;
export const STATUS_NOT_PRIMARY = 0xc0;
export const STATUS_NO_SPACE = 0xc1;
export const STATUS_READ_ONLY = 0xc2;
export const STATUS_CONNECTION_LOST = 0xc3;
export const STATUS_IO_ERROR = 0xc4;
export const STATUS_REPLICATING_TIMEOUT = 0xc8;
/** Stored bytes fail their checksum. PureFlash's SSD_ERROR. */
export const STATUS_CORRUPT = 0xcd;
/** Version 2: token refused. */
export const STATUS_PERMISSION_DENIED = 0xd0;
/** Version 2: a newer writer has attached; final. */
export const STATUS_FENCED = 0xd1;

/** Flag: open the volume again and re-send. */
export const STATUS_FLAG_REOPEN = 0x4000;
/** Meta version or configuration differ. */
export const STATUS_STALE = 0x4000;
/** The volume is not open on this store (the reply's meta version is 0xFFFF). */
export const STATUS_NOT_OPEN = 0x4009;
/** This store is not ready to serve the shard yet (promotion, grant ran out): ask again soon. */
export const STATUS_NOT_READY = 0x4082;
export const STATUS_NOT_PRIMARY_REOPEN = 0x40c0;

const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [STATUS_INVALID_OPCODE, 'UNSUPPORTED'],
  [STATUS_INVALID_FIELD, 'INVALID_ARGUMENT'],
  [STATUS_DATA_XFER_ERROR, 'PROTOCOL_ERROR'],
  [STATUS_INTERNAL, 'INTERNAL'],
  [STATUS_OUT_OF_RANGE, 'OUT_OF_RANGE'],
  [STATUS_NOT_PRIMARY, 'NOT_PRIMARY'],
  [STATUS_NO_SPACE, 'NO_SPACE'],
  [STATUS_READ_ONLY, 'READ_ONLY'],
  [STATUS_CONNECTION_LOST, 'CONNECTION_LOST'],
  [STATUS_IO_ERROR, 'IO_ERROR'],
  [STATUS_REPLICATING_TIMEOUT, 'TIMEOUT'],
  [STATUS_CORRUPT, 'CORRUPT'],
  [STATUS_PERMISSION_DENIED, 'PERMISSION_DENIED'],
  [STATUS_FENCED, 'FENCED'],
  [STATUS_STALE, 'STALE'],
  [STATUS_NOT_OPEN, 'NOT_READY'],
  [STATUS_NOT_READY, 'NOT_READY'],
  [STATUS_NOT_PRIMARY_REOPEN, 'NOT_PRIMARY'],
]);

export function errorCodeOfStatus(status: number): ErrorCode {
  return CODES.get(status) ?? ((status & STATUS_FLAG_REOPEN) !== 0 ? 'STALE' : 'IO_ERROR');
}

export const mustReopen = (status: number): boolean => (status & STATUS_FLAG_REOPEN) !== 0;
