// One byte stream on the ring: at most one receive and one send in flight. What arrives lands in a provided buffer, or directly
// in the handler's memory (receiveInto); what was written during a turn leaves in one send at its end, then the next
// receive is armed.
//
//   open --end(), or the peer's end--> draining output --all sent--> half closed --peer's end, or 1 s--> closing
//     \--destroy(), or an error----------------------------------------------------------------------> closing
//   closing (the socket is shut down) --both operations have completed--> closed
// Invariants: memory is given up (completions, blocks, direct target) only when the kernel has completed both operations;
// onClosed is called once, last, and never from within a call into the stream.
import { assert } from '../../base/assert.ts';
import { PfError } from '../../base/errors.ts';
import type { TurnTask } from '../clock.ts';
import { ECANCELED, ECONNRESET } from '../completion.ts';
import type { MemoryBlocks } from '../memory-blocks.ts';
import type { Stream, StreamHandler } from '../network.ts';
import { nativeError, type NativeAddon } from './native-addon.ts';
import { RECEIVE_BUFFER_BYTES, type ReceiveBuffers } from './receive-buffers.ts';
import {
  CQE_BUFFER_SHIFT,
  CQE_HAS_BUFFER,
  CQE_SOCKET_NONEMPTY,
  OP_RECV,
  OP_SEND,
  OP_SENDMSG,
  RECV_POLL_FIRST,
  SQE_BUFFER_SELECT,
  type Ring,
  type RingOperation,
} from './ring.ts';
import { LINGER_MS, StreamOutput, type OutputSurroundings } from './stream-output.ts';
import { toPfError } from './system-error.ts';

const MSG_WAITALL = 0x100;
const MSG_NOSIGNAL = 0x4000;
const SEND_FLAGS = MSG_WAITALL | MSG_NOSIGNAL;
const SHUT_WRITE = 1;
const SHUT_BOTH = 2;
const EINTR = 4;
const EAGAIN = 11;
const ENOBUFS = 105;

/** A block holds one struct msghdr, then its I/O vector. */
const VECTOR_AT = 64;
export const MESSAGE_BLOCK_BYTES = 4096;
const MAX_SEGMENTS_PER_SEND = (MESSAGE_BLOCK_BYTES - VECTOR_AT) / 16;

/** What all streams of a world share. */
export interface RingSurroundings extends OutputSurroundings {
  readonly ring: Ring;
  readonly addon: NativeAddon;
  readonly addressLow: number;
  readonly addressHigh: number;
  readonly messageBlocks: MemoryBlocks;
  readonly receiveBuffers: ReceiveBuffers;
}

export class RingStream extends StreamOutput implements Stream, TurnTask {
  readonly #fd: number;
  readonly #shared: RingSurroundings;
  readonly #onGone: (stream: RingStream) => void;
  readonly #receiveIndex: number;
  readonly #sendIndex: number;
  #handler: StreamHandler | null = null;
  #isTaskScheduled = false;
  #isReceiving = false;
  #isSending = false;
  /** Nobody waits for the send in flight, so its completion may come with the next turn. */
  #isSendQuiet = false;
  #isSendHeeded = false;
  #messageBlock = 0;
  #isPaused = false;
  #isSocketNonempty = false;
  #directOffset = 0;
  #directLeft = 0;
  #isEnding = false;
  #hasPeerEnded = false;
  #lingerTimer: NodeJS.Timeout | null = null;
  #isClosing = false;
  #isClosed = false;
  #failure: PfError | null = null;

  constructor(fd: number, peer: string, shared: RingSurroundings, onGone: (stream: RingStream) => void) {
    super(peer, shared);
    this.#fd = fd;
    this.#shared = shared;
    this.#onGone = onGone;
    this.#receiveIndex = shared.ring.register(new ReceiveOperation(this));
    this.#sendIndex = shared.ring.register(new SendOperation(this));
  }

  get handler(): StreamHandler | null {
    return this.#handler;
  }

