// Bytes of the negotiation: what clients put into options, and the replies to them. Pure; readers answer null when a
// client's bytes make no sense (the caller refuses with ERR_INVALID) and never read beyond the option's data.
import {
  IHAVEOPT_HIGH,
  IHAVEOPT_LOW,
  INFO_BLOCK_SIZE,
  INFO_EXPORT,
  MAX_STRING_BYTES,
  NBDMAGIC_HIGH,
  NBDMAGIC_LOW,
} from './protocol.ts';
import { OPTION_REPLY_HIGH, OPTION_REPLY_LOW } from './protocol.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export interface ExportChoice {
  readonly name: string;
  /** Ids of the information that the client asks for; unknown ones are kept. */
  readonly infos: readonly number[];
}

export interface MetaQueries {
  readonly exportName: string;
  readonly queries: readonly string[];
}

/** Data of OPT_INFO and OPT_GO: u32 name length, name, u16 count, count * u16. */
export function readExportChoice(data: Uint8Array): ExportChoice | null {
  const view = viewOf(data);
  if (data.length < 6) return null;
  const nameBytes = view.getUint32(0);
  if (nameBytes > data.length - 6) return null;
  const name = readString(data.subarray(4, 4 + nameBytes));
  const count = view.getUint16(4 + nameBytes);
  const start = 4 + nameBytes + 2;
  if (name === null || data.length !== start + 2 * count) return null;
  return { name, infos: Array.from({ length: count }, (_, index) => view.getUint16(start + 2 * index)) };
}

/** Data of OPT_LIST_META_CONTEXT and OPT_SET_META_CONTEXT: u32 name length, name, u32 count, count * (u32 length, query). */
export function readMetaQueries(data: Uint8Array): MetaQueries | null {
  const view = viewOf(data);
  if (data.length < 8) return null;
  const nameBytes = view.getUint32(0);
  if (nameBytes > data.length - 8) return null;
  const exportName = readString(data.subarray(4, 4 + nameBytes));
  const count = view.getUint32(4 + nameBytes);
  let at = 8 + nameBytes;
  if (exportName === null || count > (data.length - at) / 4) return null;
  const queries: string[] = [];
  for (let index = 0; index < count; index++) {
    if (data.length - at < 4) return null;
    const queryBytes = view.getUint32(at);
    if (queryBytes > data.length - at - 4) return null;
    const query = readString(data.subarray(at + 4, at + 4 + queryBytes));
    if (query === null) return null;
    queries.push(query);
    at += 4 + queryBytes;
  }
  return at === data.length ? { exportName, queries } : null;
}

/** UTF-8 without NUL, at most 4096 bytes; null otherwise. */
export function readString(bytes: Uint8Array): string | null {
  if (bytes.length > MAX_STRING_BYTES || bytes.includes(0)) return null;
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** What the server says first: both magics and its handshake flags. */
export function serverHello(flags: number): Uint8Array {
  const bytes = new Uint8Array(18);
  const view = viewOf(bytes);
  view.setUint32(0, NBDMAGIC_HIGH);
  view.setUint32(4, NBDMAGIC_LOW);
  view.setUint32(8, IHAVEOPT_HIGH);
  view.setUint32(12, IHAVEOPT_LOW);
  view.setUint16(16, flags);
  return bytes;
}

export function optionReply(option: number, type: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(20 + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, OPTION_REPLY_HIGH);
  view.setUint32(4, OPTION_REPLY_LOW);
  view.setUint32(8, option);
  view.setUint32(12, type);
  view.setUint32(16, payload.length);
  bytes.set(payload, 20);
  return bytes;
}

export function optionError(option: number, type: number, message: string): Uint8Array {
  return optionReply(option, type, encoder.encode(message).subarray(0, MAX_STRING_BYTES));
}

/** Payload of REP_SERVER: u32 name length, name, description. */
export function serverPayload(name: string, description: string): Uint8Array {
  return concatenate([prefixed(name), encoder.encode(description)]);
}

/** Payload of REP_META_CONTEXT. */
export function metaContextPayload(id: number, name: string): Uint8Array {
  return concatenate([u32(id), encoder.encode(name)]);
}

export function exportInfoPayload(sizeBytes: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  view.setUint16(0, INFO_EXPORT);
  setSize(view, 2, sizeBytes);
  view.setUint16(10, flags);
  return bytes;
}

export function textInfoPayload(info: number, text: string): Uint8Array {
  return concatenate([new Uint8Array([info >>> 8, info & 0xff]), encoder.encode(text)]);
}

export function blockSizeInfoPayload(minimumBytes: number, preferredBytes: number, maximumBytes: number): Uint8Array {
  const bytes = new Uint8Array(14);
  const view = viewOf(bytes);
  view.setUint16(0, INFO_BLOCK_SIZE);
  view.setUint32(2, minimumBytes);
  view.setUint32(6, preferredBytes);
  view.setUint32(10, maximumBytes);
  return bytes;
}

/** The answer to OPT_EXPORT_NAME: size, flags and, unless the client opted out, 124 zeros. */
export function exportNameReply(sizeBytes: number, flags: number, noZeroes: boolean): Uint8Array {
  const bytes = new Uint8Array(noZeroes ? 10 : 134);
  const view = viewOf(bytes);
  setSize(view, 0, sizeBytes);
  view.setUint16(8, flags);
  return bytes;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function setSize(view: DataView, at: number, sizeBytes: number): void {
  view.setUint32(at, Math.floor(sizeBytes / 2 ** 32));
  view.setUint32(at + 4, sizeBytes >>> 0);
}

function prefixed(text: string): Uint8Array {
  const bytes = encoder.encode(text);
  return concatenate([u32(bytes.length), bytes]);
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value);
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
