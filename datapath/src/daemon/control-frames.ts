// Frames of the control socket between a manager and its daemon: a length (u32, little-endian) and that many bytes of JSON.
// Version 1. The daemon speaks first (hello); then the manager asks, and each request gets one reply with its id.
// Called by control-server.ts and connection.ts. Whoever breaks a limit or a shape loses the connection.
import { ERROR_CODES, PfError, type ErrorCode } from '../base/errors.ts';
import type { Json } from '../base/json.ts';

export const CONTROL_PROTOCOL = 1;
export const FRAME_BYTES_MAX = 1024 * 1024;
const LENGTH_BYTES = 4;

export interface Hello {
  readonly kind: 'hello';
  readonly protocol: number;
  readonly name: string;
  readonly pid: number;
}

export interface Request {
  readonly kind: 'request';
  readonly id: number;
  readonly operation: string;
  readonly body: Json;
}

export interface Reply {
  readonly kind: 'reply';
  readonly id: number;
  readonly body: Json;
}

export interface Refusal {
  readonly kind: 'refusal';
  readonly id: number;
  readonly code: ErrorCode;
  readonly message: string;
}

export type Frame = Hello | Request | Reply | Refusal;

/** Errors: OUT_OF_RANGE when it is longer than a frame may be. */
export function encodeFrame(frame: Frame): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(frame));
  if (text.length > FRAME_BYTES_MAX)
    throw new PfError(
      'OUT_OF_RANGE',
      `cannot send a ${frame.kind} of ${text.length} bytes: a control frame has at most ${FRAME_BYTES_MAX}; send less at once`,
    );
  const bytes = new Uint8Array(LENGTH_BYTES + text.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, LENGTH_BYTES);
  return bytes;
}

/** Cuts a stream of bytes into frames, at any split. After an error it is of no further use. */
export class FrameReader {
  #held = new Uint8Array(0);

  /** Copies what it keeps. Errors: PROTOCOL_ERROR. */
  read(bytes: Uint8Array): Frame[] {
    const all = new Uint8Array(this.#held.length + bytes.length);
    all.set(this.#held);
    all.set(bytes, this.#held.length);
    const view = new DataView(all.buffer);
    const frames: Frame[] = [];
    let at = 0;
    while (all.length - at >= LENGTH_BYTES) {
      const length = view.getUint32(at, true);
      if (length < 2 || length > FRAME_BYTES_MAX)
        throw malformed(`a frame of ${length} bytes, and 2 to ${FRAME_BYTES_MAX} are possible`);
      const end = at + LENGTH_BYTES + length;
      if (end > all.length) break;
      frames.push(parseFrame(all.subarray(at + LENGTH_BYTES, end)));
      at = end;
    }
    this.#held = all.slice(at);
    return frames;
  }
}

function parseFrame(bytes: Uint8Array): Frame {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed('a frame that is not JSON', error);
  }
  if (!isObject(value)) throw malformed('a frame that is not an object');
  const { kind, id, name, pid, protocol, operation, code, message } = value;
  const body = (value['body'] ?? null) as Json;
  if (kind === 'hello' && isShortText(name) && isCount(pid) && isCount(protocol)) return { kind, name, pid, protocol };
  if (!isCount(id)) throw malformed('a frame of an unknown kind or without its fields');
  if (kind === 'request' && isShortText(operation)) return { kind, id, operation, body };
  if (kind === 'reply') return { kind, id, body };
  if (kind === 'refusal' && typeof message === 'string' && isErrorCode(code)) return { kind, id, code, message };
  throw malformed('a frame of an unknown kind or without its fields');
}

function malformed(what: string, cause?: unknown): PfError {
  return new PfError('PROTOCOL_ERROR', `cannot read the control socket: ${what}; the connection is closed`, { cause });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= 255;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isErrorCode(value: unknown): value is ErrorCode {
  return (ERROR_CODES as readonly unknown[]).includes(value);
}
