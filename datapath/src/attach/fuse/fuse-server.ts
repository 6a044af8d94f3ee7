// Serves one BlockDevice as the only file of a FUSE file system. Made by the mapper, over a connection that is new or taken over.
//
//   request --> parse, check --> device --> deviceDone --> reply --> replySent: used again
//                    \--> small reply (attributes, names, errors) at once
//
// Invariants: each request that wants a reply gets one per delivery, also one that the kernel sends again because an earlier server died
// over it; at most MAX_IN_FLIGHT requests are taken, then the rest waits in the kernel; a slot is given back when the device has written
// its payload, or when the reply that was sent from it has left.
import { assert } from '../../base/assert.ts';
import { FLAG_NO_HOLE, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES } from '../../block/device.ts';
import type { BlockDevice, BlockOperation } from '../../block/device.ts';
import { CompletionPromise } from '../../world/completion.ts';
import { FUSE_HEAD_BYTES, FUSE_PAYLOAD_BYTES, type FuseChannel, type FuseHandler } from '../../world/fuse.ts';
import type { IoMemory } from '../../world/memory.ts';
import * as p from './protocol.ts';
import { FuseRequestHead, readU64 } from './request-head.ts';
import { REPLY_BYTES, RequestRecord, type RecordOwner } from './request-record.ts';
import { writeAttrOut, writeEntry, writeForget, writeInit, writeListing, writeOpen, writeStatfs } from './small-replies.ts';

const MAX_IN_FLIGHT = 256;
const PAGE_BYTES = 4096;
/** Payloads up to this length are copied to a slot of their size, so that the large one can be read into again. */
const COPIED_PAYLOAD_BYTES = 64 * 1024;
const HEAD = p.OUT_HEADER.sizeBytes;

export interface FuseServerOptions {
  readonly fileName: string;
  /** The connection is over: unmounted, or aborted by somebody. */
  readonly onEnded: () => void;
}

export class FuseServer implements FuseHandler, RecordOwner {
  /** What INIT agreed on; null before, and when an earlier server did it. */
  canResend: boolean | null = null;
  readonly #memory: IoMemory;
  readonly #channel: FuseChannel;
  readonly #device: BlockDevice;
  readonly #fileName: Uint8Array;
  readonly #onEnded: () => void;
  readonly #head = new FuseRequestHead();
  readonly #free: RequestRecord[] = [];
  readonly #pages: number[] = [];
  #inFlight = 0;
  #waitingForSlot = 0;
  #isPaused = false;
  #isClosed = false;
  #whenIdle: (() => void) | null = null;

  constructor(memory: IoMemory, channel: FuseChannel, device: BlockDevice, options: FuseServerOptions) {
    assert(device.maximumIoBytes >= FUSE_PAYLOAD_BYTES, `a device for FUSE takes ${FUSE_PAYLOAD_BYTES} bytes at once`);
    this.#memory = memory;
    this.#channel = channel;
    this.#device = device;
    this.#fileName = new TextEncoder().encode(options.fileName);
    this.#onEnded = options.onEnded;
  }

  start(): void {
    this.#channel.start(this);
  }

  /** Asks the kernel for the requests that an earlier server has taken and not answered: 0, or an errno when it cannot. */
  askAgain(): Promise<number> {
    return this.#notify(p.NOTIFY_RESEND, () => 0);
  }

  /** The kernel asks for the file's size again when somebody wants to know it. */
  async forgetSize(): Promise<void> {
    await this.#notify(p.NOTIFY_INVAL_INODE, (at) => writeForget(this.#memory.view, at));
  }

  /** Takes nothing more; resolves when what was taken has been answered. */
  async drain(): Promise<void> {
    await this.#channel.stop();
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
  }

