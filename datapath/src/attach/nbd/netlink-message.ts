// Messages of generic netlink: heads, attributes, acknowledgements, as bytes and back (netlink(7); linux/netlink.h, linux/genetlink.h).
// Numbers are in the machine's byte order, which is little-endian wherever this program runs; attributes are padded to 4 bytes.
// The decoder takes any bytes: what does not parse is a PROTOCOL_ERROR.
import { PfError } from '../../base/errors.ts';

export const HEAD_BYTES = 16;
export const GENERIC_HEAD_BYTES = 4;
export const ATTRIBUTE_HEAD_BYTES = 4;
const TYPE_ERROR = 2;
const FLAG_REQUEST = 1;
const FLAG_ACK = 4;
/** In an acknowledgement: the request is not repeated in it; attributes follow. */
const FLAG_CAPPED = 0x100;
const FLAG_ACK_ATTRIBUTES = 0x200;
const ACK_ATTRIBUTE_TEXT = 1;
/** Two high bits of an attribute's type say how it is made. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const TEXT = new TextEncoder();

/** What an attribute holds: bytes, a number of a fixed width, text with its final zero, or attributes. */
export type AttributeValue =
  | { readonly u32: number }
  /** A safe integer. */
  | { readonly u64: number }
  | { readonly text: string }
  | { readonly nested: readonly Attribute[] };

export type Attribute = readonly [type: number, value: AttributeValue];

export interface RequestFields {
  /** The family's number. */
  readonly family: number;
  readonly command: number;
  readonly version: number;
  readonly sequence: number;
  readonly attributes: readonly Attribute[];
}

export function encodeRequest(fields: RequestFields): Uint8Array {
  const body = encodeAttributes(fields.attributes);
  const bytes = new Uint8Array(HEAD_BYTES + GENERIC_HEAD_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, fields.family, true);
  view.setUint16(6, FLAG_REQUEST | FLAG_ACK, true);
  view.setUint32(8, fields.sequence, true);
  // The sender's port, 12..16, stays 0: the kernel fills it in.
  view.setUint8(16, fields.command);
  view.setUint8(17, fields.version);
  bytes.set(body, HEAD_BYTES + GENERIC_HEAD_BYTES);
  return bytes;
}

function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const pieces = attributes.map(([type, value]) => {
    const payload = encodeValue(value);
    const piece = new Uint8Array(align(ATTRIBUTE_HEAD_BYTES + payload.length));
    const view = new DataView(piece.buffer);
    view.setUint16(0, ATTRIBUTE_HEAD_BYTES + payload.length, true);
    view.setUint16(2, type, true);
    piece.set(payload, ATTRIBUTE_HEAD_BYTES);
    return piece;
  });
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function encodeValue(value: AttributeValue): Uint8Array {
  if ('nested' in value) return encodeAttributes(value.nested);
  if ('text' in value) return TEXT.encode(`${value.text}\0`);
  const isWide = 'u64' in value;
  const bytes = new Uint8Array(isWide ? 8 : 4);
  const view = new DataView(bytes.buffer);
  const number = isWide ? value.u64 : value.u32;
  view.setUint32(0, number % 4294967296, true);
  if (isWide) view.setUint32(4, Math.floor(number / 4294967296), true);
  return bytes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}

/** Attributes by their type; of several of one type the last one, unless it is asked for all. */
export class AttributeSet {
  readonly #entries: readonly (readonly [number, Uint8Array])[];

  private constructor(entries: readonly (readonly [number, Uint8Array])[]) {
    this.#entries = entries;
  }

  static decode(bytes: Uint8Array): AttributeSet {
    const view = viewOf(bytes);
    const entries: [number, Uint8Array][] = [];
    for (let at = 0; at + ATTRIBUTE_HEAD_BYTES <= bytes.length; ) {
      const length = view.getUint16(at, true);
      if (length < ATTRIBUTE_HEAD_BYTES || at + length > bytes.length)
        throw malformed(`an attribute of ${length} bytes where ${bytes.length - at} are left`);
      entries.push([view.getUint16(at + 2, true) & ATTRIBUTE_TYPE_MASK, bytes.subarray(at + ATTRIBUTE_HEAD_BYTES, at + length)]);
      at += align(length);
    }
    return new AttributeSet(entries);
  }

