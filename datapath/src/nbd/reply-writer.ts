// Bytes of the replies of one connection, written straight into its output. Used by Transmission and LargeRead.
// Heads of data are written into `memory` right before the payload, so that both leave as one piece; everything else
// is short and goes through stream.reserve(). Where that has no room any more the owner must end the connection: the
// client must never get half an answer.
import { PfError } from '../base/errors.ts';
import type { BlockExtent } from '../block/device.ts';
import type { Completion } from '../world/completion.ts';
import type { IoMemory } from '../world/memory.ts';
import type { Stream } from '../world/network.ts';
import * as p from './protocol.ts';

/** Payloads up to this size are copied into the output, larger ones are sent from where they lie. */
export const COPIED_PAYLOAD_BYTES = 16 * 1024;
/** Extents in one BLOCK_STATUS reply; clients ask again for the rest. */
export const MAX_EXTENTS = 2048;
const CHUNK_DATA_HEAD_BYTES = p.CHUNK_HEAD_BYTES + 8;

export interface OutputOwner {
  /** There is no room for output any more. */
  outputFailed(error: PfError): void;
}

export class ReplyWriter {
  readonly isStructured: boolean;
  readonly #owner: OutputOwner;
  readonly #stream: Stream;
  readonly #memory: IoMemory;
  readonly #dataHeadBytes: number;

  constructor(owner: OutputOwner, stream: Stream, memory: IoMemory, isStructured: boolean) {
    this.#owner = owner;
    this.#stream = stream;
    this.#memory = memory;
    this.isStructured = isStructured;
    this.#dataHeadBytes = isStructured ? CHUNK_DATA_HEAD_BYTES : p.SIMPLE_REPLY_BYTES;
  }

  /** The answer to anything but a successful read or map. `error` is the protocol's number, or 0. */
  status(command: number, error: number, cookieHigh: number, cookieLow: number): void {
    const mustBeChunk = this.isStructured && (command === p.CMD_READ || command === p.CMD_BLOCK_STATUS);
    if (!mustBeChunk) {
      const at = this.#reserve(p.SIMPLE_REPLY_BYTES);
      if (at !== 0) this.#putSimpleHead(at, error, cookieHigh, cookieLow);
    } else if (error === 0) {
      const at = this.#reserve(p.CHUNK_HEAD_BYTES);
      if (at !== 0) this.#putChunkHead(at, p.CHUNK_FLAG_DONE, p.CHUNK_NONE, cookieHigh, cookieLow, 0);
    } else {
      const at = this.#reserve(p.CHUNK_HEAD_BYTES + 6);
      if (at === 0) return;
      this.#putChunkHead(at, p.CHUNK_FLAG_DONE, p.CHUNK_ERROR, cookieHigh, cookieLow, 6);
      this.#memory.view.setUint32(at + 20, error);
      this.#memory.view.setUint16(at + 24, 0);
    }
  }

  /** Copies the data of a small read, head first, into the output: `memoryOffset` is free again on return. */
  copiedData(memoryOffset: number, length: number, deviceOffset: number, cookieHigh: number, cookieLow: number): void {
    const at = this.#reserve(this.#dataHeadBytes + length);
    if (at === 0) return;
    this.#putDataHead(at, length, deviceOffset, p.CHUNK_FLAG_DONE, cookieHigh, cookieLow);
    this.#memory.bytes.copyWithin(at + this.#dataHeadBytes, memoryOffset, memoryOffset + length);
  }

  /** Sends the data of a whole read from where it lies; `memoryOffset` is a slot's, whose headroom takes the head. */
  ownedData(
    memoryOffset: number,
    length: number,
    deviceOffset: number,
    cookieHigh: number,
    cookieLow: number,
    sent: Completion,
  ): void {
    const start = memoryOffset - this.#dataHeadBytes;
    this.#putDataHead(start, length, deviceOffset, p.CHUNK_FLAG_DONE, cookieHigh, cookieLow);
    this.#stream.writeOwned(start, this.#dataHeadBytes + length, sent);
  }

