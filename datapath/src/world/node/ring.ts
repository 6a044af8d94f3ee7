// The thread's io_uring, driven by typed arrays: push() writes a submission entry in place, the addon's loop hook submits them
// in batches and calls #onTurn, which hands completions to their operations and then runs the turn's tasks.
// One ring serves all worlds of a thread (two hooks that block would starve each other); it lives while a world uses it.
// Invariants: an operation's index stays its own until its last completion has been handed over; the ring keeps the process
// alive exactly while operations are in flight or a turn's task waits.
import { assert } from '../../base/assert.ts';
import type { TurnQueue } from '../turn-queue.ts';
import { nativeError, unsupported, type NativeAddon, type NativeRing } from './native-addon.ts';

export interface RingOperation {
  /** `result`: as the system call's, or a negative errno. `flags`: CQE_*. */
  ringDone(result: number, flags: number): void;
}

export const OP_WRITEV = 2;
export const OP_FSYNC = 3;
export const OP_POLL_ADD = 6;
export const OP_SENDMSG = 9;
export const OP_ACCEPT = 13;
export const OP_ASYNC_CANCEL = 14;
export const OP_CONNECT = 16;
export const OP_FALLOCATE = 17;
export const OP_READ = 22;
export const OP_WRITE = 23;
export const OP_SEND = 26;
export const OP_RECV = 27;
export const OP_URING_CMD = 46;

/** Entry flag (with a buffer group in push's bufferGroup): the kernel picks a provided buffer. */
export const SQE_BUFFER_SELECT = 1 << 5;
/** push's priority, of RECV: do not try before the socket says that it has data. */
export const RECV_POLL_FIRST = 1;
export const CQE_HAS_BUFFER = 1;
export const CQE_MORE = 2;
export const CQE_SOCKET_NONEMPTY = 4;
export const CQE_BUFFER_SHIFT = 16;

const SQ_ENTRIES = 1024;
const CQ_ENTRIES = 16384;
const POLL_USER_DATA = 0xffffffff;

// Word indices of the control block shared with the addon (native/ring.c).
const SQ_TAIL = 0;
const SQ_HEAD = 1;
const CQ_HEAD = 2;
const CQ_TAIL = 3;
const IN_FLIGHT = 4;
const TURN_WANTED = 5;
const POLL_FIRED = 6;
const ENTERS = 7;
const TURNS = 8;
const HEEDED = 9;
const BUSY_POLL_US = 10;
const POLLED = 11;

export class Ring {
  static #current: Ring | null = null;

  readonly #addon: NativeAddon;
  readonly #native: NativeRing;
  readonly #control: Uint32Array;
  readonly #sqes: Uint32Array;
  readonly #cqes: Int32Array;
  readonly #sqMask: number;
  readonly #cqMask: number;
  readonly #operations: (RingOperation | null)[] = [];
  readonly #freeIndices: number[] = [];
  readonly #turns: TurnQueue[] = [];
  /** Stands for requests whose own completion does not matter. */
  readonly #ignoredIndex: number;
  #users = 0;
  #nextGroup = 0;
  #isHeld = false;

  /** The thread's ring, opened if need be. Throws UNSUPPORTED. Each call is answered by one release(). */
  static acquire(addon: NativeAddon): Ring {
    Ring.#current ??= new Ring(addon);
    Ring.#current.#users += 1;
    return Ring.#current;
  }

