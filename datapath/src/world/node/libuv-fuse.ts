// A FUSE connection without io_uring: libuv watches the descriptor, and each event reads one request with a plain system call, which
// never waits. Replies are written at once. Slower than the ring (two calls and one round of the loop a request), and simple.
import { writeSync } from 'node:fs';
import type { Turn, TurnTask } from '../clock.ts';
import { EIO, type Completion } from '../completion.ts';
import { FUSE_HEAD_BYTES, FUSE_PAYLOAD_BYTES, type FuseHandler } from '../fuse.ts';
import type { IoMemory } from '../memory.ts';
import { closeDescriptor, type OwnedFuseChannel } from './fuse-descriptor.ts';
import { nativeError, type NativeFuse, type NativeWatch } from './native-addon.ts';
import { errnoOf, toPfError } from './system-error.ts';

/** EAGAIN, EINTR, ENOENT: a request that was taken back. */
const RETRIED = new Set([-11, -4, -2]);

export class LibuvFuseChannel implements OwnedFuseChannel, TurnTask {
  readonly fd: number;
  readonly #addon: NativeFuse;
  readonly #memory: IoMemory;
  readonly #turn: Turn;
  #handler: FuseHandler | null = null;
  #watch: NativeWatch | null = null;
  #isPaused = false;
  #isStopped = false;
  #isClosed = false;
  #isWaitingForSlot = false;
  #sent: { done: Completion; result: number }[] = [];

  /** Owns the descriptor, which must be non-blocking. */
  constructor(fd: number, addon: NativeFuse, memory: IoMemory, turn: Turn) {
    this.fd = fd;
    this.#addon = addon;
    this.#memory = memory;
    this.#turn = turn;
  }

  start(handler: FuseHandler): void {
    this.#handler = handler;
    this.#listen();
  }

  pause(): void {
    this.#isPaused = true;
    this.#endWatch();
  }

  resume(): void {
    this.#isPaused = false;
    this.#listen();
  }

  send(memoryOffset: number, length: number, done: Completion): void {
    let result = 0;
    try {
      writeSync(this.fd, this.#memory.bytes, memoryOffset, length);
    } catch (error) {
      result = errnoOf(error) || EIO;
    }
    this.#sent.push({ done, result });
    if (this.#sent.length === 1) this.#turn.atEnd(this);
  }

  runAtTurnEnd(): void {
    for (const { done, result } of this.#sent.splice(0)) done.complete(result);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#endWatch();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.stop();
    await closeDescriptor(this.fd);
  }

  /** A slot may be free. */
  complete(): void {
    this.#isWaitingForSlot = false;
    this.#listen();
  }

  #listen(): void {
    if (this.#watch !== null || this.#isPaused || this.#isStopped || this.#isWaitingForSlot) return;
    const watch = this.#addon.watchReadable(this.fd, () => this.#readOne());
    if (typeof watch === 'number') throw toPfError(nativeError(watch, 'uv_poll_init'), 'cannot watch /dev/fuse');
    this.#watch = watch;
  }

  #endWatch(): void {
    if (this.#watch !== null) this.#addon.endWatch(this.#watch);
    this.#watch = null;
  }

  #readOne(): void {
    if (this.#watch === null) return;
    const slot = this.#memory.acquireSlot(FUSE_PAYLOAD_BYTES);
    if (slot === 0) {
      this.#isWaitingForSlot = true;
      this.#endWatch();
      this.#memory.whenSlotFree(FUSE_PAYLOAD_BYTES, this);
      return;
    }
    const length = this.#addon.readNow(this.fd, this.#memory.bytes, slot - FUSE_HEAD_BYTES, FUSE_HEAD_BYTES + FUSE_PAYLOAD_BYTES);
    const isKept = length > 0 && this.#handler!.takeRequest(slot, length);
    if (!isKept) this.#memory.releaseSlot(slot);
    if (length > 0 || RETRIED.has(length)) return;
    this.#isStopped = true;
    this.#endWatch();
    this.#handler!.channelEnded();
  }
}
