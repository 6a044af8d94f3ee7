// Cuts the byte stream of the transmission phase into requests and payloads, at any split of the stream.
// Owned by Transmission, its RequestSink, which decides about every head. Payloads go into slots: copied while they are
// small or already here, received straight into the slot where 8 KiB or more are still to come.
// When the sink has no room the reader stalls: it keeps what it was given, pauses the stream and waits for resume().
import type { IoMemory } from '../world/memory.ts';
import type { Stream } from '../world/network.ts';
import type { LargeWrite } from './large-write.ts';
import { CMD_DISC, REQUEST_BYTES } from './protocol.ts';
import { RequestHead } from './request-head.ts';
import type { RequestRecord } from './request-record.ts';

/** Answers to takeHead(). */
export const STALL = 0;
export const TAKEN = 1;
/** Its payload goes into sink.takenRecord's slot. */
export const RECEIVE = 2;
/** Its payload comes in pieces of sink.takenLargeWrite. */
export const RECEIVE_LARGE = 3;
/** sink.takenRecord is refused, but its payload follows all the same. */
export const SKIP_PAYLOAD = 4;
export type TakeResult = typeof STALL | typeof TAKEN | typeof RECEIVE | typeof RECEIVE_LARGE | typeof SKIP_PAYLOAD;

export interface RequestSink {
  readonly takenRecord: RequestRecord | null;
  readonly takenLargeWrite: LargeWrite | null;
  takeHead(head: RequestHead): TakeResult;
  payloadArrived(record: RequestRecord): void;
  payloadSkipped(record: RequestRecord): void;
  payloadAbandoned(record: RequestRecord): void;
  disconnectAsked(): void;
  notARequest(): void;
}

const DIRECT_BYTES = 8 * 1024;

export class RequestReader {
  readonly #stream: Stream;
  readonly #memory: IoMemory;
  readonly #sink: RequestSink;
  readonly #head = new RequestHead();
  /** A complete head that the sink has not taken yet. */
  #isHeadWaiting = false;
  /** The first bytes of a head that was split. */
  readonly #carry = new Uint8Array(REQUEST_BYTES);
  readonly #carryView = new DataView(this.#carry.buffer);
  #carryBytes = 0;
  /** The WRITE, or the piece of one, whose payload is arriving. */
  #record: RequestRecord | null = null;
  #recordFill = 0;
  #large: LargeWrite | null = null;
  /** The refused WRITE whose payload is going by. */
  #refused: RequestRecord | null = null;
  #skipBytes = 0;
  #isStalled = false;
  #isParsing = false;
  #isStopped = false;
  /** Bytes that arrived before the reader could take them; only while stalled. */
  #backlog: Uint8Array[] = [];

  constructor(stream: Stream, memory: IoMemory, sink: RequestSink) {
    this.#stream = stream;
    this.#memory = memory;
    this.#sink = sink;
  }

