// What the API server refused, or why it could not be asked, as a PfError that keeps the HTTP status, the reason, the causes and how long
// to wait. Made by the client, read by ListWatch, the controllers (retryAfterMs) and reconcilers (code).
import { PfError, type ErrorCode } from '@pureflash/datapath/base';

export interface ApiErrorDetails {
  /** 0 when there was no answer. */
  readonly httpStatus: number;
  /** The API server's one word: "AlreadyExists", "Expired"; empty when it said none. */
  readonly reason: string;
  /** One line for each field that was refused. */
  readonly causes: readonly string[];
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

export class ApiError extends PfError {
  readonly httpStatus: number;
  readonly reason: string;
  readonly causes: readonly string[];
  /** At least so long the server wants to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: ApiErrorDetails) {
    super(code, message, details.cause === undefined ? {} : { cause: details.cause });
    this.httpStatus = details.httpStatus;
    this.reason = details.reason;
    this.causes = details.causes;
    this.retryAfterMs = details.retryAfterMs;
  }

  /** The resource version asked for is no longer kept: list again. */
  get isExpired(): boolean {
    return this.httpStatus === 410;
  }
}

/** Wraps a failure without an answer: the connection, the deadline, the caller's signal. */
export function unanswered(code: ErrorCode, action: string, why: string, cause?: unknown): ApiError {
  return new ApiError(code, `cannot ${action}: ${why}`, { httpStatus: 0, reason: '', causes: [], cause });
}

/** `action` says verb and object: "apply apps/v1 StatefulSet storage/conductor". `body` is what came back: a Status, or anything. */
export function refusal(
  action: string,
  httpStatus: number,
  body: string,
  retryAfter: string | undefined,
  cause?: unknown,
): ApiError {
  const status = parseStatus(body);
  const causes = causesOf(status);
  const said = status.message === '' ? shorten(body) : status.message;
  const unsaid = causes.filter((cause) => !said.includes(cause));
  const message = `cannot ${action}: ${[said || `HTTP ${httpStatus}`, ...unsaid].join('; ')}${hint(httpStatus)}`;
  const retryAfterMs = retryAfterMsOf(retryAfter, status.retryAfterSeconds);
  const details = { httpStatus, reason: status.reason, causes, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  return new ApiError(codeOf(httpStatus, status.reason, said), message, { ...details, cause });
}

function codeOf(httpStatus: number, reason: string, message: string): ErrorCode {
  // Server-side apply answers 500 when the object does not fit the kind's schema; trying again would not help.
  if (httpStatus === 500 && message.startsWith('failed to create typed patch object')) return 'INVALID_ARGUMENT';
  switch (httpStatus) {
    case 400:
    case 406:
    case 413:
    case 415:
    case 422:
      return 'INVALID_ARGUMENT';
    case 401:
    case 403:
      return 'PERMISSION_DENIED';
    case 404:
      return isAboutResource(reason, message) ? 'UNSUPPORTED' : 'NOT_FOUND';
    case 405:
      return 'UNSUPPORTED';
    case 409:
      return reason === 'AlreadyExists' ? 'ALREADY_EXISTS' : 'STALE';
    case 410:
      return 'STALE';
    case 408:
    case 429:
      return 'UNAVAILABLE';
  }
  return httpStatus >= 500 ? 'UNAVAILABLE' : 'PROTOCOL_ERROR';
}

/** Not the object is missing but its whole kind: it is not served (any more, or not yet). No reader may take that for a deletion. */
function isAboutResource(reason: string, message: string): boolean {
  return reason !== 'NotFound' || message === 'the server could not find the requested resource';
}

function hint(httpStatus: number): string {
  if (httpStatus === 401) return '; the credentials are not accepted: check the token, the certificate and their expiry';
  if (httpStatus === 403) return "; grant this verb to the program's service account or user";
  return '';
}

interface Status {
  readonly message: string;
  readonly reason: string;
  readonly retryAfterSeconds: number;
  readonly causes: readonly { readonly field?: unknown; readonly message?: unknown }[];
}

function parseStatus(body: string): Status {
  const empty: Status = { message: '', reason: '', retryAfterSeconds: 0, causes: [] };
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return empty; // A proxy's page or nothing at all: the caller shows its text.
  }
  if (typeof parsed !== 'object' || parsed === null) return empty;
  const { message, reason, details } = parsed as Record<string, unknown>;
  const more = typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {};
  return {
    message: typeof message === 'string' ? message : '',
    reason: typeof reason === 'string' ? reason : '',
    retryAfterSeconds: typeof more['retryAfterSeconds'] === 'number' ? more['retryAfterSeconds'] : 0,
    causes: Array.isArray(more['causes'])
      ? (more['causes'] as Status['causes']).filter((cause) => typeof cause === 'object')
      : [],
  };
}

function causesOf(status: Status): string[] {
  return status.causes.slice(0, 32).map(({ field, message }) => {
    const text = typeof message === 'string' ? message : 'refused';
    return typeof field === 'string' && field !== '' ? `${field}: ${text}` : text;
  });
}

/** `Retry-After` in seconds (API servers never send the date form), or the body's field. */
function retryAfterMsOf(header: string | undefined, seconds: number): number | undefined {
  const wanted = header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) : seconds;
  return wanted > 0 ? wanted * 1000 : undefined;
}

const shorten = (text: string): string => (text.length <= 300 ? text.trim() : `${text.slice(0, 300).trim()}...`);
