// One HTTP/1.x answer, from bytes that arrive in any pieces: head, then a body by content-length, in chunks, or up to the end of
// the connection. Pure. Used by http-client.ts. Errors: PROTOCOL_ERROR for what is not HTTP or longer than the limits.
import { PfError } from '../../base/errors.ts';
import { KiB, MiB, formatSize } from '../../base/sizes.ts';
import type { HttpResponse } from '../http.ts';

const MAX_HEAD_BYTES = 64 * KiB;
const MAX_BODY_BYTES = 64 * MiB;

export class ResponseParser {
  readonly #action: string;
  #bytes: Buffer = Buffer.alloc(0);
  #headBytes = -1;
  #status = 0;
  #headers: Record<string, string> = {};
  #body: Buffer | null = null;

  /** `action`: how errors begin. */
  constructor(action: string) {
    this.#action = action;
  }

  /** Not a byte of an answer has come. */
  get isUntouched(): boolean {
    return this.#bytes.length === 0;
  }

  get keepsAlive(): boolean {
    return this.#body !== null && this.#headers['connection']?.toLowerCase() !== 'close' && this.#hasFraming;
  }

  /** True when the answer is complete. */
  push(piece: Buffer): boolean {
    this.#bytes = this.#bytes.length === 0 ? piece : Buffer.concat([this.#bytes, piece]);
    if (this.#headBytes < 0 && !this.#readHead()) return false;
    if (this.#bytes.length - this.#headBytes > MAX_BODY_BYTES + MAX_HEAD_BYTES) throw this.#tooLong();
    if (this.#headers['transfer-encoding'] !== undefined) this.#body = this.#readChunks();
    else if (this.#headers['content-length'] !== undefined) this.#body = this.#readCounted();
    else if (this.#status === 204 || this.#status === 304) this.#body = Buffer.alloc(0);
    return this.#body !== null;
  }

  /** The connection has ended: true when that completes the answer. */
  end(): boolean {
    if (this.#headBytes < 0 || this.#hasFraming) return false;
    this.#body = this.#bytes.subarray(this.#headBytes);
    return true;
  }

  /** Why an answer that has not completed is a failure. */
  cutShort(): PfError {
    const what = this.isUntouched
      ? 'the connection was closed without an answer'
      : `the answer ends after ${this.#bytes.length} bytes`;
    return new PfError('CONNECTION_LOST', `${this.#action}: ${what}`);
  }

  /** Once complete. */
  response(): HttpResponse {
    const body = this.#body!;
    return {
      status: this.#status,
      contentType: this.#headers['content-type'] ?? '',
      body: new Uint8Array(body.buffer, body.byteOffset, body.length),
      headers: this.#headers,
    };
  }

  get #hasFraming(): boolean {
    return this.#headers['content-length'] !== undefined || this.#headers['transfer-encoding'] !== undefined;
  }

  #readHead(): boolean {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end < 0) {
      if (this.#bytes.length > MAX_HEAD_BYTES || !'HTTP/'.startsWith(this.#bytes.toString('latin1', 0, 5))) throw this.#notHttp();
      return false;
    }
    const [statusLine, ...lines] = this.#bytes.toString('latin1', 0, end).split('\r\n');
    const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine!);
    if (status === null) throw this.#notHttp();
    this.#status = Number(status[1]);
    for (const line of lines) {
      const colon = line.indexOf(':');
      if (colon <= 0) throw this.#notHttp();
      this.#headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    this.#headBytes = end + 4;
    return true;
  }

  #readCounted(): Buffer | null {
    const text = this.#headers['content-length']!;
    const length = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (Number.isNaN(length)) throw this.#notHttp();
    if (length > MAX_BODY_BYTES) throw this.#tooLong();
    const end = this.#headBytes + length;
    return this.#bytes.length >= end ? this.#bytes.subarray(this.#headBytes, end) : null;
  }

  #readChunks(): Buffer | null {
    const chunks: Buffer[] = [];
    let at = this.#headBytes;
    for (;;) {
      const lineEnd = this.#bytes.indexOf('\r\n', at);
      if (lineEnd < 0) return null;
      const size = /^([0-9a-f]{1,8})(?:;.*)?$/i.exec(this.#bytes.toString('latin1', at, lineEnd));
      if (size === null) throw this.#notHttp();
      const length = parseInt(size[1]!, 16);
      const start = lineEnd + 2;
      if (this.#bytes.length < start + length + 2) return null;
      if (length === 0) return Buffer.concat(chunks);
      chunks.push(this.#bytes.subarray(start, start + length));
      at = start + length + 2;
    }
  }

  #notHttp(): PfError {
    return new PfError('PROTOCOL_ERROR', `${this.#action}: the answer is not HTTP`);
  }

  #tooLong(): PfError {
    return new PfError('PROTOCOL_ERROR', `${this.#action}: the answer is longer than ${formatSize(MAX_BODY_BYTES)}`);
  }
}
