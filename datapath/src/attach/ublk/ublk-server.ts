// Serves one BlockDevice to the kernel's ublk over a queue. Made by the mapper, for a device that is new or taken over.
//
//   WAITING --request--> [SHORT: no memory] --> SERVED (the device) --answer--> WAITING
//      | \--a write--> COPYING (the kernel copies its payload) --> SERVED
//      \--the kernel takes its command back--> IDLE
//
// Invariants: each request that was taken gets one answer, unless answering has been stopped: the kernel then keeps it for the next process. A
// tag without a request has no memory. A read's slot is given back when the kernel has taken the answer, all others when the device is done.
import { assert } from '../../base/assert.ts';
import { FLAG_FUA, FLAG_NO_HOLE, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES } from '../../block/device.ts';
import type { BlockDevice, BlockOperation } from '../../block/device.ts';
import { EINVAL, EIO } from '../../world/completion.ts';
import type { IoMemory } from '../../world/memory.ts';
import { UBLK_DESCRIPTOR_WORDS, type UblkHandler, type UblkQueue } from '../../world/ublk.ts';
import * as p from './protocol.ts';
import { COPYING, DISCARDING, IDLE, SERVED, SHORT, UblkRequest, WAITING, type UblkRequestOwner } from './ublk-request.ts';

const EOPNOTSUPP = 95;
const ERRNO_MAX = 4095;
const WORD = 2 ** 32;
/** Sectors of a larger number than this begin behind any device. */
const START_HIGH_MAX = 2 ** 11;

export interface UblkServerOptions {
  /** Tags of the queue. */
  readonly depth: number;
  /** Of one request with a payload. */
  readonly maximumIoBytes: number;
  /** I/O memory of that size for payloads that nobody wants; servers may share it. */
  readonly scratch: number;
  /** The kernel does not take a command: that tag is lost until the next process. */
  readonly onRefused: (errno: number) => void;
}

export class UblkServer implements UblkHandler, UblkRequestOwner {
  readonly #memory: IoMemory;
  readonly #queue: UblkQueue;
  readonly #device: BlockDevice;
  readonly #maximumIoBytes: number;
  readonly #scratch: number;
  readonly #onRefused: (errno: number) => void;
  readonly #requests: UblkRequest[];
  /** Slots of reads whose answers leave with this turn. */
  readonly #leaving: number[] = [];
  #leavingCount = 0;
  /** Commands that the kernel has. */
  #out = 0;
  /** Requests that are here. */
  #taken = 0;
  #answers = 0;
  #isStopped = false;
  #isClosed = false;
  #whenBack: (() => void) | null = null;
  #whenAnswered: (() => void) | null = null;

  constructor(memory: IoMemory, queue: UblkQueue, device: BlockDevice, options: UblkServerOptions) {
    const { depth, maximumIoBytes } = options;
    assert(device.maximumIoBytes >= maximumIoBytes, `a device for ublk takes ${maximumIoBytes} bytes at once`);
    this.#scratch = options.scratch;
    this.#onRefused = options.onRefused;
    this.#memory = memory;
    this.#queue = queue;
    this.#device = device;
    this.#maximumIoBytes = maximumIoBytes;
    this.#requests = Array.from({ length: depth }, (_, tag) => new UblkRequest(this, tag));
  }

  /** The kernel starts a device, or gives it back, when all of its commands are there. */
  start(): void {
    this.#queue.start(this);
    for (const request of this.#requests) {
      request.state = WAITING;
      this.#out += 1;
      this.#queue.fetch(request.tag);
    }
  }

  /** How many requests have been answered. */
  get answers(): number {
    return this.#answers;
  }

  get isBack(): boolean {
    return this.#out === 0;
  }