  /** One piece of a read that is answered in several: a chunk of its own, or (simple replies) a part of the one payload. */
  pieceData(
    memoryOffset: number,
    length: number,
    deviceOffset: number,
    isFirst: boolean,
    isLast: boolean,
    cookieHigh: number,
    cookieLow: number,
    sent: Completion,
  ): void {
    const headBytes = this.isStructured || isFirst ? this.#dataHeadBytes : 0;
    const start = memoryOffset - headBytes;
    if (headBytes > 0) this.#putDataHead(start, length, deviceOffset, isLast ? p.CHUNK_FLAG_DONE : 0, cookieHigh, cookieLow);
    this.#stream.writeOwned(start, headBytes + length, sent);
  }

  /** The last chunk of a structured read that failed at `deviceOffset`. */
  errorAt(deviceOffset: number, error: number, cookieHigh: number, cookieLow: number): void {
    const at = this.#reserve(p.CHUNK_HEAD_BYTES + 14);
    if (at === 0) return;
    this.#putChunkHead(at, p.CHUNK_FLAG_DONE, p.CHUNK_ERROR_OFFSET, cookieHigh, cookieLow, 14);
    this.#memory.view.setUint32(at + 20, error);
    this.#memory.view.setUint16(at + 24, 0);
    this.#putOffset(at + 26, deviceOffset);
  }

  /** At most MAX_EXTENTS of them; at least one. */
  blockStatus(extents: readonly BlockExtent[], cookieHigh: number, cookieLow: number): void {
    const payloadBytes = 4 + 8 * extents.length;
    const at = this.#reserve(p.CHUNK_HEAD_BYTES + payloadBytes);
    if (at === 0) return;
    const view = this.#memory.view;
    this.#putChunkHead(at, p.CHUNK_FLAG_DONE, p.CHUNK_BLOCK_STATUS, cookieHigh, cookieLow, payloadBytes);
    view.setUint32(at + 20, p.BASE_ALLOCATION_ID);
    extents.forEach((extent, index) => {
      view.setUint32(at + 24 + 8 * index, extent.length);
      view.setUint32(at + 28 + 8 * index, (extent.isAllocated ? 0 : p.STATE_HOLE) | (extent.isZero ? p.STATE_ZERO : 0));
    });
  }

  #putDataHead(at: number, length: number, deviceOffset: number, flags: number, cookieHigh: number, cookieLow: number): void {
    if (!this.isStructured) {
      this.#putSimpleHead(at, 0, cookieHigh, cookieLow);
      return;
    }
    this.#putChunkHead(at, flags, p.CHUNK_OFFSET_DATA, cookieHigh, cookieLow, 8 + length);
    this.#putOffset(at + 20, deviceOffset);
  }

  #putSimpleHead(at: number, error: number, cookieHigh: number, cookieLow: number): void {
    const view = this.#memory.view;
    view.setUint32(at, p.SIMPLE_REPLY_MAGIC);
    view.setUint32(at + 4, error);
    view.setInt32(at + 8, cookieHigh);
    view.setInt32(at + 12, cookieLow);
  }

  #putChunkHead(at: number, flags: number, type: number, cookieHigh: number, cookieLow: number, payloadBytes: number): void {
    const view = this.#memory.view;
    view.setUint32(at, p.CHUNK_MAGIC);
    view.setUint16(at + 4, flags);
    view.setUint16(at + 6, type);
    view.setInt32(at + 8, cookieHigh);
    view.setInt32(at + 12, cookieLow);
    view.setUint32(at + 16, payloadBytes);
  }

  #putOffset(at: number, offset: number): void {
    this.#memory.view.setUint32(at, Math.floor(offset / 4294967296));
    this.#memory.view.setUint32(at + 4, offset >>> 0);
  }

  /** 0 when the I/O memory is exhausted; the owner has been told then. */
  #reserve(length: number): number {
    try {
      return this.#stream.reserve(length);
    } catch (error) {
      if (!(error instanceof PfError)) throw error;
      this.#owner.outputFailed(error);
      return 0;
    }
  }
}
