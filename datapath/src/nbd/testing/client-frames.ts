// What an NBD client sends, and how its answers read: for tests. No code of the server is used, so that a mistake there
// is not made twice.

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export const FIXED_AND_NO_ZEROES = u32(3);

export function optionFrame(option: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from('IHAVEOPT'), u32(option), u32(data.length), data]);
}

/** Data of INFO and GO. */
export function choice(name: string, ...infos: number[]): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([u32(bytes.length), bytes, u16(infos.length), ...infos.map(u16)]);
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function queries(name: string, ...texts: string[]): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([
    u32(bytes.length),
    bytes,
    u32(texts.length),
    ...texts.flatMap((text) => [u32(text.length), Buffer.from(text)]),
  ]);
}

export interface RequestFields {
  readonly flags?: number;
  readonly command: number;
  readonly cookie: number | bigint;
  readonly offset?: number | bigint;
  readonly length?: number;
  readonly payload?: Uint8Array;
}

export function requestFrame({ flags = 0, command, cookie, offset = 0, length, payload }: RequestFields): Buffer {
  const head = [u32(0x25609513), u16(flags), u16(command), u64(cookie), u64(offset), u32(length ?? payload?.length ?? 0)];
  return Buffer.concat(payload === undefined ? head : [...head, payload]);
}

/** The whole handshake up to GO in one piece, for a default export. */
export function hello(options: { structured?: boolean; blockStatus?: boolean } = {}): Buffer {
  const frames = [FIXED_AND_NO_ZEROES];
  if (options.structured === true || options.blockStatus === true) frames.push(optionFrame(8));
  if (options.blockStatus === true) frames.push(optionFrame(10, queries('', 'base:allocation')));
  return Buffer.concat([...frames, optionFrame(7, choice(''))]);
}

const OPTION_NAMES: Record<number, string> = { 1: 'EXPORT_NAME', 2: 'ABORT', 3: 'LIST', 5: 'STARTTLS', 6: 'INFO', 7: 'GO' };
Object.assign(OPTION_NAMES, { 8: 'STRUCTURED_REPLY', 9: 'LIST_META_CONTEXT', 10: 'SET_META_CONTEXT', 11: 'EXTENDED_HEADERS' });
const REPLY_NAMES: Record<number, string> = { 1: 'ACK', 2: 'SERVER', 3: 'INFO', 4: 'META_CONTEXT' };
const ERROR_NAMES = [
  '',
  'UNSUP',
  'POLICY',
  'INVALID',
  'PLATFORM',
  'TLS_REQD',
  'UNKNOWN',
  'SHUTDOWN',
  'BLOCK_SIZE_REQD',
  'TOO_BIG',
];

/** One option reply as a line: "GO: INFO export 1048576 bytes, flags 0x1ed". */
export function describeOptionReply(bytes: Uint8Array): string {
  const reply = Buffer.from(bytes);
  if (reply.length < 20) return `raw ${reply.toString('hex')}`;
  if (reply.readBigUInt64BE(0) !== 0x3e889045565a9n) return `raw ${reply.toString('hex')}`;
  const option = OPTION_NAMES[reply.readUInt32BE(8)] ?? `option ${reply.readUInt32BE(8)}`;
  const type = reply.readUInt32BE(12);
  const payload = reply.subarray(20);
  if (payload.length !== reply.readUInt32BE(16)) return `bad length ${reply.toString('hex')}`;
  if (type >= 0x80000000) return `${option}: ERR_${ERROR_NAMES[type - 0x80000000]} "${payload}"`;
  return `${option}: ${REPLY_NAMES[type]} ${describePayload(type, payload)}`.trimEnd();
}

function describePayload(type: number, payload: Buffer): string {
  if (type === 2) {
    const nameBytes = payload.readUInt32BE(0);
    return `"${payload.subarray(4, 4 + nameBytes)}" "${payload.subarray(4 + nameBytes)}"`;
  }
  if (type === 4) return `${payload.readUInt32BE(0)} ${payload.subarray(4)}`;
  if (type !== 3) return payload.toString('hex');
  const info = payload.readUInt16BE(0);
  if (info === 0) return `export ${payload.readBigUInt64BE(2)} bytes, flags 0x${payload.readUInt16BE(10).toString(16)}`;
  if (info === 3) return `block sizes ${payload.readUInt32BE(2)} ${payload.readUInt32BE(6)} ${payload.readUInt32BE(10)}`;
  return `${info === 1 ? 'name' : 'description'} "${payload.subarray(2)}"`;
}

export interface Reply {
  readonly cookie: bigint;
  /** 0 or the protocol's error. */
  readonly error: number;
  readonly isStructured: boolean;
  /** Content chunks, or the payload of a simple reply. */
  readonly chunks: readonly { readonly type: number; readonly payload: Buffer }[];
}

/** Reads replies from a byte stream. `readLengths` says how long the data of a simple reply to a READ is, by cookie. */
export class ReplyParser {
  readonly replies: Reply[] = [];
  readonly readLengths = new Map<bigint, number>();
  #bytes: Buffer = Buffer.alloc(0);
  readonly #open = new Map<bigint, { type: number; payload: Buffer }[]>();

  get leftoverBytes(): number {
    return this.#bytes.length;
  }

  push(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    while (this.#takeOne()) continue;
  }

  /** The reply to `cookie`; throws when there is none or more than one. */
  of(cookie: number | bigint): Reply {
    const found = this.replies.filter((reply) => reply.cookie === BigInt(cookie));
    if (found.length !== 1) throw new Error(`${found.length} replies to request ${cookie}`);
    return found[0]!;
  }

  #takeOne(): boolean {
    const bytes = this.#bytes;
    if (bytes.length < 16) return false;
    const magic = bytes.readUInt32BE(0);
    if (magic === 0x67446698) return this.#takeSimple(bytes);
    if (magic !== 0x668e33ef) throw new Error(`not a reply: ${bytes.subarray(0, 32).toString('hex')}`);
    if (bytes.length < 20 || bytes.length < 20 + bytes.readUInt32BE(16)) return false;
    const end = 20 + bytes.readUInt32BE(16);
    const cookie = bytes.readBigUInt64BE(8);
    const chunks = this.#open.get(cookie) ?? [];
    this.#open.set(cookie, chunks);
    chunks.push({ type: bytes.readUInt16BE(6), payload: Buffer.from(bytes.subarray(20, end)) });
    if ((bytes.readUInt16BE(4) & 1) !== 0) {
      this.#open.delete(cookie);
      const failed = chunks.find((chunk) => chunk.type >= 0x8000);
      this.replies.push({ cookie, error: failed?.payload.readUInt32BE(0) ?? 0, isStructured: true, chunks });
    }
    this.#bytes = bytes.subarray(end);
    return true;
  }

  #takeSimple(bytes: Buffer): boolean {
    const error = bytes.readUInt32BE(4);
    const cookie = bytes.readBigUInt64BE(8);
    const length = error === 0 ? (this.readLengths.get(cookie) ?? 0) : 0;
    if (bytes.length < 16 + length) return false;
    const chunks = length === 0 ? [] : [{ type: 0, payload: Buffer.from(bytes.subarray(16, 16 + length)) }];
    this.replies.push({ cookie, error, isStructured: false, chunks });
    this.#bytes = bytes.subarray(16 + length);
    return true;
  }
}
