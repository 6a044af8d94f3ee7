// A FUSE connection on the ring. Asleep it is one poll and no memory; when requests are there, a batch of reads takes them, as
// many as the last one found and up to twice that. The descriptor does not block: a read that finds nothing says so.
//
//   polling --readable--> reading a batch --all have answered--> polling
//      \--pause(), stop()--> idle --resume()--> polling;   no memory: idle until a slot is free
import type { Turn } from '../clock.ts';
import type { Completion } from '../completion.ts';
import { FUSE_HEAD_BYTES, FUSE_PAYLOAD_BYTES, type FuseHandler } from '../fuse.ts';
import type { ArenaMapping } from './arena-mapping.ts';
import { closeDescriptor, type OwnedFuseChannel } from './fuse-descriptor.ts';
import { OP_POLL_ADD, OP_READ, OP_WRITE, type Ring, type RingOperation } from './ring.ts';

const POLLIN = 1;
const EINTR = 4;
const ENOENT = 2;
const EAGAIN = 11;
const ECANCELED = 125;
const MAX_BATCH = 8;
/** Completions of replies up to this long need not wake the thread. */
const QUIET_BYTES = 16 * 1024 + 16;

export interface FuseSurroundings extends ArenaMapping {
  readonly ring: Ring;
  readonly turn: Turn;
}

export class RingFuseChannel implements OwnedFuseChannel, RingOperation {
  readonly fd: number;
  readonly #surroundings: FuseSurroundings;
  readonly #pollIndex: number;
  readonly #reads: ReadOperation[] = [];
  readonly #idleSends: SendOperation[] = [];
  #sends = 0;
  #handler: FuseHandler | null = null;
  #isPolling = false;
  #readsInFlight = 0;
  #batch = 1;
  #found = 0;
  #isPaused = false;
  #isStopping = false;
  #isWaitingForSlot = false;
  #hasEnded = false;
  #isClosed = false;
  #whenQuiet: (() => void)[] = [];

  /** Owns the descriptor, which must be non-blocking. */
  constructor(fd: number, surroundings: FuseSurroundings) {
    this.fd = fd;
    this.#surroundings = surroundings;
    this.#pollIndex = surroundings.ring.register(this);
  }

  start(handler: FuseHandler): void {
    this.#handler = handler;
    this.#poll();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#poll();
  }

  send(memoryOffset: number, length: number, done: Completion): void {
    this.#sends += 1;
    const operation = this.#idleSends.pop() ?? new SendOperation(this, this.#surroundings.ring);
    operation.done = done;
    const { ring, addressLow, addressHigh } = this.#surroundings;
    const isQuiet = length <= QUIET_BYTES && !this.#isStopping;
    ring.push(OP_WRITE, this.fd, 0, addressLow + memoryOffset, addressHigh, length, 0, operation.index, 0, 0, 0, isQuiet);
  }

  async stop(): Promise<void> {
    // From here on somebody waits for the replies on their way.
    if (!this.#isStopping) this.#surroundings.ring.heed();
    this.#isStopping = true;
    if (this.#isPolling) this.#surroundings.ring.cancel(this.#pollIndex);
    if (!this.#isTaking) return;
    await new Promise<void>((resolve) => this.#whenQuiet.push(resolve));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { ring } = this.#surroundings;
    await this.stop();
    if (this.#sends > 0) await new Promise<void>((resolve) => this.#whenQuiet.push(resolve));
    ring.unheed();
    ring.unregister(this.#pollIndex);
    for (const read of this.#reads) ring.unregister(read.index);
    for (const operation of this.#idleSends) ring.unregister(operation.index);
    await closeDescriptor(this.fd);
  }

  /** The poll has answered. */
  ringDone(result: number): void {
    this.#isPolling = false;
    if (this.#isStopping) this.#settle();
    else if (result === -ECANCELED) this.#poll();
    else if (!this.#isPaused) this.#readBatch();
  }

  /** A slot may be free. */
  complete(): void {
    this.#isWaitingForSlot = false;
    if (this.#isStopping) this.#settle();
    else this.#poll();
  }

  readDone(operation: ReadOperation, result: number): void {
    this.#readsInFlight -= 1;
    if (result > 0) {
      this.#found += 1;
      if (this.#handler!.takeRequest(operation.slot, result)) operation.slot = 0;
    } else if (result === -EINTR || result === -ENOENT) this.#found += 1;
    else if (result !== -EAGAIN && result !== -ECANCELED) this.#hasEnded = true;
    if (this.#readsInFlight === 0) this.#batchDone();
  }

  sendDone(operation: SendOperation): void {
    this.#sends -= 1;
    this.#idleSends.push(operation);
    if (this.#isStopping) this.#settle();
  }

  get #isTaking(): boolean {
    return this.#isPolling || this.#readsInFlight > 0;
  }

  #poll(): void {
    if (this.#isTaking || this.#isPaused || this.#isStopping || this.#hasEnded || this.#isWaitingForSlot) return;
    this.#isPolling = true;
    this.#surroundings.ring.push(OP_POLL_ADD, this.fd, 0, 0, 0, 0, POLLIN, this.#pollIndex, 0, 0, 0);
  }

  #readBatch(): void {
    const { ring, memory, addressLow, addressHigh } = this.#surroundings;
    this.#found = 0;
    for (let at = 0; at < this.#batch; at += 1) {
      const slot = memory.acquireSlot(FUSE_PAYLOAD_BYTES);
      if (slot === 0) break;
      const read = (this.#reads[at] ??= new ReadOperation(this, ring));
      read.slot = slot;
      this.#readsInFlight += 1;
      const address = addressLow + slot - FUSE_HEAD_BYTES;
      ring.push(OP_READ, this.fd, 0, address, addressHigh, FUSE_HEAD_BYTES + FUSE_PAYLOAD_BYTES, 0, read.index, 0, 0, 0);
    }
    this.#batch = Math.max(1, this.#readsInFlight);
    if (this.#readsInFlight > 0) return;
    this.#isWaitingForSlot = true;
    memory.whenSlotFree(FUSE_PAYLOAD_BYTES, this);
  }

  #batchDone(): void {
    for (const read of this.#reads) {
      if (read.slot !== 0) this.#surroundings.memory.releaseSlot(read.slot);
      read.slot = 0;
    }
    this.#batch = this.#found === this.#batch ? Math.min(2 * this.#batch, MAX_BATCH) : Math.max(1, this.#found);
    if (this.#hasEnded) {
      this.#settle();
      this.#handler!.channelEnded();
    } else if (this.#isStopping) this.#settle();
    else this.#poll();
  }

  #settle(): void {
    if (this.#isTaking || (this.#isClosed && this.#sends > 0)) return;
    for (const resolve of this.#whenQuiet.splice(0)) resolve();
  }
}

class ReadOperation implements RingOperation {
  readonly index: number;
  slot = 0;
  readonly #channel: RingFuseChannel;

  constructor(channel: RingFuseChannel, ring: Ring) {
    this.#channel = channel;
    this.index = ring.register(this);
  }

  ringDone(result: number): void {
    this.#channel.readDone(this, result);
  }
}

class SendOperation implements RingOperation {
  readonly index: number;
  done: Completion | null = null;
  readonly #channel: RingFuseChannel;

  constructor(channel: RingFuseChannel, ring: Ring) {
    this.#channel = channel;
    this.index = ring.register(this);
  }

  ringDone(result: number): void {
    const done = this.done!;
    this.done = null;
    done.complete(result < 0 ? -result : 0);
    this.#channel.sendDone(this);
  }
}
