// The sending half that the ring's and libuv's streams share: what may still be written, and when there is too much of it.
// The streams derive from it, and send what the queue holds at the end of a turn.
import { PfError } from '../../base/errors.ts';
import type { Turn } from '../clock.ts';
import { ECANCELED, type Completion } from '../completion.ts';
import type { IoMemory } from '../memory.ts';
import type { MemoryBlocks } from '../memory-blocks.ts';
import { RESERVE_MAX_BYTES } from '../network.ts';
import { OutputQueue } from '../output-queue.ts';

const CONGESTED_BYTES = 1024 * 1024;
const DRAINED_BYTES = 256 * 1024;
/** How long end() waits for the peer to close as well, so that nothing sent is lost to a reset. */
export const LINGER_MS = 1000;

export interface OutputSurroundings {
  readonly memory: IoMemory;
  readonly turn: Turn;
  /** Of OUTPUT_BLOCK_BYTES. */
  readonly outputBlocks: MemoryBlocks;
}

export abstract class StreamOutput {
  readonly peer: string;
  protected readonly output: OutputQueue;
  /** Somebody may wait for the queue to drain. */
  protected wasCongested = false;
  readonly #shared: OutputSurroundings;

  constructor(peer: string, shared: OutputSurroundings) {
    this.peer = peer;
    this.#shared = shared;
    this.output = new OutputQueue(shared.outputBlocks);
  }

  get isCongested(): boolean {
    return this.output.queuedBytes > CONGESTED_BYTES;
  }

  get queuedBytes(): number {
    return this.output.queuedBytes;
  }

  reserve(length: number): number {
    if (this.isOutputOver) return this.#shared.outputBlocks.spare;
    const offset = this.output.reserve(length);
    this.#noteOutput();
    return offset;
  }

  writeOwned(memoryOffset: number, length: number, sent: Completion): void {
    if (this.isOutputOver) {
      this.#shared.turn.atEnd({ runAtTurnEnd: () => sent.complete(ECANCELED) });
      return;
    }
    this.output.pushOwned(memoryOffset, length, sent);
    this.#noteOutput();
  }

  writeBytes(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += RESERVE_MAX_BYTES) {
      const piece = bytes.subarray(at, at + RESERVE_MAX_BYTES);
      this.#shared.memory.bytes.set(piece, this.reserve(piece.length));
    }
  }

  /** Nothing more is taken: the stream ends, or has ended. */
  protected abstract get isOutputOver(): boolean;
  /** The queue has grown: send at the end of the turn. */
  protected abstract outputQueued(): void;
  protected abstract outputFailed(failure: PfError): void;

  protected noOutputMemory(): PfError {
    return new PfError(
      'NO_SPACE',
      `connection with ${this.peer} was closed: no I/O memory is left for its output; its reader is too slow, or the memory too small`,
    );
  }

  /** True once after a congestion, when it is over. */
  protected hasDrained(): boolean {
    if (!this.wasCongested || this.output.queuedBytes > DRAINED_BYTES) return false;
    this.wasCongested = false;
    return true;
  }

  #noteOutput(): void {
    if (this.isCongested) this.wasCongested = true;
    if (this.output.isExhausted) this.outputFailed(this.noOutputMemory());
    this.outputQueued();
  }
}
