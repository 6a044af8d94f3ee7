// One byte stream on net.Socket. What arrives is read into one arena buffer shared by all streams of the world (handlers
// consume everything before they return), or directly into the handler's memory; what leaves is gathered at the end of the
// turn, one write at a time.
//
//   open --end()--> draining output --all sent--> half closed --peer's end, or 1 s--> closed
//     \--destroy(), error, peer's end---------------------------------------------> closed
// Invariants: arena memory is given up (completions, blocks) only after the socket's 'close', when libuv holds no view of it;
// onClosed is called once, last, and never from within a call into the stream.
import type { Socket } from 'node:net';
import { assert } from '../../base/assert.ts';
import { PfError } from '../../base/errors.ts';
import type { TurnTask } from '../clock.ts';
import { ECANCELED, ECONNRESET } from '../completion.ts';
import type { Stream, StreamHandler } from '../network.ts';
import { readIntoArena, type ArenaReader } from './arena-socket.ts';
import { LINGER_MS, StreamOutput, type OutputSurroundings } from './stream-output.ts';
import { toPfError } from './system-error.ts';

export const RECEIVE_BUFFER_BYTES = 64 * 1024;
const MAX_SEGMENTS_PER_WRITE = 256;

/** What all streams of a world share. */
export interface StreamSurroundings extends OutputSurroundings {
  /** RECEIVE_BUFFER_BYTES of the arena. */
  readonly receiveView: Uint8Array;
}

export class LibuvStream extends StreamOutput implements Stream, TurnTask, ArenaReader {
  readonly #socket: Socket;
  readonly #shared: StreamSurroundings;
  readonly #onGone: (stream: LibuvStream) => void;
  #handler: StreamHandler | null = null;
  #isFlushScheduled = false;
  #sendingBytes = 0;
  #isPaused = false;
  #isEnding = false;
  #isClosed = false;
  #failure: PfError | null = null;
  #lingerTimer: NodeJS.Timeout | null = null;
  #directOffset = 0;
  #directLeft = 0;
  #isReadingDirect = false;

  constructor(socket: Socket, peer: string, shared: StreamSurroundings, onGone: (stream: LibuvStream) => void) {
    super(peer, shared);
    this.#shared = shared;
    this.#onGone = onGone;
    this.#socket = readIntoArena(socket, this);
    this.#socket.on('error', (error) => {
      this.#failure ??= toPfError(error, `connection with ${peer} broke`, 'CONNECTION_LOST');
    });
    this.#socket.on('close', () => this.#onSocketClosed());
    this.#socket.on('end', () => this.#onPeerEnded());
  }

  get handler(): StreamHandler | null {
    return this.#handler;
  }

  set handler(handler: StreamHandler | null) {
    assert(this.#handler === null && handler !== null, 'the handler of a stream is set once');
    this.#handler = handler;
    this.#applyPause();
  }

  receiveInto(memoryOffset: number, length: number): void {
    assert(
      this.#directLeft === 0 && length > 0,
      `receiveInto(${length}) while ${this.#directLeft} bytes of the last one are missing`,
    );
    this.#directOffset = memoryOffset;
    this.#directLeft = length;
  }

  pauseReceiving(): void {
    this.#isPaused = true;
    this.#applyPause();
  }

  resumeReceiving(): void {
    this.#isPaused = false;
    this.#applyPause();
  }

  end(): void {
    if (this.#isEnding || this.#isClosed) return;
    this.#isEnding = true;
    this.#applyPause();
    this.#scheduleFlush();
  }

  destroy(): void {
    this.outputFailed(new PfError('CANCELLED', `connection with ${this.peer} was closed here`));
  }

  nextBuffer(): Uint8Array {
    this.#isReadingDirect = this.#directLeft > 0;
    if (!this.#isReadingDirect) return this.#shared.receiveView;
    return new Uint8Array(this.#shared.memory.buffer, this.#directOffset, this.#directLeft);
  }

  arrived(length: number): void {
    if (this.#socket.destroyed || this.#isEnding) return;
    if (!this.#isReadingDirect) {
      this.#handler!.onBytes(this.#shared.receiveView.byteOffset, length);
      return;
    }
    this.#directOffset += length;
    this.#directLeft -= length;
    if (this.#directLeft === 0) this.#handler!.onDirect();
  }

  runAtTurnEnd(): void {
    this.#isFlushScheduled = false;
    if (this.#sendingBytes > 0 || this.#socket.destroyed) return;
    if (this.output.queuedBytes > 0) this.#send();
    else if (this.#isEnding) this.#halfClose();
  }

  protected get isOutputOver(): boolean {
    return this.#isEnding || this.#socket.destroyed;
  }

  protected outputQueued(): void {
    this.#scheduleFlush();
  }

  protected outputFailed(failure: PfError): void {
    if (this.#isClosed || this.#socket.destroyed) return;
    this.#failure ??= failure;
    this.#socket.destroy();
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    this.#shared.turn.atEnd(this);
  }

  #send(): void {
    const output = this.output;
    const count = Math.min(output.segmentCount, MAX_SEGMENTS_PER_WRITE);
    output.seal(count);
    this.#socket.cork();
    for (let index = 0; index < count; index += 1) {
      const length = output.lengthAt(index);
      this.#sendingBytes += length;
      const bytes = Buffer.from(this.#shared.memory.buffer, output.offsetAt(index), length);
      if (index === count - 1) this.#socket.write(bytes, this.#onSent);
      else this.#socket.write(bytes);
    }
    this.#socket.uncork();
  }

  /** After an error the completions wait for 'close'. */
  readonly #onSent = (error?: Error | null): void => {
    if (error) return;
    const sent = this.#sendingBytes;
    this.#sendingBytes = 0;
    this.output.advance(sent);
    if (this.output.queuedBytes > 0 || this.#isEnding) this.#scheduleFlush();
    if (this.hasDrained()) this.#handler?.onDrain?.();
  };

  #halfClose(): void {
    if (this.#lingerTimer !== null) return;
    this.#socket.end();
    this.#lingerTimer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    if (this.#socket.readableEnded) this.#socket.destroy();
  }

  /** What was queued when the peer ended still goes out; then both sides are closed. */
  #onPeerEnded(): void {
    if (this.#lingerTimer !== null) this.#socket.destroy();
    else this.end();
  }

  #onSocketClosed(): void {
    this.#isClosed = true;
    if (this.#lingerTimer !== null) clearTimeout(this.#lingerTimer);
    const failure = this.#failure;
    this.#onGone(this);
    this.output.cancel(failure === null || failure.code === 'CANCELLED' ? ECANCELED : ECONNRESET);
    this.#handler?.onClosed(failure);
  }

  #applyPause(): void {
    if (this.#handler === null || this.#socket.destroyed) return;
    if (this.#isPaused && !this.#isEnding) this.#socket.pause();
    else this.#socket.resume();
  }
}
