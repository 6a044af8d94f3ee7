// One request in flight: its device request, its payload's slot, and memory for its reply. Preallocated and used again by the server.
import { BlockRequest, type RequestOwner } from '../../block/device.ts';
import type { Completion } from '../../world/completion.ts';
import { OUT_HEADER } from './protocol.ts';

/** Holds a head and every reply but data. */
export const REPLY_BYTES = 512;

export interface RecordOwner {
  deviceDone(record: RequestRecord): void;
  replySent(record: RequestRecord): void;
  slotMayBeFree(record: RequestRecord): void;
}

export class RequestRecord implements RequestOwner, Completion {
  readonly block: BlockRequest;
  /** Arena offset of REPLY_BYTES. */
  readonly reply: number;
  opcode = 0;
  uniqueLow = 0;
  uniqueHigh = 0;
  /** Payload memory, or 0. */
  slot = 0;
  /** For memory.whenSlotFree(). */
  readonly slotWaiter: Completion;
  readonly #owner: RecordOwner;

  constructor(owner: RecordOwner, reply: number) {
    this.#owner = owner;
    this.reply = reply;
    this.block = new BlockRequest(this);
    this.block.payloadIsSlot = true;
    this.slotWaiter = { complete: () => owner.slotMayBeFree(this) };
  }

  requestDone(): void {
    this.#owner.deviceDone(this);
  }

  /** The reply has left, or nobody waits for it. */
  complete(): void {
    this.#owner.replySent(this);
  }

  /** The head of a reply of `length` bytes in all at `at`. */
  writeHead(view: DataView, at: number, length: number, errno: number): void {
    view.setUint32(at + OUT_HEADER.length, length, true);
    view.setInt32(at + OUT_HEADER.error, -errno, true);
    view.setUint32(at + OUT_HEADER.unique, this.uniqueLow, true);
    view.setUint32(at + OUT_HEADER.unique + 4, this.uniqueHigh, true);
  }
}
