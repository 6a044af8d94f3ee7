// The one table between error codes and what the control plane's edges say: HTTP status, PureFlash's ret_code and the exit
// code of a command-line program. (The data plane's table is wire/status.ts.) Servers use errorReply, clients errorOfReply.
// PureFlash's ret_codes end at 8; ours start at 16.
import { ERROR_CODES, PfError, formatErrorChain, type ErrorCode } from '../base/errors.ts';

export const RET_OK = 0;

interface Edge {
  readonly httpStatus: number;
  readonly retCode: number;
  /** As in sysexits.h where it has the meaning. */
  readonly exitCode: number;
}

const EDGES: Readonly<Record<ErrorCode, Edge>> = {
  INVALID_ARGUMENT: { httpStatus: 400, retCode: 2, exitCode: 64 },
  INVALID_STATE: { httpStatus: 409, retCode: 7, exitCode: 65 },
  NOT_FOUND: { httpStatus: 404, retCode: 8, exitCode: 66 },
  ALREADY_EXISTS: { httpStatus: 409, retCode: 6, exitCode: 73 },
  NO_SPACE: { httpStatus: 507, retCode: 16, exitCode: 28 },
  READ_ONLY: { httpStatus: 409, retCode: 17, exitCode: 30 },
  OUT_OF_RANGE: { httpStatus: 400, retCode: 18, exitCode: 64 },
  UNSUPPORTED: { httpStatus: 400, retCode: 1, exitCode: 64 },
  PERMISSION_DENIED: { httpStatus: 403, retCode: 19, exitCode: 77 },
  FENCED: { httpStatus: 409, retCode: 20, exitCode: 79 },
  STALE: { httpStatus: 409, retCode: 21, exitCode: 75 },
  NOT_PRIMARY: { httpStatus: 421, retCode: 22, exitCode: 75 },
  NOT_READY: { httpStatus: 503, retCode: 23, exitCode: 75 },
  TIMEOUT: { httpStatus: 504, retCode: 24, exitCode: 75 },
  CONNECTION_LOST: { httpStatus: 502, retCode: 5, exitCode: 69 },
  IO_ERROR: { httpStatus: 500, retCode: 25, exitCode: 74 },
  CORRUPT: { httpStatus: 500, retCode: 26, exitCode: 74 },
  PROTOCOL_ERROR: { httpStatus: 400, retCode: 27, exitCode: 76 },
  UNAVAILABLE: { httpStatus: 503, retCode: 28, exitCode: 69 },
  CANCELLED: { httpStatus: 503, retCode: 29, exitCode: 130 },
  INTERNAL: { httpStatus: 500, retCode: 30, exitCode: 70 },
};

export const httpStatusOf = (code: ErrorCode): number => EDGES[code].httpStatus;
export const retCodeOf = (code: ErrorCode): number => EDGES[code].retCode;
export const exitCodeOf = (code: ErrorCode): number => EDGES[code].exitCode;

/** What a failed operation answers, as JSON. */
export interface ErrorReply {
  readonly op: string;
  readonly ret_code: number;
  /** A sentence for people. */
  readonly reason: string;
  readonly code: ErrorCode;
}

export function errorReply(op: string, code: ErrorCode, error: unknown): ErrorReply {
  return { op: `${op}_reply`, ret_code: retCodeOf(code), reason: formatErrorChain(error), code };
}

/** The failure that a parsed reply with ret_code other than 0 describes. A server without `code` (PureFlash's) is read by ret_code. */
export function errorOfReply(reply: {
  readonly ret_code?: unknown;
  readonly code?: unknown;
  readonly reason?: unknown;
}): PfError {
  const reason = typeof reply.reason === 'string' && reply.reason !== '' ? reply.reason : `ret_code ${String(reply.ret_code)}`;
  return new PfError(isErrorCode(reply.code) ? reply.code : codeOfRetCode(reply.ret_code), reason);
}

function codeOfRetCode(retCode: unknown): ErrorCode {
  return ERROR_CODES.find((code) => EDGES[code].retCode === retCode) ?? 'INTERNAL';
}

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && (ERROR_CODES as readonly string[]).includes(value);
}