  /** Resolves when nothing that was taken is unanswered. */
  async answered(): Promise<void> {
    if (this.#taken > 0) await new Promise<void>((resolve) => (this.#whenAnswered = resolve));
  }

  /** Resolves when the kernel has taken all of its commands back. */
  async back(): Promise<void> {
    if (this.#out > 0) await new Promise<void>((resolve) => (this.#whenBack = resolve));
  }

  /** Answers nothing from now on: the kernel gives to the next process what is here. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Answers with an error what the device has not answered. */
  abandon(): void {
    for (const [tag, request] of this.#requests.entries()) {
      if (request.state === SHORT && request.block.operation === WRITE) this.#discard(request);
      if (request.state !== SERVED && request.state !== SHORT) continue;
      // The device may still answer the old one; its memory goes then.
      this.#requests[tag] = new UblkRequest(this, tag);
      this.#taken -= 1;
      this.#answer(this.#requests[tag]!, -EIO, 0);
    }
  }

  /** Lets go of the device; only when all commands are back. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isStopped = true;
    this.#queue.close();
  }

  commandDone(tag: number, result: number): void {
    const request = this.#requests[tag]!;
    const wasCopying = request.state === COPYING;
    const wasDiscarding = request.state === DISCARDING;
    this.#out -= 1;
    if (wasCopying || wasDiscarding) this.#taken -= 1;
    request.state = IDLE;
    if (result >= 0 && this.#isStopped) this.#leave(request);
    else if (wasDiscarding && result === p.RESULT_OK) this.#answer(request, -EIO, 0);
    else if (result === p.RESULT_NEED_GET_DATA || result === p.RESULT_OK) this.#take(request, result, wasCopying);
    else this.#takeBack(request, result);
    if (this.#out === 0) this.#tellBack();
  }

  commitsTaken(): void {
    const leaving = this.#leaving;
    for (let at = 0; at < this.#leavingCount; at += 1) this.#memory.releaseSlot(leaving[at]!);
    this.#leavingCount = 0;
  }

  deviceDone(request: UblkRequest): void {
    const { block, slot, tag } = request;
    const isRead = block.operation === READ;
    const isAnswered = block.result === 0;
    request.slot = 0;
    if (this.#isStopped || this.#requests[tag] !== request) {
      if (slot !== 0) this.#memory.releaseSlot(slot);
      return;
    }
    if (slot !== 0) {
      if (isRead && isAnswered) this.#leaving[this.#leavingCount++] = slot;
      else this.#memory.releaseSlot(slot);
    }
    this.#taken -= 1;
    if (!isAnswered) this.#answer(request, -(block.result <= ERRNO_MAX ? block.result : EIO), 0);
    else if (isRead) this.#answer(request, block.length, slot);
    else this.#answer(request, block.operation === WRITE ? block.length : 0, 0);
  }

  slotMayBeFree(request: UblkRequest): void {
    if (this.#isStopped || this.#requests[request.tag] !== request || request.state !== SHORT) return;
    this.#taken -= 1;
    if (request.block.operation === READ) this.#read(request);
    else this.#copy(request);
  }

  /** The kernel has a request, or has copied a write's payload. */
  #take(request: UblkRequest, result: number, wasCopying: boolean): void {
    const at = request.tag * UBLK_DESCRIPTOR_WORDS;
    const { descriptors } = this.#queue;
    const operation = descriptors[at + p.DESCRIPTOR.operation]!;
    const startHigh = descriptors[at + p.DESCRIPTOR.startHigh]!;
    const { block } = request;
    const isWrite = (operation & p.OPERATION_MASK) === p.OP_WRITE;
    // A copy that failed comes as a request again, which may be another one.
    if (request.slot !== 0 && !(wasCopying && isWrite && result === p.RESULT_OK)) this.#releaseSlot(request);
    block.result = 0;
    block.flags = 0;
    block.length = descriptors[at + p.DESCRIPTOR.sectors]! * p.SECTOR_BYTES;
    block.offset = (descriptors[at + p.DESCRIPTOR.startLow]! + startHigh * WORD) * p.SECTOR_BYTES;
    // A flush has no range, and the kernel says so with the last sector of all.
    const isFlush = (operation & p.OPERATION_MASK) === p.OP_FLUSH;
    if (startHigh >= START_HIGH_MAX && !isFlush) this.#refuse(request, EINVAL);
    else if (result === p.RESULT_NEED_GET_DATA) this.#takeWrite(request, isWrite);
    else this.#perform(request, operation);
  }

  /** A write whose payload the kernel still has. */
  #takeWrite(request: UblkRequest, isWrite: boolean): void {
    const { block } = request;
    block.operation = WRITE;
    if (isWrite && this.#isPayload(block.length)) this.#copy(request);
    else this.#refuse(request, EINVAL);
  }

  #perform(request: UblkRequest, operation: number): void {
    const { block } = request;
    switch (operation & p.OPERATION_MASK) {
      case p.OP_READ:
        block.operation = READ;
        if (this.#isPayload(block.length)) this.#read(request);
        else this.#refuse(request, EINVAL);
        return;
      case p.OP_WRITE:
        // Whole, or as much of it as could be copied: then the kernel sends the rest again.
        if (request.slot === 0 || !this.#isPayload(block.length)) return this.#refuse(request, EINVAL);
        return this.#submit(request, WRITE, (operation & p.FLAG_FUA) === 0 ? 0 : FLAG_FUA);
      case p.OP_FLUSH:
        block.offset = 0;
        block.length = 0;
        return this.#submit(request, FLUSH, 0);
      case p.OP_DISCARD:
        if (block.length === 0) return this.#refuse(request, EINVAL);
        if (!this.#device.canTrim) return this.#refuse(request, EOPNOTSUPP);
        return this.#submit(request, TRIM, 0);
      case p.OP_WRITE_ZEROES: {
        if (block.length === 0) return this.#refuse(request, EINVAL);
        const noHole = (operation & p.FLAG_NOUNMAP) === 0 ? 0 : FLAG_NO_HOLE;
        return this.#submit(request, WRITE_ZEROES, noHole | ((operation & p.FLAG_FUA) === 0 ? 0 : FLAG_FUA));
      }
      default:
        this.#refuse(request, EOPNOTSUPP);
    }
  }

  #isPayload(length: number): boolean {
    return length > 0 && length <= this.#maximumIoBytes;
  }

  #read(request: UblkRequest): void {
    request.slot = this.#memory.acquireSlot(request.block.length);
    if (request.slot === 0) this.#await(request);
    else this.#submit(request, READ, 0);
  }

  #copy(request: UblkRequest): void {
    request.slot = this.#memory.acquireSlot(request.block.length);
    if (request.slot === 0) return this.#await(request);
    request.state = COPYING;
    this.#taken += 1;
    this.#out += 1;
    this.#queue.getData(request.tag, request.slot);
  }

