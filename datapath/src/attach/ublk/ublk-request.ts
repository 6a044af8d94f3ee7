// One tag of a queue: where its request is, its device request and its payload's slot. Preallocated by the server, used again.
import { BlockRequest, type RequestOwner } from '../../block/device.ts';
import type { Completion } from '../../world/completion.ts';

/** Before the first fetch, and when the kernel has taken the tag's command back. */
export const IDLE = 0;
/** The kernel has the tag's command. */
export const WAITING = 1;
/** The kernel copies a write's payload. */
export const COPYING = 2;
/** The request waits for memory. */
export const SHORT = 3;
/** The device has it. */
export const SERVED = 4;
/** The kernel copies a write's payload that nobody wants: before that it takes no answer, not even an error. */
export const DISCARDING = 5;
export type TagState = typeof IDLE | typeof WAITING | typeof COPYING | typeof SHORT | typeof SERVED | typeof DISCARDING;

export interface UblkRequestOwner {
  deviceDone(request: UblkRequest): void;
  slotMayBeFree(request: UblkRequest): void;
}

export class UblkRequest implements RequestOwner {
  readonly tag: number;
  readonly block: BlockRequest;
  state: TagState = IDLE;
  /** Payload memory, or 0. */
  slot = 0;
  /** For memory.whenSlotFree(). */
  readonly slotWaiter: Completion;
  readonly #owner: UblkRequestOwner;

  constructor(owner: UblkRequestOwner, tag: number) {
    this.#owner = owner;
    this.tag = tag;
    this.block = new BlockRequest(this);
    this.block.payloadIsSlot = true;
    this.slotWaiter = { complete: () => owner.slotMayBeFree(this) };
  }

  requestDone(): void {
    this.#owner.deviceDone(this);
  }
}
