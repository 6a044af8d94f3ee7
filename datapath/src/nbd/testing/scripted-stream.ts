// A stream in a test's hands: the test delivers bytes at any split and sees what was sent, all in one turn of the loop.
// Output is taken when the test asks for it (takeOutput), and only then completions of owned memory are called.
import type { Completion } from '../../world/completion.ts';
import { ECANCELED } from '../../world/completion.ts';
import { PfError } from '../../base/errors.ts';
import type { IoMemory } from '../../world/memory.ts';
import type { Stream, StreamHandler } from '../../world/network.ts';

const INPUT_BYTES = 256 * 1024;
const OUTPUT_BYTES = 4 * 1024 * 1024;

type Segment = { offset: number; length: number; sent: Completion | null };

export class ScriptedStream implements Stream {
  readonly peer = 'script';
  handler: StreamHandler | null = null;
  isCongested = false;
  isPaused = false;
  isEnded = false;
  isDestroyed = false;
  readonly #memory: IoMemory;
  readonly #input: number;
  readonly #output: number;
  #outputFill = 0;
  #segments: Segment[] = [];
  #direct: { offset: number; length: number; fill: number } | null = null;
  #isClosed = false;

  constructor(memory: IoMemory) {
    this.#memory = memory;
    this.#input = memory.reserve(INPUT_BYTES);
    this.#output = memory.reserve(OUTPUT_BYTES);
  }

  get queuedBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.length, 0);
  }

  get isReceivingDirectly(): boolean {
    return this.#direct !== null;
  }

  /** Delivers bytes as the world would: to a running receiveInto() first, then to onBytes. */
  deliver(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && !this.#isClosed) {
      const direct = this.#direct;
      if (direct !== null) {
        const taken = Math.min(direct.length - direct.fill, bytes.length - at);
        this.#memory.bytes.set(bytes.subarray(at, at + taken), direct.offset + direct.fill);
        direct.fill += taken;
        at += taken;
        if (direct.fill < direct.length) return;
        this.#direct = null;
        this.handler!.onDirect();
        continue;
      }
      const taken = Math.min(INPUT_BYTES, bytes.length - at);
      this.#memory.bytes.set(bytes.subarray(at, at + taken), this.#input);
      at += taken;
      this.handler!.onBytes(this.#input, taken);
    }
  }

  /** What was sent since the last call; completes what was owned. */
  takeOutput(): Uint8Array {
    const parts: Uint8Array[] = [];
    while (this.#segments.length > 0) {
      const segments = this.#segments;
      this.#segments = [];
      for (const { offset, length } of segments) parts.push(this.#memory.bytes.slice(offset, offset + length));
      this.#outputFill = 0;
      for (const segment of segments) segment.sent?.complete(0);
    }
    return Buffer.concat(parts);
  }

  /** The peer closes. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#direct = null;
    const segments = this.#segments;
    this.#segments = [];
    for (const segment of segments) segment.sent?.complete(ECANCELED);
    this.handler!.onClosed(this.isDestroyed ? new PfError('CANCELLED', 'destroyed') : null);
    this.#memory.release(this.#input, INPUT_BYTES);
    this.#memory.release(this.#output, OUTPUT_BYTES);
  }

  receiveInto(memoryOffset: number, length: number): void {
    this.#direct = { offset: memoryOffset, length, fill: 0 };
  }

  pauseReceiving(): void {
    this.isPaused = true;
  }

  resumeReceiving(): void {
    this.isPaused = false;
  }

  reserve(length: number): number {
    if (this.#outputFill + length > OUTPUT_BYTES) throw new PfError('NO_SPACE', 'the script does not take its output');
    const offset = this.#output + this.#outputFill;
    this.#outputFill += length;
    this.#segments.push({ offset, length, sent: null });
    return offset;
  }

  writeOwned(memoryOffset: number, length: number, sent: Completion): void {
    this.#segments.push({ offset: memoryOffset, length, sent });
  }

  writeBytes(bytes: Uint8Array): void {
    this.#memory.bytes.set(bytes, this.reserve(bytes.length));
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}