  set handler(handler: StreamHandler | null) {
    assert(this.#handler === null && handler !== null, 'the handler of a stream is set once');
    this.#handler = handler;
    this.#schedule();
  }

  receiveInto(memoryOffset: number, length: number): void {
    assert(
      this.#directLeft === 0 && length > 0,
      `receiveInto(${length}) while ${this.#directLeft} bytes of the last one are missing`,
    );
    this.#directOffset = memoryOffset;
    this.#directLeft = length;
    this.#schedule();
  }

  pauseReceiving(): void {
    this.#isPaused = true;
  }

  resumeReceiving(): void {
    this.#isPaused = false;
    this.#schedule();
  }

  end(): void {
    this.#isEnding = true;
    this.#heedSend();
    this.#schedule();
  }

  destroy(): void {
    this.#close(new PfError('CANCELLED', `connection with ${this.peer} was closed here`));
  }

  runAtTurnEnd(): void {
    this.#isTaskScheduled = false;
    if (this.#isClosing) {
      this.#finishWhenIdle();
      return;
    }
    if (!this.#isSending) {
      if (this.output.queuedBytes > 0) this.#send();
      else if (this.#isEnding) this.#halfClose();
    }
    if (!this.#isReceiving && !this.#isClosing) this.#receive();
  }

  received(result: number, flags: number): void {
    this.#isReceiving = false;
    this.#isSocketNonempty = (flags & CQE_SOCKET_NONEMPTY) !== 0;
    if ((flags & CQE_HAS_BUFFER) !== 0) {
      const buffer = flags >>> CQE_BUFFER_SHIFT;
      if (result > 0 && !this.#isClosing && !this.#isEnding)
        this.#handler!.onBytes(this.#shared.receiveBuffers.offsetOf(buffer), result);
      this.#shared.receiveBuffers.give(buffer);
    } else if (result > 0) {
      this.#receivedDirect(result);
    }
    if (result === 0) this.#peerEnded();
    else if (result < 0 && result !== -ENOBUFS && result !== -EINTR && result !== -EAGAIN) this.#broke(result);
    this.#schedule();
  }

  sent(result: number): void {
    this.#isSending = false;
    this.#isSendQuiet = false;
    if (this.#isSendHeeded) this.#shared.ring.unheed();
    this.#isSendHeeded = false;
    if (this.#messageBlock !== 0) {
      this.#shared.messageBlocks.give(this.#messageBlock);
      this.#messageBlock = 0;
    }
    if (result > 0) this.output.advance(result);
    else if (result !== -EINTR && result !== -EAGAIN) this.#broke(result);
    if (this.output.queuedBytes > 0 || this.#isEnding || this.#isClosing) this.#schedule();
    if (!this.#isClosing && this.hasDrained()) this.#handler?.onDrain?.();
  }

  protected get isOutputOver(): boolean {
    return this.#isEnding || this.#isClosing;
  }

  protected outputQueued(): void {
    if (this.#isSending) this.#heedSend();
    else this.#schedule();
  }

  protected outputFailed(failure: PfError): void {
    this.#close(failure);
  }

  #schedule(): void {
    if (this.#isTaskScheduled) return;
    this.#isTaskScheduled = true;
    this.#shared.turn.atEnd(this);
  }

  /** From now on somebody waits for the send in flight. */
  #heedSend(): void {
    if (!this.#isSendQuiet) return;
    this.#isSendQuiet = false;
    this.#isSendHeeded = true;
    this.#shared.ring.heed();
  }

  #send(): void {
    const { ring, addressLow, addressHigh } = this.#shared;
    const output = this.output;
    const count = Math.min(output.segmentCount, MAX_SEGMENTS_PER_SEND);
    this.#isSending = true;
    output.seal(count);
    const isQuiet = count === output.segmentCount && output.ownedCount === 0 && !this.wasCongested && !this.#isEnding;
    this.#isSendQuiet = isQuiet;
    if (count === 1) {
      ring.push(
        OP_SEND,
        this.#fd,
        0,
        addressLow + output.offsetAt(0),
        addressHigh,
        output.lengthAt(0),
        SEND_FLAGS,
        this.#sendIndex,
        0,
        0,
        0,
        isQuiet,
      );
      return;
    }
    this.#messageBlock = this.#shared.messageBlocks.tryTake();
    if (this.#messageBlock === 0) {
      this.#isSending = false;
      this.#isSendQuiet = false;
      this.#close(this.noOutputMemory());
      return;
    }
    this.#fillMessage(this.#messageBlock, count);
    ring.push(
      OP_SENDMSG,
      this.#fd,
      0,
      addressLow + this.#messageBlock,
      addressHigh,
      1,
      SEND_FLAGS,
      this.#sendIndex,
      0,
      0,
      0,
      isQuiet,
    );
  }

  /** struct msghdr { name, name length, vector, vector length, control, control length, flags } and its struct iovecs. */
  #fillMessage(block: number, count: number): void {
    const { memory, addressLow, addressHigh } = this.#shared;
    const view = memory.view;
    memory.bytes.fill(0, block, block + VECTOR_AT);
    view.setUint32(block + 16, addressLow + block + VECTOR_AT, true);
    view.setUint32(block + 20, addressHigh, true);
    view.setUint32(block + 24, count, true);
    for (let index = 0; index < count; index += 1) {
      const at = block + VECTOR_AT + index * 16;
      view.setUint32(at, addressLow + this.output.offsetAt(index), true);
      view.setUint32(at + 4, addressHigh, true);
      view.setUint32(at + 8, this.output.lengthAt(index), true);
      view.setUint32(at + 12, 0, true);
    }
  }

  #receive(): void {
    if (this.#handler === null || this.#hasPeerEnded || (this.#isPaused && !this.#isEnding)) return;
    const { ring, addressLow, addressHigh, receiveBuffers } = this.#shared;
    this.#isReceiving = true;
    if (this.#directLeft > 0 && !this.#isEnding) {
      const length = this.#directLeft;
      ring.push(
        OP_RECV,
        this.#fd,
        0,
        addressLow + this.#directOffset,
        addressHigh,
        length,
        MSG_WAITALL,
        this.#receiveIndex,
        0,
        0,
        0,
      );
    } else {
      const priority = this.#isSocketNonempty ? 0 : RECV_POLL_FIRST;
      ring.push(
        OP_RECV,
        this.#fd,
        0,
        0,
        0,
        RECEIVE_BUFFER_BYTES,
        0,
        this.#receiveIndex,
        SQE_BUFFER_SELECT,
        priority,
        receiveBuffers.group,
      );
    }
  }

  #receivedDirect(length: number): void {
    this.#directOffset += length;
    this.#directLeft -= length;
    if (this.#directLeft === 0 && !this.#isClosing && !this.#isEnding) this.#handler!.onDirect();
  }

  #peerEnded(): void {
    this.#hasPeerEnded = true;
    this.#isEnding = true;
    this.#heedSend();
  }

  #broke(result: number): void {
    this.#close(toPfError(nativeError(result, 'socket'), `connection with ${this.peer} broke`, 'CONNECTION_LOST'));
  }

  #halfClose(): void {
    if (this.#hasPeerEnded) {
      this.#close(null);
    } else if (this.#lingerTimer === null) {
      this.#shared.addon.shutdownSocket(this.#fd, SHUT_WRITE);
      this.#lingerTimer = setTimeout(() => this.#close(null), LINGER_MS);
    }
  }

  #close(failure: PfError | null): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#failure = failure;
    this.#heedSend();
    if (this.#lingerTimer !== null) clearTimeout(this.#lingerTimer);
    this.#shared.addon.shutdownSocket(this.#fd, SHUT_BOTH);
    this.#schedule();
  }

  #finishWhenIdle(): void {
    if (this.#isReceiving || this.#isSending || this.#isClosed) return;
    this.#isClosed = true;
    const { ring, addon } = this.#shared;
    addon.closeDescriptor(this.#fd);
    ring.unregister(this.#receiveIndex);
    ring.unregister(this.#sendIndex);
    this.#onGone(this);
    this.output.cancel(this.#failure === null || this.#failure.code === 'CANCELLED' ? ECANCELED : ECONNRESET);
    this.#handler?.onClosed(this.#failure);
  }
}

class ReceiveOperation implements RingOperation {
  readonly #stream: RingStream;

  constructor(stream: RingStream) {
    this.#stream = stream;
  }

  ringDone(result: number, flags: number): void {
    this.#stream.received(result, flags);
  }
}

class SendOperation implements RingOperation {
  readonly #stream: RingStream;

  constructor(stream: RingStream) {
    this.#stream = stream;
  }

  ringDone(result: number): void {
    this.#stream.sent(result);
  }
}
