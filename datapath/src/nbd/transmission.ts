// The transmission phase of one connection: requests in, device requests out, replies in the order of completion.
// Created by NbdConnection when negotiation ends, which also passes the stream's events on.
//
//   request bytes -> RequestReader -> take*() -> admit -> device -> recordDone -> reply -> (recordSent) -> recycle
//
// Invariants: every admitted request is answered once, unless the stream is gone; a slot is given back once its payload
// has been written to the device or copied or sent; at most maxRequests and maxPayloadBytes are in flight (then the
// reader stalls and the stream is paused); while a large simple-reply read is being sent nothing else is.
import type { PfError } from '../base/errors.ts';
import { READ, WRITE, FLUSH, TRIM, WRITE_ZEROES, FLAG_FUA, FLAG_NO_HOLE } from '../block/device.ts';
import type { BlockDevice, BlockExtent, BlockOperation } from '../block/device.ts';
import type { IoMemory } from '../world/memory.ts';
import type { Stream } from '../world/network.ts';
import { LargeRead } from './large-read.ts';
import { LargeWrite } from './large-write.ts';
import * as p from './protocol.ts';
import { COPIED_PAYLOAD_BYTES, MAX_EXTENTS, ReplyWriter, type OutputOwner } from './reply-writer.ts';
import type { RequestHead } from './request-head.ts';
import { RECEIVE, RECEIVE_LARGE, RequestReader, SKIP_PAYLOAD, STALL, TAKEN } from './request-reader.ts';
import type { RequestSink, TakeResult } from './request-reader.ts';
import { RequestRecord, type RecordOwner } from './request-record.ts';
import { refusalOf, rulesFor, type RequestRules } from './request-rules.ts';
import { wireErrorOf } from './wire-error.ts';

export interface TransmissionLimits {
  readonly maxRequests: number;
  readonly maxPayloadBytes: number;
}

export interface TransmissionOptions {
  readonly hasStructuredReplies: boolean;
  readonly hasBlockStatus: boolean;
  readonly limits: TransmissionLimits;
  /** Called once, when the stream is closed and nothing is in flight any more: the device is not used afterwards. */
  readonly onOver: () => void;
  /** A client that breaks the protocol, for the log. */
  readonly onViolation: (message: string) => void;
}

export class Transmission implements RequestSink, RecordOwner, OutputOwner {
  readonly memory: IoMemory;
  readonly device: BlockDevice;
  readonly writer: ReplyWriter;
  readonly reader: RequestReader;
  /** The stream is closed or being destroyed: nothing is written any more. */
  isGone = false;
  /** What takeHead() has taken last, for the reader. */
  takenRecord: RequestRecord | null = null;
  takenLargeWrite: LargeWrite | null = null;
  readonly #stream: Stream;
  readonly #options: TransmissionOptions;
  readonly #rules: RequestRules;
  readonly #free: RequestRecord[] = [];
  /** Heads taken so far. */
  requestCount = 0;
  #requestsInFlight = 0;
  #payloadInFlight = 0;
  /** No new request is taken: DISC came, the server drains, or the stream is gone. */
  #isEnding = false;
  #hasEnded = false;
  #isClosed = false;
  #isOver = false;
  #isWaitingForSlot = false;
  /** Large reads, one at a time. */
  readonly #largeReads: LargeRead[] = [];
  /** While a large read is being sent as one simple reply: finished requests that wait for its end. */
  #isOutputTaken = false;
  /** While the client is being handed over: answers wait for its silence. */
  #isHolding = false;
  readonly #held: RequestRecord[] = [];

  constructor(stream: Stream, memory: IoMemory, device: BlockDevice, options: TransmissionOptions) {
    this.memory = memory;
    this.device = device;
    this.#stream = stream;
    this.#options = options;
    this.#rules = rulesFor(device, options.hasStructuredReplies, options.hasBlockStatus);
    this.writer = new ReplyWriter(this, stream, memory, options.hasStructuredReplies);
    this.reader = new RequestReader(stream, memory, this);
  }

  get requestsInFlight(): number {
    return this.#requestsInFlight;
  }

  /** Everything that came is ready to be answered (holdReplies), and nothing has come in part. */
  get isAtRest(): boolean {
    return !this.#isOutputTaken && this.reader.isAtRest && this.#requestsInFlight === this.#held.length;
  }

  /** Answers are made, but not sent, until releaseReplies(). */
  holdReplies(): void {
    this.#isHolding = true;
  }

