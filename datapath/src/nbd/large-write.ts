// A WRITE longer than the device takes at once: cut into pieces of its maximum, each in a slot of its own, submitted as
// soon as it has arrived and answered together. Created by Transmission when such a head arrives; RequestReader asks for
// piece after piece. The first error is the answer; later pieces are still received, but not written any more.
import type { PieceOwner, RequestRecord } from './request-record.ts';
import type { Transmission } from './transmission.ts';
import { wireErrorOf } from './wire-error.ts';

export class LargeWrite implements PieceOwner {
  /** Bytes that have no piece yet. */
  remainingBytes: number;
  readonly #transmission: Transmission;
  readonly #record: RequestRecord;
  #nextOffset: number;
  #piecesInFlight = 0;
  #isReceived = false;

  constructor(transmission: Transmission, record: RequestRecord) {
    this.#transmission = transmission;
    this.#record = record;
    this.remainingBytes = record.block.length;
    this.#nextOffset = record.block.offset;
  }

  /** The next piece, with a slot to receive into; null when no slot is free now. */
  takePiece(): RequestRecord | null {
    const length = Math.min(this.remainingBytes, this.#transmission.device.maximumIoBytes);
    const slot = this.#transmission.acquireSlot(length);
    if (slot === 0) return null;
    const piece = this.#transmission.takeRecord();
    this.#transmission.countPayload(piece, length);
    piece.command = this.#record.command;
    piece.slot = slot;
    piece.whole = this;
    piece.block.flags = this.#record.block.flags;
    piece.block.offset = this.#nextOffset;
    piece.block.length = length;
    piece.block.memory = slot;
    this.#nextOffset += length;
    this.remainingBytes -= length;
    return piece;
  }

  pieceArrived(piece: RequestRecord): void {
    if (this.remainingBytes === 0) this.#isReceived = true;
    this.#piecesInFlight += 1;
    if (this.#record.error === 0) this.#transmission.payloadArrived(piece);
    else this.pieceDone(piece);
  }

  pieceDone(piece: RequestRecord): void {
    if (piece.block.result !== 0 && this.#record.error === 0) this.#record.error = wireErrorOf(piece.block.result);
    this.#piecesInFlight -= 1;
    this.#transmission.recycle(piece);
    if (this.#isReceived && this.#piecesInFlight === 0) this.#transmission.recordDone(this.#record);
  }

  /** Pieces of a write have nothing to send. */
  pieceSent(): void {}

  /** The stream has ended before all of it came: pieces in flight finish by themselves, no answer follows. */
  abandon(): void {
    this.#transmission.recycle(this.#record);
  }
}
