// One request in flight, or one piece of a request that is longer than the device takes at once. Preallocated and
// recycled by its Transmission; it is the owner of its device request and the completion of its output.
import { BlockRequest, type RequestOwner } from '../block/device.ts';
import type { Completion } from '../world/completion.ts';

export interface RecordOwner {
  /** The device has finished record.block. */
  recordDone(record: RequestRecord): void;
  /** The payload has left, or never will. */
  recordSent(record: RequestRecord): void;
  /** Output was dropped: the stream is as good as closed, and must not be written to any more. */
  outputLost(): void;
}

/** A request that was cut into pieces: told about each of them instead of the Transmission. */
export interface PieceOwner {
  pieceDone(piece: RequestRecord): void;
  pieceSent(piece: RequestRecord): void;
}

export class RequestRecord implements RequestOwner, Completion {
  readonly block: BlockRequest;
  command = 0;
  /** The client's cookie in two signed halves; only echoed. */
  cookieHigh = 0;
  cookieLow = 0;
  /** Payload memory, or 0. */
  slot = 0;
  /** What this record counts for in the connection's payload limit. */
  payloadBytes = 0;
  whole: PieceOwner | null = null;
  /** Of a piece: the device has finished it. */
  isDone = false;
  /** The protocol's error with which the request is answered. */
  error = 0;
  readonly #owner: RecordOwner;

  constructor(owner: RecordOwner) {
    this.#owner = owner;
    this.block = new BlockRequest(this);
    this.block.payloadIsSlot = true;
  }

  requestDone(): void {
    if (this.whole === null) this.#owner.recordDone(this);
    else this.whole.pieceDone(this);
  }

  complete(result: number): void {
    if (result !== 0) this.#owner.outputLost();
    if (this.whole === null) this.#owner.recordSent(this);
    else this.whole.pieceSent(this);
  }
}
