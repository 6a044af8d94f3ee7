// A READ longer than the device reads at once, answered piece by piece in order, with at most WINDOW pieces in memory.
// Created by Transmission, which runs one of them at a time.
// Structured replies: every piece is a chunk, an error ends the reply. Simple replies: the pieces are one payload, so
// nothing else may be sent from the first piece to the last, and an error after the first leaves only closing the
// connection, as the protocol says. It needs a single slot to make progress, so it cannot deadlock with its neighbours.
import { READ } from '../block/device.ts';
import type { PieceOwner, RequestRecord } from './request-record.ts';
import type { Transmission } from './transmission.ts';
import { wireErrorOf } from './wire-error.ts';

const WINDOW = 4;

export class LargeRead implements PieceOwner {
  readonly #transmission: Transmission;
  readonly #record: RequestRecord;
  /** Being read or waiting for its turn to be sent, in order. */
  readonly #pieces: RequestRecord[] = [];
  readonly #end: number;
  #nextOffset: number;
  #beingSent = 0;
  #hasSentFirst = false;
  #isFailed = false;
  #isOver = false;

  constructor(transmission: Transmission, record: RequestRecord) {
    this.#transmission = transmission;
    this.#record = record;
    this.#nextOffset = record.block.offset;
    this.#end = record.block.offset + record.block.length;
  }

  start(): void {
    this.#fillWindow();
    this.#finishIfOver();
  }

  /** A slot may be free. */
  complete(): void {
    this.start();
  }

  pieceDone(piece: RequestRecord): void {
    piece.isDone = true;
    this.#sendReady();
    this.#finishIfOver();
  }

  /** Its slot serves for the next piece. */
  pieceSent(piece: RequestRecord): void {
    this.#beingSent -= 1;
    if (this.#isStopped || this.#nextOffset >= this.#end) this.#transmission.recycle(piece);
    else this.#read(piece);
    this.#finishIfOver();
  }

  get #isStopped(): boolean {
    return this.#isFailed || this.#transmission.isGone;
  }

  #fillWindow(): void {
    const { memory, device } = this.#transmission;
    while (!this.#isStopped && this.#nextOffset < this.#end && this.#pieces.length + this.#beingSent < WINDOW) {
      const slot = memory.acquireSlot(device.maximumIoBytes);
      if (slot === 0) {
        if (this.#pieces.length + this.#beingSent === 0) memory.whenSlotFree(device.maximumIoBytes, this);
        return;
      }
      const piece = this.#transmission.takeRecord();
      this.#transmission.countPayload(piece, device.maximumIoBytes);
      piece.slot = slot;
      piece.whole = this;
      this.#read(piece);
    }
  }

  #read(piece: RequestRecord): void {
    const { device } = this.#transmission;
    piece.isDone = false;
    const block = piece.block;
    block.operation = READ;
    block.flags = 0;
    block.offset = this.#nextOffset;
    block.length = Math.min(device.maximumIoBytes, this.#end - this.#nextOffset);
    block.memory = piece.slot;
    this.#nextOffset += block.length;
    this.#pieces.push(piece);
    device.submit(block);
  }

  #sendReady(): void {
    while (this.#pieces.length > 0 && this.#pieces[0]!.isDone) {
      const piece = this.#pieces.shift()!;
      if (!this.#isStopped && piece.block.result !== 0) this.#fail(piece);
      if (this.#isStopped) this.#transmission.recycle(piece);
      else this.#send(piece);
    }
  }

  #send(piece: RequestRecord): void {
    const { writer } = this.#transmission;
    const { offset, length } = piece.block;
    const isFirst = !this.#hasSentFirst;
    const isLast = offset + length === this.#end;
    this.#hasSentFirst = true;
    this.#beingSent += 1;
    if (isFirst && !writer.isStructured) this.#transmission.takeOutput();
    writer.pieceData(piece.slot, length, offset, isFirst, isLast, this.#record.cookieHigh, this.#record.cookieLow, piece);
    if (isLast && !writer.isStructured) this.#transmission.releaseOutput();
  }

  #fail(piece: RequestRecord): void {
    this.#isFailed = true;
    const { writer } = this.#transmission;
    const error = wireErrorOf(piece.block.result);
    if (writer.isStructured) writer.errorAt(piece.block.offset, error, this.#record.cookieHigh, this.#record.cookieLow);
    else if (this.#hasSentFirst) this.#transmission.abort();
    else writer.status(this.#record.command, error, this.#record.cookieHigh, this.#record.cookieLow);
  }

  #finishIfOver(): void {
    if (this.#isOver || this.#pieces.length > 0 || this.#beingSent > 0) return;
    if (!this.#isStopped && this.#nextOffset < this.#end) return;
    this.#isOver = true;
    this.#transmission.recycle(this.#record);
    this.#transmission.largeReadOver();
  }
}