  releaseReplies(): void {
    this.#isHolding = false;
    if (!this.#isOutputTaken) this.releaseOutput();
  }

  onDrain(): void {
    this.reader.resume();
  }

  onClosed(): void {
    this.#isClosed = true;
    this.isGone = true;
    this.#isEnding = true;
    this.reader.abandon();
    this.#giveUpOutput();
    this.#settle();
  }

  /** Takes no further request; answers what is in flight, then ends the stream. */
  drain(): void {
    this.#isEnding = true;
    this.reader.stop();
    this.#settle();
  }

  // What the reader asks and tells.

  takeHead(head: RequestHead): TakeResult {
    const { maxRequests, maxPayloadBytes } = this.#options.limits;
    if (this.#requestsInFlight >= maxRequests || this.#payloadInFlight >= maxPayloadBytes || this.#stream.isCongested)
      return STALL;
    const { command, length } = head;
    const error = refusalOf(this.#rules, command, head.flags, head.offset, length);
    const needsSlot = error === 0 && command <= p.CMD_WRITE && length > 0 && length <= this.device.maximumIoBytes;
    let slot = 0;
    if (needsSlot) {
      slot = this.acquireSlot(length);
      if (slot === 0) return STALL;
    }
    this.requestCount += 1;
    const record = this.takeRecord();
    if (needsSlot) this.countPayload(record, length);
    record.command = command;
    record.cookieHigh = head.cookieHigh;
    record.cookieLow = head.cookieLow;
    record.error = error;
    record.slot = slot;
    const block = record.block;
    block.flags = (head.flags & p.CMD_FLAG_FUA) !== 0 ? FLAG_FUA : 0;
    block.offset = head.offset;
    block.length = length;
    block.memory = slot;
    block.result = 0;
    if (command === p.CMD_WRITE && length > 0) return this.#takeWrite(record);
    if (error !== 0) this.#finish(record);
    else this.#start(record, head.flags);
    return TAKEN;
  }

  #takeWrite(record: RequestRecord): TakeResult {
    this.takenRecord = record;
    if (record.error !== 0) return SKIP_PAYLOAD;
    if (record.slot !== 0) return RECEIVE;
    this.takenLargeWrite = new LargeWrite(this, record);
    return RECEIVE_LARGE;
  }

  /** The payload of a WRITE (or of a piece of one) is complete in its slot. */
  payloadArrived(record: RequestRecord): void {
    record.block.operation = WRITE;
    this.device.submit(record.block);
  }

  /** The payload of a refused WRITE has gone by: clients do not expect an answer before. */
  payloadSkipped(record: RequestRecord): void {
    this.#finish(record);
  }

  /** An unfinished WRITE is given up. */
  payloadAbandoned(record: RequestRecord): void {
    this.recycle(record);
  }

  disconnectAsked(): void {
    this.#isEnding = true;
    this.#settle();
  }

  notARequest(): void {
    this.#options.onViolation('the client sent bytes that are not a request');
    this.abort();
  }

  outputFailed(error: PfError): void {
    this.#options.onViolation(error.message);
    this.abort();
  }

  /** Ends the connection at once. */
  abort(): void {
    this.isGone = true;
    this.#isEnding = true;
    this.reader.stop();
    this.#stream.destroy();
    this.#giveUpOutput();
  }

  // Records.

  takeRecord(): RequestRecord {
    this.#requestsInFlight += 1;
    return this.#free.pop() ?? new RequestRecord(this);
  }

  countPayload(record: RequestRecord, length: number): void {
    record.payloadBytes = length;
    this.#payloadInFlight += length;
  }

  /** 0 when there is none now; the reader is resumed when there may be one. */
  acquireSlot(sizeBytes: number): number {
    const slot = this.memory.acquireSlot(sizeBytes);
    if (slot === 0 && !this.#isWaitingForSlot) {
      this.#isWaitingForSlot = true;
      this.memory.whenSlotFree(sizeBytes, this);
    }
    return slot;
  }

  /** Waiter of acquireSlot(). */
  complete(): void {
    this.#isWaitingForSlot = false;
    this.reader.resume();
  }

  recycle(record: RequestRecord): void {
    if (record.slot !== 0) {
      this.memory.releaseSlot(record.slot);
      record.slot = 0;
    }
    this.#payloadInFlight -= record.payloadBytes;
    record.payloadBytes = 0;
    record.whole = null;
    record.isDone = false;
    record.error = 0;
    this.#requestsInFlight -= 1;
    this.#free.push(record);
    if (this.#isEnding) this.#settle();
    else this.reader.resume();
  }

  recordDone(record: RequestRecord): void {
    if (record.block.result !== 0) record.error = wireErrorOf(record.block.result);
    this.#finish(record);
  }

  recordSent(record: RequestRecord): void {
    this.recycle(record);
  }

  outputLost(): void {
    this.isGone = true;
  }

  // Large reads.

  largeReadOver(): void {
    this.#largeReads.shift();
    this.#largeReads[0]?.start();
  }

  /** From here until releaseOutput() only the large read writes. */
  takeOutput(): void {
    this.#isOutputTaken = true;
  }

  releaseOutput(): void {
    this.#isOutputTaken = false;
    for (const record of this.#held.splice(0)) this.#finish(record);
  }

  /** Nothing can be sent any more: what waits for output, or for a slot to be sent from, is let go. */
  #giveUpOutput(): void {
    this.#isHolding = false;
    this.releaseOutput();
    this.#largeReads[0]?.start();
  }

  #start(record: RequestRecord, flags: number): void {
    const block = record.block;
    switch (record.command) {
      case p.CMD_READ:
        if (block.length > this.device.maximumIoBytes) this.#startLargeRead(record);
        else if (block.length === 0) this.#finish(record);
        else this.#submit(record, READ);
        return;
      case p.CMD_FLUSH:
        return this.#submit(record, FLUSH);
      case p.CMD_TRIM:
        return this.#submit(record, TRIM);
      case p.CMD_WRITE_ZEROES:
        if ((flags & p.CMD_FLAG_NO_HOLE) !== 0) block.flags |= FLAG_NO_HOLE;
        return this.#submit(record, WRITE_ZEROES);
      case p.CMD_BLOCK_STATUS:
        void this.#mapRange(record, (flags & p.CMD_FLAG_REQ_ONE) !== 0);
        return;
      default:
        // CACHE has nothing to be read ahead into, and a WRITE without bytes nothing to write.
        this.#finish(record);
    }
  }

  #submit(record: RequestRecord, operation: BlockOperation): void {
    record.block.operation = operation;
    this.device.submit(record.block);
  }

  #startLargeRead(record: RequestRecord): void {
    const read = new LargeRead(this, record);
    if (this.#largeReads.push(read) === 1) read.start();
  }

  async #mapRange(record: RequestRecord, isOneWanted: boolean): Promise<void> {
    let extents: readonly BlockExtent[] = [];
    try {
      extents = await this.device.extents(record.block.offset, record.block.length);
    } catch {
      record.error = p.NBD_EIO;
    }
    if (record.error === 0 && !this.isGone && extents.length > 0) {
      this.writer.blockStatus(extents.slice(0, isOneWanted ? 1 : MAX_EXTENTS), record.cookieHigh, record.cookieLow);
      this.recycle(record);
      return;
    }
    if (record.error === 0) record.error = p.NBD_EIO;
    this.#finish(record);
  }