  /** Lets go of the connection. What is still in flight is finished and not answered. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#channel.close();
    if (this.#inFlight === 0) this.#releasePages();
  }

  channelEnded(): void {
    this.#onEnded();
  }

  takeRequest(slot: number, length: number): boolean {
    const head = this.#head;
    const isWhole = head.parse(this.#memory.view, slot - FUSE_HEAD_BYTES, length);
    if (length < p.IN_HEADER.sizeBytes) return false;
    const { opcode } = head;
    if (opcode === p.FORGET || opcode === p.BATCH_FORGET || opcode === p.INTERRUPT) return false;
    const record = this.#take();
    record.opcode = opcode;
    record.uniqueLow = head.uniqueLow;
    record.uniqueHigh = head.uniqueHigh;
    if (!isWhole) this.#fail(record, p.EINVAL);
    else if (opcode === p.READ) this.#read(record, head);
    else if (opcode === p.WRITE) return this.#write(record, head, slot);
    else if (opcode === p.FSYNC || opcode === p.SYNCFS) this.#submit(record, FLUSH, 0, 0);
    else if (opcode === p.FALLOCATE) this.#fallocate(record, head);
    else this.#answerSmall(record, head);
    return false;
  }

  deviceDone(record: RequestRecord): void {
    const { opcode, block } = record;
    if (opcode === p.READ && block.result === 0) return this.#sendData(record);
    if (record.slot !== 0) this.#releaseSlot(record);
    if (block.result !== 0) return this.#fail(record, block.result);
    if (opcode !== p.WRITE) return this.#reply(record, 0);
    const { view } = this.#memory;
    view.setUint32(record.reply + HEAD + p.WRITE_OUT.size, block.length, true);
    view.setUint32(record.reply + HEAD + p.WRITE_OUT.padding, 0, true);
    this.#reply(record, p.WRITE_OUT.sizeBytes);
  }

  replySent(record: RequestRecord): void {
    this.#recycle(record);
  }

  slotMayBeFree(record: RequestRecord): void {
    this.#waitingForSlot -= 1;
    this.#startRead(record);
    this.#throttle();
  }

  #read(record: RequestRecord, head: FuseRequestHead): void {
    const { view } = this.#memory;
    const { block } = record;
    if (head.bodyBytes !== p.READ_IN.sizeBytes || head.nodeId !== p.FILE_ID) return this.#fail(record, p.EINVAL);
    block.offset = readU64(view, head.bodyAt + p.READ_IN.offset);
    const size = view.getUint32(head.bodyAt + p.READ_IN.size, true);
    if (!(block.offset >= 0) || size > FUSE_PAYLOAD_BYTES) return this.#fail(record, p.EINVAL);
    // A file's last bytes are fewer than asked for.
    block.length = Math.max(0, Math.min(size, this.#device.sizeBytes - block.offset));
    if (block.length === 0) this.#reply(record, 0);
    else this.#startRead(record);
  }

  #startRead(record: RequestRecord): void {
    const { block } = record;
    record.slot = this.#memory.acquireSlot(block.length);
    if (record.slot === 0) {
      this.#waitingForSlot += 1;
      this.#memory.whenSlotFree(block.length, record.slotWaiter);
      this.#throttle();
      return;
    }
    block.memory = record.slot;
    this.#submit(record, READ, block.offset, block.length);
  }

  /** Whether it keeps the slot that the request came in. */
  #write(record: RequestRecord, head: FuseRequestHead, slot: number): boolean {
    const { view, bytes } = this.#memory;
    const payloadBytes = head.bodyBytes - p.WRITE_IN.sizeBytes;
    const isWhole = payloadBytes >= 0 && view.getUint32(head.bodyAt + p.WRITE_IN.size, true) === payloadBytes;
    const offset = isWhole ? readU64(view, head.bodyAt + p.WRITE_IN.offset) : Number.NaN;
    if (!(offset >= 0) || payloadBytes > FUSE_PAYLOAD_BYTES || head.nodeId !== p.FILE_ID) {
      this.#fail(record, p.EINVAL);
      return false;
    }
    if (payloadBytes > 0 && payloadBytes <= COPIED_PAYLOAD_BYTES) record.slot = this.#memory.acquireSlot(payloadBytes);
    const isCopied = record.slot !== 0;
    if (isCopied) bytes.copyWithin(record.slot, slot, slot + payloadBytes);
    else record.slot = slot;
    record.block.memory = record.slot;
    this.#submit(record, WRITE, offset, payloadBytes);
    return !isCopied;
  }

  #fallocate(record: RequestRecord, head: FuseRequestHead): void {
    const { view } = this.#memory;
    if (head.bodyBytes !== p.FALLOCATE_IN.sizeBytes || head.nodeId !== p.FILE_ID) return this.#fail(record, p.EINVAL);
    const offset = readU64(view, head.bodyAt + p.FALLOCATE_IN.offset);
    const length = readU64(view, head.bodyAt + p.FALLOCATE_IN.length);
    const mode = view.getUint32(head.bodyAt + p.FALLOCATE_IN.mode, true) & ~p.FALLOC_KEEP_SIZE;
    if (!(offset >= 0 && length >= 0)) return this.#fail(record, p.EINVAL);
    // A loop device asks for a hole when its user trims, and also when he wants zeros and does not mind a hole.
    if (mode === p.FALLOC_PUNCH_HOLE) this.#submit(record, this.#device.canTrim ? TRIM : WRITE_ZEROES, offset, length);
    else if (mode === p.FALLOC_ZERO_RANGE) this.#submit(record, WRITE_ZEROES, offset, length, FLAG_NO_HOLE);
    else this.#fail(record, p.EOPNOTSUPP);
  }

  #submit(record: RequestRecord, operation: BlockOperation, offset: number, length: number, flags = 0): void {
    const { block } = record;
    block.operation = operation;
    block.offset = offset;
    block.length = length;
    block.flags = flags;
    this.#device.submit(block);
  }

  #answerSmall(record: RequestRecord, head: FuseRequestHead): void {
    const { bytes, view } = this.#memory;
    const body = record.reply + HEAD;
    const room = REPLY_BYTES - HEAD;
    const isFile = head.nodeId === p.FILE_ID;
    bytes.fill(0, body, body + room);
    switch (record.opcode) {
      case p.INIT:
        return this.#init(record, head);
      case p.LOOKUP:
        return this.#isFileName(head) ? this.#reply(record, writeEntry(view, body, this.#device)) : this.#fail(record, p.ENOENT);
      case p.GETATTR:
        return this.#reply(record, writeAttrOut(view, body, isFile ? p.FILE_ID : p.ROOT_ID, this.#device));
      case p.SETATTR:
        return this.#setAttributes(record, head);
      case p.OPEN:
      case p.OPENDIR:
        if (isFile && this.#device.isReadOnly && this.#isOpenForWriting(head)) return this.#fail(record, p.EROFS);
        return this.#reply(record, writeOpen(view, body, isFile));
      case p.READDIR:
        if (head.bodyBytes !== p.READ_IN.sizeBytes) return this.#fail(record, p.EINVAL);
        return this.#reply(record, writeListing(bytes, view, body, room, head.bodyAt, this.#fileName));
      case p.STATFS:
        return this.#reply(record, writeStatfs(view, body, this.#device));
      case p.RELEASE:
      case p.FLUSH:
      case p.RELEASEDIR:
      case p.FSYNCDIR:
      case p.ACCESS:
      case p.DESTROY:
        return this.#reply(record, 0);
      default:
        this.#fail(record, p.ENOSYS);
    }
  }

  async #notify(code: number, writeBody: (at: number) => number): Promise<number> {
    const record = this.#take();
    record.uniqueLow = 0;
    record.uniqueHigh = 0;
    const length = HEAD + writeBody(record.reply + HEAD);
    record.writeHead(this.#memory.view, record.reply, length, -code);
    const answer = new CompletionPromise();
    this.#channel.send(record.reply, length, answer, true);
    const result = await answer.done;
    this.#recycle(record);
    return result;
  }

  #init(record: RequestRecord, head: FuseRequestHead): void {
    const agreed = writeInit(this.#memory.view, record.reply + HEAD, head.bodyAt, head.bodyBytes);
    if (agreed === null) return this.#fail(record, p.EPROTO);
    this.canResend = agreed.canResend;
    this.#reply(record, p.INIT_OUT.sizeBytes);
  }

  /** Times and modes are nobody's business; the size is the device's. */
  #setAttributes(record: RequestRecord, head: FuseRequestHead): void {
    const { view } = this.#memory;
    if (head.bodyBytes !== p.SETATTR_IN.sizeBytes) return this.#fail(record, p.EINVAL);
    const isSizeSet = (view.getUint32(head.bodyAt + p.SETATTR_IN.valid, true) & p.FATTR_SIZE) !== 0;
    if (isSizeSet && readU64(view, head.bodyAt + p.SETATTR_IN.size) !== this.#device.sizeBytes)
      return this.#fail(record, p.EINVAL);
    const nodeId = head.nodeId === p.FILE_ID ? p.FILE_ID : p.ROOT_ID;
    this.#reply(record, writeAttrOut(view, record.reply + HEAD, nodeId, this.#device));
  }

  #isFileName(head: FuseRequestHead): boolean {
    const { bytes } = this.#memory;
    const name = this.#fileName;
    if (head.nodeId !== p.ROOT_ID || head.bodyBytes !== name.length + 1) return false;
    for (let at = 0; at < name.length; at += 1) if (bytes[head.bodyAt + at] !== name[at]) return false;
    return bytes[head.bodyAt + name.length] === 0;
  }

  #isOpenForWriting(head: FuseRequestHead): boolean {
    return head.bodyBytes >= p.OPEN_IN.sizeBytes && (this.#memory.view.getUint32(head.bodyAt + p.OPEN_IN.flags, true) & 3) !== 0;
  }

  /** The data lies in the record's slot, the head is written right before it. */
  #sendData(record: RequestRecord): void {
    const at = record.slot - HEAD;
    const length = HEAD + record.block.length;
    record.writeHead(this.#memory.view, at, length, 0);
    if (this.#isClosed) this.#recycle(record);
    else this.#channel.send(at, length, record);
  }

  #reply(record: RequestRecord, bodyBytes: number): void {
    record.writeHead(this.#memory.view, record.reply, HEAD + bodyBytes, 0);
    if (this.#isClosed) this.#recycle(record);
    else this.#channel.send(record.reply, HEAD + bodyBytes, record);
  }

  #fail(record: RequestRecord, errno: number): void {
    // ENOSYS from a device would teach the kernel never to ask again.
    const isTold = errno <= p.LARGEST_ERRNO && (errno !== p.ENOSYS || record.block.result === 0);
    record.writeHead(this.#memory.view, record.reply, HEAD, isTold ? errno : p.EIO);
    if (this.#isClosed) this.#recycle(record);
    else this.#channel.send(record.reply, HEAD, record);
  }

  #take(): RequestRecord {
    if (this.#free.length === 0) this.#makeRecords();
    this.#inFlight += 1;
    if (this.#inFlight >= MAX_IN_FLIGHT) this.#throttle();
    const record = this.#free.pop()!;
    record.block.result = 0;
    return record;
  }

  #recycle(record: RequestRecord): void {
    if (record.slot !== 0) this.#releaseSlot(record);
    this.#free.push(record);
    this.#inFlight -= 1;
    if (this.#isPaused) this.#throttle();
    if (this.#inFlight > 0) return;
    this.#whenIdle?.();
    this.#whenIdle = null;
    if (this.#isClosed) this.#releasePages();
  }

  #releaseSlot(record: RequestRecord): void {
    this.#memory.releaseSlot(record.slot);
    record.slot = 0;
  }

  /** The channel rests while too much is in flight, or while memory is short: requests wait better in the kernel. */
  #throttle(): void {
    const isFull = this.#inFlight >= MAX_IN_FLIGHT || this.#waitingForSlot > 0;
    if (isFull === this.#isPaused || this.#isClosed) return;
    this.#isPaused = isFull;
    if (isFull) this.#channel.pause();
    else this.#channel.resume();
  }

  #makeRecords(): void {
    const page = this.#memory.reserve(PAGE_BYTES);
    this.#pages.push(page);
    for (let at = 0; at < PAGE_BYTES; at += REPLY_BYTES) this.#free.push(new RequestRecord(this, page + at));
  }

  #releasePages(): void {
    for (const page of this.#pages.splice(0)) this.#memory.release(page, PAGE_BYTES);
  }
}
