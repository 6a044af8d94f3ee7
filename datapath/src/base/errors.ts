// Failures: everything that can go wrong without being a bug carries one code of this union.
// api/errors.ts and wire/status.ts translate the codes at every edge; nothing else invents codes.

export const ERROR_CODES = [
  'INVALID_ARGUMENT',
  'INVALID_STATE',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'NO_SPACE',
  'READ_ONLY',
  'OUT_OF_RANGE',
  'UNSUPPORTED',
  'PERMISSION_DENIED',
  /** A newer writer has attached the volume; this client must never write again. */
  'FENCED',
  /** The client's view of a shard is old: open the volume again and re-send. */
  'STALE',
  'NOT_PRIMARY',
  'NOT_READY',
  'TIMEOUT',
  'CONNECTION_LOST',
  'IO_ERROR',
  /** Stored bytes do not match their checksum. */
  'CORRUPT',
  'PROTOCOL_ERROR',
  'UNAVAILABLE',
  'CANCELLED',
  'INTERNAL',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export class PfError extends Error {
  override readonly name = 'PfError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export function errorCodeOf(error: unknown): ErrorCode {
  return error instanceof PfError ? error.code : 'INTERNAL';
}

/** "message: cause: cause of the cause", for logs and terminals; no stack. */
export function formatErrorChain(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current !== undefined && current !== null && parts.length < 8) {
    parts.push(current instanceof Error ? current.message : String(current));
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(': ');
}