  /** Answers, and lets go of the record now or when its payload has been sent. */
  #finish(record: RequestRecord): void {
    if (this.isGone) return this.recycle(record);
    if (this.#isOutputTaken || this.#isHolding) {
      this.#held.push(record);
      return;
    }
    const { block, cookieHigh, cookieLow } = record;
    if (record.command !== p.CMD_READ || record.error !== 0 || block.length === 0) {
      this.writer.status(record.command, record.error, cookieHigh, cookieLow);
    } else if (block.length <= COPIED_PAYLOAD_BYTES) {
      this.writer.copiedData(record.slot, block.length, block.offset, cookieHigh, cookieLow);
    } else {
      this.writer.ownedData(record.slot, block.length, block.offset, cookieHigh, cookieLow, record);
      return;
    }
    this.recycle(record);
  }

  /** Ends the stream once everything is answered, and tells the owner once everything is over. */
  #settle(): void {
    if (!this.#isEnding || this.#isOver) return;
    if (this.#isClosed) {
      if (this.#requestsInFlight > 0) return;
      this.#isOver = true;
      this.#options.onOver();
    } else if (!this.#hasEnded && !this.isGone && this.#requestsInFlight <= this.reader.unfinishedRecords) {
      this.#hasEnded = true;
      this.#stream.end();
    }
  }
}