  #discard(request: UblkRequest): void {
    request.state = DISCARDING;
    this.#out += 1;
    this.#queue.getData(request.tag, this.#scratch);
  }

  #await(request: UblkRequest): void {
    request.state = SHORT;
    this.#taken += 1;
    this.#memory.whenSlotFree(request.block.length, request.slotWaiter);
  }

  #submit(request: UblkRequest, operation: BlockOperation, flags: number): void {
    const { block } = request;
    request.state = SERVED;
    this.#taken += 1;
    block.operation = operation;
    block.flags = flags;
    block.memory = request.slot;
    this.#device.submit(block);
  }

  #refuse(request: UblkRequest, errno: number): void {
    if (request.slot !== 0) this.#releaseSlot(request);
    this.#answer(request, -errno, 0);
  }

  #answer(request: UblkRequest, result: number, memory: number): void {
    request.state = WAITING;
    this.#answers += 1;
    this.#out += 1;
    this.#queue.commit(request.tag, result, memory);
    if (this.#taken === 0) this.#tellAnswered();
  }

  /** It came too late: the next process gets it. */
  #leave(request: UblkRequest): void {
    if (request.slot !== 0) this.#releaseSlot(request);
    request.state = SERVED;
  }

  #takeBack(request: UblkRequest, result: number): void {
    if (request.slot !== 0) this.#releaseSlot(request);
    if (result !== p.RESULT_ABORT) this.#onRefused(-result);
    if (this.#taken === 0) this.#tellAnswered();
  }

  #releaseSlot(request: UblkRequest): void {
    this.#memory.releaseSlot(request.slot);
    request.slot = 0;
  }

  #tellBack(): void {
    this.#whenBack?.();
    this.#whenBack = null;
  }

  #tellAnswered(): void {
    this.#whenAnswered?.();
    this.#whenAnswered = null;
  }
}