  private constructor(addon: NativeAddon) {
    const native = addon.openRing(SQ_ENTRIES, CQ_ENTRIES, () => this.#onTurn());
    if (typeof native === 'number') throw unsupported(`the kernel refuses it (${nativeError(native, 'io_uring_setup').message})`);
    this.#addon = addon;
    this.#native = native;
    this.#control = new Uint32Array(native.control);
    this.#sqes = new Uint32Array(native.sqes);
    this.#cqes = new Int32Array(native.cqes);
    this.#sqMask = native.sqEntries - 1;
    this.#cqMask = native.cqEntries - 1;
    this.#ignoredIndex = this.register({ ringDone() {} });
  }

  /** The last user's release closes the ring, once what is still in flight (cancellations) has completed. */
  release(): void {
    this.#users -= 1;
    if (this.#users === 0 && this.#control[IN_FLIGHT] === 0) this.#close();
  }

  /** "defer", "coop" or "plain": how the kernel delivers completions. */
  get mode(): string {
    return this.#native.mode;
  }

  /** For measurements. `polled`: waits that ended before the thread slept. */
  get counters(): { readonly enters: number; readonly turns: number; readonly polled: number } {
    return { enters: this.#control[ENTERS]!, turns: this.#control[TURNS]!, polled: this.#control[POLLED]! };
  }

  /** Lets a wait poll for up to this long before the thread sleeps, where waits have been short; 0: always sleep. */
  pollBusily(microseconds: number): void {
    this.#control[BUSY_POLL_US] = microseconds;
  }

  addTurns(turns: TurnQueue): void {
    this.#turns.push(turns);
  }

  removeTurns(turns: TurnQueue): void {
    this.#turns.splice(this.#turns.indexOf(turns), 1);
  }

  /** Asks for #onTurn before the loop sleeps. */
  wantTurn(): void {
    this.#control[TURN_WANTED] = 1;
    if (!this.#isHeld) this.#hold(true);
  }

  /** The index that stands for this operation in push(). */
  register(operation: RingOperation): number {
    const index = this.#freeIndices.length > 0 ? this.#freeIndices.pop()! : this.#operations.length;
    this.#operations[index] = operation;
    return index;
  }

  /** Only when the operation has nothing in flight. */
  unregister(index: number): void {
    this.#operations[index] = null;
    this.#freeIndices.push(index);
  }

  /** A ring of provided buffers at this address (16 bytes an entry): its group number. Throws UNSUPPORTED. */
  registerBuffers(addressLow: number, addressHigh: number, entries: number): number {
    const group = this.#nextGroup++;
    const result = this.#addon.registerBuffers(this.#native.handle, addressLow, addressHigh, entries, group);
    if (result < 0)
      throw unsupported(`the kernel has no provided-buffer rings (${nativeError(result, 'io_uring_register').message})`);
    return group;
  }

  unregisterBuffers(group: number): void {
    this.#addon.unregisterBuffers(this.#native.handle, group);
  }

  push(
    opcode: number,
    fd: number,
    offset: number,
    addressLow: number,
    addressHigh: number,
    length: number,
    operationFlags: number,
    index: number,
    entryFlags: number,
    priority: number,
    bufferGroup: number,
    isQuiet = false,
  ): void {
    const control = this.#control;
    const tail = control[SQ_TAIL]!;
    if ((tail - control[SQ_HEAD]!) >>> 0 > this.#sqMask) this.#makeRoom();
    const at = (tail & this.#sqMask) << 4;
    const sqes = this.#sqes;
    sqes[at] = opcode | (entryFlags << 8) | (priority << 16);
    sqes[at + 1] = fd;
    sqes[at + 2] = offset;
    sqes[at + 3] = offset / 4294967296;
    sqes[at + 4] = addressLow;
    sqes[at + 5] = addressHigh;
    sqes[at + 6] = length;
    sqes[at + 7] = operationFlags;
    sqes[at + 8] = index;
    sqes[at + 9] = isQuiet ? 1 : 0;
    sqes[at + 10] = bufferGroup;
    sqes[at + 11] = 0;
    sqes[at + 12] = 0;
    sqes[at + 13] = 0;
    sqes[at + 14] = 0;
    sqes[at + 15] = 0;
    control[SQ_TAIL] = tail + 1;
    control[IN_FLIGHT]! += 1;
    if (!this.#isHeld) this.#hold(true);
  }

  /** A command to a driver, with a body of 16 bytes. */
  pushCommand(fd: number, operation: number, word0: number, word1: number, word2: number, word3: number, index: number): void {
    this.push(OP_URING_CMD, fd, operation, 0, 0, 0, 0, index, 0, 0, 0);
    const at = ((this.#control[SQ_TAIL]! - 1) & this.#sqMask) << 4;
    const sqes = this.#sqes;
    sqes[at + 12] = word0;
    sqes[at + 13] = word1;
    sqes[at + 14] = word2;
    sqes[at + 15] = word3;
  }

  /** Hands over at once what was pushed. False when the kernel could not take all of it now. */
  submit(): boolean {
    this.#addon.submitRing(this.#native.handle);
    return this.#control[SQ_HEAD] === this.#control[SQ_TAIL];
  }

  /**
   * Completions of operations pushed as quiet do not end the loop's sleep: they are handed over with the next one that does.
   * While any is heeded (each heed is answered by one unheed) they count like all others.
   */
  heed(): void {
    this.#control[HEEDED]! += 1;
  }

  unheed(): void {
    this.#control[HEEDED]! -= 1;
  }

  /** Asks the kernel to end an operation early; both this request and the operation complete. */
  cancel(index: number): void {
    this.push(OP_ASYNC_CANCEL, -1, 0, index, 0, 0, 0, this.#ignoredIndex, 0, 0, 0);
  }

  #onTurn(): void {
    const control = this.#control;
    const cqes = this.#cqes;
    const tail = control[CQ_TAIL]!;
    for (let head = control[CQ_HEAD]!; head !== tail; ) {
      const at = (head & this.#cqMask) << 2;
      const index = cqes[at]! >>> 0;
      const result = cqes[at + 2]!;
      const flags = cqes[at + 3]!;
      head = (head + 1) >>> 0;
      control[CQ_HEAD] = head;
      if (index === POLL_USER_DATA) {
        control[POLL_FIRED] = 1;
        continue;
      }
      if ((flags & CQE_MORE) === 0) control[IN_FLIGHT]! -= 1;
      this.#operations[index]!.ringDone(result, flags);
    }
    control[TURN_WANTED] = 0;
    for (let at = 0; at < this.#turns.length; at += 1) this.#turns[at]!.run();
    if (!this.#isHeld || control[IN_FLIGHT] !== 0 || control[TURN_WANTED] !== 0) return;
    this.#hold(false);
    if (this.#users === 0) this.#close();
  }

  #close(): void {
    Ring.#current = null;
    this.#addon.closeRing(this.#native.handle);
  }

  #makeRoom(): void {
    const result = this.#addon.submitRing(this.#native.handle);
    const queued = (this.#control[SQ_TAIL]! - this.#control[SQ_HEAD]!) >>> 0;
    assert(queued <= this.#sqMask, `the kernel takes no submissions: ${queued} are queued, io_uring_enter says ${result}`);
  }

  #hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#addon.holdLoop(this.#native.handle, isHeld);
  }
}
