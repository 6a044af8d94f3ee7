// Node's system errors (code 'ENOENT', errno -2) as PfError codes and as positive errnos for completions.
import { PfError, type ErrorCode } from '../../base/errors.ts';
import { EIO } from '../completion.ts';

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'NOT_FOUND',
  ENOTDIR: 'NOT_FOUND',
  ENXIO: 'NOT_FOUND',
  ENODEV: 'NOT_FOUND',
  EACCES: 'PERMISSION_DENIED',
  EPERM: 'PERMISSION_DENIED',
  EROFS: 'READ_ONLY',
  EEXIST: 'ALREADY_EXISTS',
  EADDRINUSE: 'ALREADY_EXISTS',
  ENOSPC: 'NO_SPACE',
  EDQUOT: 'NO_SPACE',
  ENOMEM: 'NO_SPACE',
  EMFILE: 'NO_SPACE',
  ENFILE: 'NO_SPACE',
  EFBIG: 'NO_SPACE',
  EBUSY: 'INVALID_STATE',
  EAGAIN: 'INVALID_STATE',
  EINVAL: 'INVALID_ARGUMENT',
  EISDIR: 'INVALID_ARGUMENT',
  ENAMETOOLONG: 'INVALID_ARGUMENT',
  EADDRNOTAVAIL: 'INVALID_ARGUMENT',
  ETIMEDOUT: 'TIMEOUT',
  ECONNREFUSED: 'CONNECTION_LOST',
  ECONNRESET: 'CONNECTION_LOST',
  ECONNABORTED: 'CONNECTION_LOST',
  EPIPE: 'CONNECTION_LOST',
  EHOSTUNREACH: 'CONNECTION_LOST',
  ENETUNREACH: 'CONNECTION_LOST',
  ENETDOWN: 'CONNECTION_LOST',
  ENOTFOUND: 'CONNECTION_LOST',
  EAI_AGAIN: 'CONNECTION_LOST',
  EIO: 'IO_ERROR',
  ENOSYS: 'UNSUPPORTED',
  EOPNOTSUPP: 'UNSUPPORTED',
};

export function systemCodeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** `action` says what was tried, on what: "cannot open disk /dev/sdb". PfErrors pass unchanged. */
export function toPfError(error: unknown, action: string, fallback: ErrorCode = 'IO_ERROR'): PfError {
  if (error instanceof PfError) return error;
  return new PfError(CODES[systemCodeOf(error)] ?? fallback, action, { cause: error });
}

/** The positive errno of a failed file operation, for a Completion. */
export function errnoOf(error: unknown): number {
  const errno = (error as { errno?: unknown } | null)?.errno;
  return typeof errno === 'number' && errno !== 0 ? Math.abs(errno) : EIO;
}