  bytes(type: number): Uint8Array | null {
    return this.#entries.findLast(([each]) => each === type)?.[1] ?? null;
  }

  all(type: number): readonly Uint8Array[] {
    return this.#entries.filter(([each]) => each === type).map(([, value]) => value);
  }

  /** In the order in which they came, whatever their type. */
  values(): readonly Uint8Array[] {
    return this.#entries.map(([, value]) => value);
  }

  /** Of 1, 2 or 4 bytes. */
  number(type: number): number | null {
    const value = this.bytes(type);
    if (value === null) return null;
    const view = viewOf(value);
    if (value.length === 4) return view.getUint32(0, true);
    if (value.length === 2) return view.getUint16(0, true);
    if (value.length === 1) return view.getUint8(0);
    throw malformed(`attribute ${type} of ${value.length} bytes where a number is wanted`);
  }

  text(type: number): string | null {
    const value = this.bytes(type);
    return value === null ? null : decodeText(value);
  }

  nested(type: number): AttributeSet | null {
    const value = this.bytes(type);
    return value === null ? null : AttributeSet.decode(value);
  }
}

/** A message of a generic netlink family. */
export interface Message {
  readonly family: number;
  readonly command: number;
  readonly attributes: AttributeSet;
}

export interface Answer {
  readonly messages: readonly Message[];
  /** 0, or the errno with which the kernel refused; null when its verdict is missing. */
  readonly errno: number | null;
  /** Why, where the kernel says so; or "". */
  readonly reason: string;
}

/** Of what Kernel.exchangeNetlink() brings, or of announcements (then without a verdict). Error PROTOCOL_ERROR. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  let errno: number | null = null;
  let reason = '';
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEAD_BYTES || at + length > bytes.length)
      throw malformed(`a message of ${length} bytes where ${bytes.length - at} are left`);
    const type = view.getUint16(at + 4, true);
    const payload = bytes.subarray(at + HEAD_BYTES, at + length);
    if (type === TYPE_ERROR) {
      ({ errno, reason } = decodeVerdict(payload, view.getUint16(at + 6, true)));
    } else if (type > TYPE_ERROR + 1) {
      if (payload.length < GENERIC_HEAD_BYTES) throw malformed(`a message of family ${type} without its head`);
      const attributes = AttributeSet.decode(payload.subarray(GENERIC_HEAD_BYTES));
      messages.push({ family: type, command: payload[0]!, attributes });
    }
    at += align(length);
  }
  return { messages, errno, reason };
}

/** The errno, negative; the head of the request; the rest of the request unless capped; then attributes. */
function decodeVerdict(payload: Uint8Array, flags: number): { errno: number; reason: string } {
  if (payload.length < 4) throw malformed(`an acknowledgement of ${payload.length} bytes`);
  const view = viewOf(payload);
  const errno = -view.getInt32(0, true);
  if ((flags & FLAG_ACK_ATTRIBUTES) === 0 || payload.length < 4 + HEAD_BYTES) return { errno, reason: '' };
  const requestBytes = (flags & FLAG_CAPPED) !== 0 ? HEAD_BYTES : Math.max(HEAD_BYTES, align(view.getUint32(4, true)));
  const attributes = AttributeSet.decode(payload.subarray(Math.min(4 + requestBytes, payload.length)));
  return { errno, reason: attributes.text(ACK_ATTRIBUTE_TEXT) ?? '' };
}

export function decodeText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function malformed(what: string): PfError {
  return new PfError('PROTOCOL_ERROR', `the kernel's netlink answer cannot be read: ${what}`);
}
