// The one table from failures to gRPC's status codes, and the failure that says its status itself. Called by grpc-server.ts; handlers throw
// PfError for what went wrong below them and RpcError where CSI asks for a status of its own (ABORTED while another call works on the
// same volume, FAILED_PRECONDITION, OUT_OF_RANGE). A caller of ours gets every refusal as an RpcError.
import { formatErrorChain, PfError, type ErrorCode } from '@pureflash/datapath/base';

/** Names and numbers are gRPC's. */
export const STATUS_NUMBERS = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type RpcStatus = keyof typeof STATUS_NUMBERS;

/** A refusal with a gRPC status of its own. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly status: RpcStatus;

  constructor(status: Exclude<RpcStatus, 'OK'>, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

/**
 * RESOURCE_EXHAUSTED makes a scheduler look for another place. UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED and ABORTED say that the call
 * may yet take effect and is to be repeated; every other status is final to the callers of CreateVolume.
 */
const STATUS_OF_CODE: Readonly<Record<ErrorCode, Exclude<RpcStatus, 'OK'>>> = {
  INVALID_ARGUMENT: 'INVALID_ARGUMENT',
  INVALID_STATE: 'FAILED_PRECONDITION',
  NOT_FOUND: 'NOT_FOUND',
  ALREADY_EXISTS: 'ALREADY_EXISTS',
  NO_SPACE: 'RESOURCE_EXHAUSTED',
  READ_ONLY: 'FAILED_PRECONDITION',
  OUT_OF_RANGE: 'OUT_OF_RANGE',
  UNSUPPORTED: 'INVALID_ARGUMENT',
  PERMISSION_DENIED: 'PERMISSION_DENIED',
  FENCED: 'FAILED_PRECONDITION',
  STALE: 'UNAVAILABLE',
  NOT_PRIMARY: 'UNAVAILABLE',
  NOT_READY: 'UNAVAILABLE',
  TIMEOUT: 'DEADLINE_EXCEEDED',
  CONNECTION_LOST: 'UNAVAILABLE',
  IO_ERROR: 'INTERNAL',
  CORRUPT: 'DATA_LOSS',
  PROTOCOL_ERROR: 'INTERNAL',
  UNAVAILABLE: 'UNAVAILABLE',
  CANCELLED: 'CANCELLED',
  INTERNAL: 'INTERNAL',
};

export interface Refusal {
  readonly status: Exclude<RpcStatus, 'OK'>;
  /** For the caller: what failed and why, never a stack. */
  readonly message: string;
  /** Nobody meant this to happen. */
  readonly isBug: boolean;
}

/** It travels in a header. */
const MESSAGE_CHARACTERS_MAX = 2_000;

export function refusalOf(error: unknown): Refusal {
  const message = formatErrorChain(error).slice(0, MESSAGE_CHARACTERS_MAX).toWellFormed();
  if (error instanceof RpcError) return { status: error.status as Refusal['status'], message, isBug: false };
  if (error instanceof PfError) return { status: STATUS_OF_CODE[error.code], message, isBug: false };
  return { status: 'INTERNAL', message: message === '' ? 'unknown failure' : message, isBug: true };
}

export function statusOfNumber(number: number): RpcStatus {
  const names = Object.keys(STATUS_NUMBERS) as RpcStatus[];
  return names.find((name) => STATUS_NUMBERS[name] === number) ?? 'UNKNOWN';
}