  /** Requests that have begun to arrive and will not be answered if nothing more comes. */
  get unfinishedRecords(): number {
    return (this.#record === null ? 0 : 1) + (this.#large === null ? 0 : 1) + (this.#refused === null ? 0 : 1);
  }

  /** It has cut everything that came, and no request has come in part. */
  get isAtRest(): boolean {
    return !this.#isStalled && !this.#isHeadWaiting && this.#carryBytes === 0 && this.unfinishedRecords === 0;
  }

  onBytes(offset: number, length: number): void {
    if (this.#isStopped) return;
    const end = offset + length;
    if (this.#isStalled) {
      this.#backlog.push(this.#memory.bytes.slice(offset, end));
      return;
    }
    const consumed = this.#parse(this.#memory.bytes, this.#memory.view, offset, end);
    if (this.#isStalled && consumed < end) this.#backlog.push(this.#memory.bytes.slice(consumed, end));
    this.#receiveDirectly();
  }

  /** The slot of the current record is full. */
  onDirect(): void {
    const record = this.#record;
    if (record === null || this.#isStopped) return;
    this.#payloadArrived(record);
    this.#parse(this.#memory.bytes, this.#memory.view, 0, 0);
    this.#receiveDirectly();
  }

  /** Takes bytes that the handshake had received already. Called once, before anything else. */
  feed(bytes: Uint8Array): void {
    this.#isStalled = true;
    this.#backlog.push(bytes);
    this.resume();
  }

  /** Something was freed: goes on if it had stalled. Cheap to call. */
  resume(): void {
    if (!this.#isStalled || this.#isParsing || this.#isStopped) return;
    this.#isStalled = false;
    let bytes = this.#backlog.shift() ?? this.#carry.subarray(0, 0);
    for (;;) {
      const consumed = this.#parse(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length);
      if (this.#isStopped) return;
      if (this.#isStalled) {
        if (consumed < bytes.length) this.#backlog.unshift(bytes.subarray(consumed));
        return;
      }
      const next = this.#backlog.shift();
      if (next === undefined) break;
      bytes = next;
    }
    this.#stream.resumeReceiving();
  }

  /** Takes nothing more. A payload that is arriving stays in its slot until abandon(). */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#backlog = [];
    this.#stream.pauseReceiving();
  }

  /** The stream is closed: gives up what has not arrived whole. */
  abandon(): void {
    this.#isStopped = true;
    this.#backlog = [];
    const record = this.#record;
    const large = this.#large;
    const refused = this.#refused;
    this.#record = null;
    this.#large = null;
    this.#refused = null;
    if (record !== null) this.#sink.payloadAbandoned(record);
    if (refused !== null) this.#sink.payloadAbandoned(refused);
    large?.abandon();
  }

  /** Consumes what it can of [at, end) and answers where it stopped: at `end`, unless it stalled or was stopped. */
  #parse(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    this.#isParsing = true;
    while (!this.#isStopped) {
      if (this.#record !== null) {
        if (at === end) break;
        at = this.#copyPayload(this.#record, bytes, at, end);
      } else if (this.#large !== null) {
        this.#record = this.#large.takePiece();
        if (this.#record === null) {
          this.#stall();
          break;
        }
      } else if (this.#refused !== null) {
        if (at === end) break;
        at = this.#skipPayload(this.#refused, at, end);
      } else if (this.#isHeadWaiting) {
        if (!this.#offerHead()) break;
      } else {
        if (at === end) break;
        at = this.#readHead(bytes, view, at, end);
      }
    }
    this.#isParsing = false;
    return at;
  }

  #readHead(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    let isRequest: boolean;
    if (this.#carryBytes === 0 && end - at >= REQUEST_BYTES) {
      isRequest = this.#head.read(view, at);
      at += REQUEST_BYTES;
    } else {
      const taken = Math.min(REQUEST_BYTES - this.#carryBytes, end - at);
      for (let index = 0; index < taken; index++) this.#carry[this.#carryBytes + index] = bytes[at + index]!;
      this.#carryBytes += taken;
      at += taken;
      if (this.#carryBytes < REQUEST_BYTES) return at;
      this.#carryBytes = 0;
      isRequest = this.#head.read(this.#carryView, 0);
    }
    if (!isRequest) this.#sink.notARequest();
    else this.#isHeadWaiting = true;
    return at;
  }

  /** False when the sink has no room now. */
  #offerHead(): boolean {
    if (this.#head.command === CMD_DISC) {
      this.#isHeadWaiting = false;
      this.stop();
      this.#sink.disconnectAsked();
      return false;
    }
    const result = this.#sink.takeHead(this.#head);
    if (result === STALL) {
      this.#stall();
      return false;
    }
    this.#isHeadWaiting = false;
    if (result === RECEIVE) this.#record = this.#sink.takenRecord;
    else if (result === RECEIVE_LARGE) this.#large = this.#sink.takenLargeWrite;
    else if (result === SKIP_PAYLOAD) {
      this.#refused = this.#sink.takenRecord;
      this.#skipBytes = this.#head.length;
    }
    return true;
  }

  #copyPayload(record: RequestRecord, bytes: Uint8Array, at: number, end: number): number {
    const taken = Math.min(record.block.length - this.#recordFill, end - at);
    const target = record.slot + this.#recordFill;
    const arena = this.#memory.bytes;
    if (bytes === arena) arena.copyWithin(target, at, at + taken);
    else arena.set(bytes.subarray(at, at + taken), target);
    this.#recordFill += taken;
    if (this.#recordFill === record.block.length) this.#payloadArrived(record);
    return at + taken;
  }

  #skipPayload(refused: RequestRecord, at: number, end: number): number {
    const skipped = Math.min(this.#skipBytes, end - at);
    this.#skipBytes -= skipped;
    if (this.#skipBytes === 0) {
      this.#refused = null;
      this.#sink.payloadSkipped(refused);
    }
    return at + skipped;
  }

  #payloadArrived(record: RequestRecord): void {
    this.#record = null;
    this.#recordFill = 0;
    const large = this.#large;
    if (large === null) {
      this.#sink.payloadArrived(record);
      return;
    }
    if (large.remainingBytes === 0) this.#large = null;
    large.pieceArrived(record);
  }

  /** The last act of onBytes and onDirect. */
  #receiveDirectly(): void {
    const record = this.#record;
    if (record === null || this.#isStalled || this.#isStopped) return;
    const missing = record.block.length - this.#recordFill;
    if (missing >= DIRECT_BYTES) this.#stream.receiveInto(record.slot + this.#recordFill, missing);
  }

  #stall(): void {
    this.#isStalled = true;
    this.#stream.pauseReceiving();
  }
}
