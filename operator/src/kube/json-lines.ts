// Cuts a watch's byte stream into lines and parses them. Pure; called by the HTTPS client, fuzzed by its test.
// A line may come in any number of pieces. Errors, after which the stream is of no more use: PROTOCOL_ERROR for a line longer than the
// limit or one that is no JSON object.
import { PfError, formatSize } from '@pureflash/datapath/base';

export const MAX_LINE_BYTES = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

export class JsonLines {
  readonly #onLine: (value: Readonly<Record<string, unknown>>) => void;
  readonly #maxLineBytes: number;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;

  constructor(onLine: (value: Readonly<Record<string, unknown>>) => void, maxLineBytes = MAX_LINE_BYTES) {
    this.#onLine = onLine;
    this.#maxLineBytes = maxLineBytes;
  }

  /** Bytes of a line whose end has not come. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** `chunk` may be kept until the line ends: the caller must not write to it again. */
  push(chunk: Uint8Array): void {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#hold(chunk.subarray(from, end));
      from = end + 1;
      this.#emit();
    }
    if (from < chunk.length) this.#hold(chunk.subarray(from));
  }

  /** The stream has ended: a last line without its newline counts if it is whole. */
  end(): void {
    if (this.#heldBytes > 0) this.#emit();
  }

  #hold(piece: Uint8Array): void {
    this.#heldBytes += piece.length;
    if (this.#heldBytes > this.#maxLineBytes) {
      this.#pieces = [];
      this.#heldBytes = 0;
      throw new PfError('PROTOCOL_ERROR', `a line of the watch is longer than ${formatSize(this.#maxLineBytes)}`);
    }
    if (piece.length > 0) this.#pieces.push(piece);
  }

  #emit(): void {
    const line = this.#pieces.length === 1 ? this.#pieces[0]! : join(this.#pieces, this.#heldBytes);
    this.#pieces = [];
    this.#heldBytes = 0;
    if (line.length > 0) this.#onLine(this.#parse(line));
  }

  #parse(line: Uint8Array): Readonly<Record<string, unknown>> {
    let value: unknown;
    try {
      value = JSON.parse(this.#decoder.decode(line));
    } catch (cause) {
      throw new PfError('PROTOCOL_ERROR', `a line of ${line.length} bytes in the watch is not JSON`, { cause });
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
    throw new PfError('PROTOCOL_ERROR', `a line of ${line.length} bytes in the watch is not a JSON object`);
  }
}

function join(pieces: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  const whole = new Uint8Array(lengthBytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
