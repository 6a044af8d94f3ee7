// A FUSE connection on the ring. Asleep it is one poll and no memory; when requests are there they are read one after the other until
// there is none, with plain calls on a descriptor that does not block (a read on the ring would wait in its place and hold its
// memory). Replies leave through the ring, all those of a turn in one submission.
//
//   polling --readable--> reading --none left, or enough for a turn--> polling
//      \--pause(), stop()--> idle --resume()--> polling;   no memory: idle until a slot is free
import type { Turn } from '../clock.ts';
import type { Completion } from '../completion.ts';
import { FUSE_HEAD_BYTES, FUSE_PAYLOAD_BYTES, type FuseHandler } from '../fuse.ts';
import type { ArenaMapping } from './arena-mapping.ts';
import { closeDescriptor, type OwnedFuseChannel } from './fuse-descriptor.ts';
import type { NativeFuse } from './native-addon.ts';
import { OP_POLL_ADD, OP_WRITE, type Ring, type RingOperation } from './ring.ts';

const POLLIN = 1;
const EINTR = 4;
const ENOENT = 2;
const EAGAIN = 11;
const ECANCELED = 125;
/** Requests read in one go; the device and the replies want their turn. */
const MAX_READS = 32;
/** Completions of replies up to this long need not wake the thread. */
const QUIET_BYTES = 16 * 1024 + 16;

export interface FuseSurroundings extends ArenaMapping {
  readonly ring: Ring;
  readonly addon: NativeFuse;
  readonly turn: Turn;
}

export class RingFuseChannel implements OwnedFuseChannel, RingOperation {
  readonly fd: number;
  readonly #surroundings: FuseSurroundings;
  readonly #pollIndex: number;
  readonly #idleSends: SendOperation[] = [];
  #sends = 0;
  #handler: FuseHandler | null = null;
  #isPolling = false;
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

  send(memoryOffset: number, length: number, done: Completion, isAwaited = false): void {
    this.#sends += 1;
    const operation = this.#idleSends.pop() ?? new SendOperation(this, this.#surroundings.ring);
    operation.done = done;
    const { ring, addressLow, addressHigh } = this.#surroundings;
    const isQuiet = length <= QUIET_BYTES && !isAwaited;
    ring.push(OP_WRITE, this.fd, 0, addressLow + memoryOffset, addressHigh, length, 0, operation.index, 0, 0, 0, isQuiet);
  }

  async stop(): Promise<void> {
    // From here on somebody waits for the replies on their way.
    if (!this.#isStopping) this.#surroundings.ring.heed();
    this.#isStopping = true;
    if (this.#isPolling) this.#surroundings.ring.cancel(this.#pollIndex);
    if (!this.#isPolling) return;
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
    for (const operation of this.#idleSends) ring.unregister(operation.index);
    await closeDescriptor(this.fd);
  }

  /** The poll has answered. */
  ringDone(result: number): void {
    this.#isPolling = false;
    if (this.#isStopping) this.#settle();
    else if (result === -ECANCELED) this.#poll();
    else if (!this.#isPaused) this.#read();
  }

  /** A slot may be free. */
  complete(): void {
    this.#isWaitingForSlot = false;
    if (this.#isStopping) this.#settle();
    else this.#poll();
  }

  sendDone(operation: SendOperation): void {
    this.#sends -= 1;
    this.#idleSends.push(operation);
    if (this.#isStopping) this.#settle();
  }

  #poll(): void {
    if (this.#isPolling || this.#isPaused || this.#isStopping || this.#hasEnded || this.#isWaitingForSlot) return;
    this.#isPolling = true;
    this.#surroundings.ring.push(OP_POLL_ADD, this.fd, 0, 0, 0, 0, POLLIN, this.#pollIndex, 0, 0, 0);
  }

  #read(): void {
    const { addon, memory } = this.#surroundings;
    let slot = 0;
    for (let left = MAX_READS; left > 0 && !this.#isPaused && !this.#isStopping; left -= 1) {
      if (slot === 0) slot = memory.acquireSlot(FUSE_PAYLOAD_BYTES);
      if (slot === 0) return this.#awaitSlot();
      const result = addon.readNow(this.fd, memory.bytes, slot - FUSE_HEAD_BYTES, FUSE_HEAD_BYTES + FUSE_PAYLOAD_BYTES);
      if (result === -EINTR || result === -ENOENT) continue;
      if (result <= 0) {
        this.#hasEnded = result !== -EAGAIN;
        break;
      }
      if (this.#handler!.takeRequest(slot, result)) slot = 0;
    }
    if (slot !== 0) memory.releaseSlot(slot);
    if (this.#hasEnded) this.#handler!.channelEnded();
    else this.#poll();
  }

  #awaitSlot(): void {
    this.#isWaitingForSlot = true;
    this.#surroundings.memory.whenSlotFree(FUSE_PAYLOAD_BYTES, this);
  }

  #settle(): void {
    if (this.#isPolling || (this.#isClosed && this.#sends > 0)) return;
    for (const resolve of this.#whenQuiet.splice(0)) resolve();
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
