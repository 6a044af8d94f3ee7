// Takes requests of any alignment for a device that wants whole blocks: aligned ones pass on as they are, the others
// read, modify and write the blocks at their edges through a bounce slot. Used where clients ignore the block size that a
// server tells them (nbd-serve).
// Invariant: while a block is being read, modified and written back, no other change of the device is in flight; changes
// that come meanwhile wait in order. Reads never wait for it: overlapping requests in flight have no order.
import { alignDown, alignUp, KiB } from '../base/sizes.ts';
import type { IoMemory } from '../world/memory.ts';
import { BlockRequest, FLUSH, READ, WRITE, checkRequest } from './device.ts';
import type { BlockDevice, BlockExtent, RequestOwner } from './device.ts';
import { ExtentList } from './extent-list.ts';

const BOUNCE_BYTES = 128 * KiB;

export class UnalignedDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly minimumIoBytes = 1;
  readonly preferredIoBytes: number;
  readonly maximumIoBytes: number;
  readonly isReadOnly: boolean;
  readonly canTrim: boolean;
  readonly canZeroFast: boolean;
  readonly canMultiConnect: boolean;
  readonly inner: BlockDevice;
  readonly memory: IoMemory;
  readonly #blockBytes: number;
  readonly #freePassing: PassingChange[] = [];
  /** Aligned changes that the inner device is working on. */
  #changesInFlight = 0;
  #edgeAtWork: UnalignedRequest | null = null;
  /** Changes that wait for the edge at work, and for those before them. */
  readonly #waiting: BlockRequest[] = [];

  /** Owns `inner` from now on: close() closes it. */
  constructor(memory: IoMemory, inner: BlockDevice) {
    this.memory = memory;
    this.inner = inner;
    this.#blockBytes = inner.minimumIoBytes;
    this.sizeBytes = inner.sizeBytes;
    this.preferredIoBytes = inner.preferredIoBytes;
    this.maximumIoBytes = inner.maximumIoBytes;
    this.isReadOnly = inner.isReadOnly;
    this.canTrim = inner.canTrim;
    this.canZeroFast = inner.canZeroFast === true;
    this.canMultiConnect = inner.canMultiConnect;
  }

  submit(request: BlockRequest): void {
    const refusal = checkRequest(this, request);
    if (refusal !== 0) return request.finish(refusal);
    if (request.operation === FLUSH) return this.inner.submit(request);
    if (request.length === 0) return request.finish(0);
    if (request.operation === READ) {
      if (this.#isAligned(request)) this.inner.submit(request);
      else new UnalignedRequest(this, request, this.#blockBytes).start();
    } else if (this.#edgeAtWork !== null || this.#waiting.length > 0) this.#waiting.push(request);
    else this.#change(request);
  }

  async extents(offset: number, length: number): Promise<readonly BlockExtent[]> {
    const start = alignDown(offset, this.#blockBytes);
    const end = alignUp(offset + length, this.#blockBytes);
    const list = new ExtentList();
    let at = start;
    for (const extent of await this.inner.extents(start, end - start)) {
      const from = Math.max(at, offset);
      const to = Math.min(at + extent.length, offset + length);
      if (to > from) list.add(to - from, extent.isAllocated, extent.isZero);
      at += extent.length;
    }
    return list.extents;
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  /** Called back by UnalignedRequest and PassingChange. */
  changeDone(change: PassingChange | UnalignedRequest): void {
    if (change instanceof PassingChange) {
      this.#changesInFlight -= 1;
      this.#freePassing.push(change);
    } else this.#edgeAtWork = null;
    while (this.#waiting.length > 0 && this.#edgeAtWork === null) {
      if (this.#changesInFlight > 0 && !this.#isAligned(this.#waiting[0]!)) return;
      this.#change(this.#waiting.shift()!);
    }
  }

  #isAligned(request: BlockRequest): boolean {
    return request.offset % this.#blockBytes === 0 && request.length % this.#blockBytes === 0;
  }

  #change(request: BlockRequest): void {
    if (this.#isAligned(request)) {
      this.#changesInFlight += 1;
      (this.#freePassing.pop() ?? new PassingChange(this)).start(request);
    } else if (this.#changesInFlight > 0) this.#waiting.push(request);
    else {
      this.#edgeAtWork = new UnalignedRequest(this, request, this.#blockBytes);
      this.#edgeAtWork.start();
    }
  }
}

/** An aligned change on its way through: counted, so that no edge is rewritten while it is in flight. */
class PassingChange implements RequestOwner {
  readonly #device: UnalignedDevice;
  readonly #inner = new BlockRequest(this);
  #outer: BlockRequest | null = null;

  constructor(device: UnalignedDevice) {
    this.#device = device;
  }

  start(outer: BlockRequest): void {
    this.#outer = outer;
    copyRequest(this.#inner, outer);
    this.#device.inner.submit(this.#inner);
  }

  requestDone(inner: BlockRequest): void {
    const outer = this.#outer!;
    this.#outer = null;
    this.#device.changeDone(this);
    outer.finish(inner.result);
  }
}

/** One unaligned request: works through its range in steps, each of them one bounce or one aligned middle. */
class UnalignedRequest implements RequestOwner {
  readonly #device: UnalignedDevice;
  readonly #request: BlockRequest;
  readonly #blockBytes: number;
  readonly #inner = new BlockRequest(this);
  #slot = 0;
  /** The current step covers [at, stepEnd) of the request, [blockStart, blockEnd) of the device. */
  #at: number;
  #stepEnd = 0;
  #blockStart = 0;
  #blockEnd = 0;
  /** The step is an aligned TRIM or WRITE_ZEROES of the middle: no bounce. */
  #isPassing = false;

  constructor(device: UnalignedDevice, request: BlockRequest, blockBytes: number) {
    this.#device = device;
    this.#request = request;
    this.#blockBytes = blockBytes;
    this.#at = request.offset;
  }

  start(): void {
    this.#slot = this.#device.memory.acquireSlot(BOUNCE_BYTES);
    if (this.#slot === 0) this.#device.memory.whenSlotFree(BOUNCE_BYTES, this);
    else this.#step();
  }

  /** A slot may be free. */
  complete(): void {
    this.start();
  }

  requestDone(inner: BlockRequest): void {
    if (inner.result !== 0) return this.#finish(inner.result);
    const { operation, memory, offset } = this.#request;
    const bytes = this.#device.memory.bytes;
    if (!this.#isPassing && inner.operation === READ) {
      const from = this.#slot + (this.#at - this.#blockStart);
      const count = this.#stepEnd - this.#at;
      if (operation === READ) bytes.copyWithin(memory + (this.#at - offset), from, from + count);
      else {
        if (operation === WRITE) bytes.copyWithin(from, memory + (this.#at - offset), memory + (this.#stepEnd - offset));
        else bytes.fill(0, from, from + count);
        this.#submit(WRITE);
        return;
      }
    }
    this.#at = this.#stepEnd;
    if (this.#at === offset + this.#request.length) this.#finish(0);
    else this.#step();
  }

  #step(): void {
    const { operation, offset, length } = this.#request;
    const end = offset + length;
    const isAlignedHere = this.#at % this.#blockBytes === 0;
    const middleEnd = alignDown(end, this.#blockBytes);
    this.#isPassing = operation > WRITE && isAlignedHere && middleEnd > this.#at;
    this.#blockStart = alignDown(this.#at, this.#blockBytes);
    if (this.#isPassing) this.#blockEnd = middleEnd;
    else if (operation > WRITE) this.#blockEnd = this.#blockStart + this.#blockBytes;
    else this.#blockEnd = Math.min(this.#blockStart + BOUNCE_BYTES, alignUp(end, this.#blockBytes));
    this.#stepEnd = Math.min(this.#blockEnd, end);
    this.#submit(this.#isPassing ? operation : READ);
  }

  #submit(operation: BlockRequest['operation']): void {
    const inner = this.#inner;
    inner.operation = operation;
    inner.flags = this.#request.flags;
    inner.offset = this.#blockStart;
    inner.length = this.#blockEnd - this.#blockStart;
    inner.memory = this.#slot;
    this.#device.inner.submit(inner);
  }

  #finish(result: number): void {
    this.#device.memory.releaseSlot(this.#slot);
    if (this.#request.operation !== READ) this.#device.changeDone(this);
    this.#request.finish(result);
  }
}

function copyRequest(to: BlockRequest, from: BlockRequest): void {
  to.operation = from.operation;
  to.flags = from.flags;
  to.offset = from.offset;
  to.length = from.length;
  to.memory = from.memory;
  to.payloadIsSlot = from.payloadIsSlot;
}
