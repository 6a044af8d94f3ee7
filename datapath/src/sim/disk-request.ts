// One request on its way to a simulated disk. Memory is looked at only when the disk performs it, so that a program which
// reuses memory too early is caught.
import type { IoVector } from '../world/disk.ts';
import type { IoMemory } from '../world/memory.ts';
import type { SparseBytes } from './sparse-bytes.ts';

export class DiskRequest {
  readonly kind: 'read' | 'write' | 'flush' | 'discard';
  /** The opened disk it came through. */
  readonly owner: object;
  readonly offset: number;
  readonly length: number;
  readonly isDurable: boolean;
  /** The device's: how long its log and its trace were at submission. */
  logPosition = 0;
  tracePosition = 0;
  readonly #memory: IoMemory;
  readonly #pieces: { offset: number; length: number }[];
  readonly #done: (result: number) => void;

  constructor(
    kind: DiskRequest['kind'],
    owner: object,
    offset: number,
    length: number,
    isDurable: boolean,
    memory: IoMemory,
    pieces: { offset: number; length: number }[],
    done: (result: number) => void,
  ) {
    this.kind = kind;
    this.owner = owner;
    this.offset = offset;
    this.length = length;
    this.isDurable = isDurable;
    this.#memory = memory;
    this.#pieces = pieces;
    this.#done = done;
  }

  get isWrite(): boolean {
    return this.kind === 'write' || this.kind === 'discard';
  }

  /** A copy of the bytes to be written. */
  gather(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    let filled = 0;
    for (const piece of this.#pieces) {
      bytes.set(this.#memory.bytes.subarray(piece.offset, piece.offset + piece.length), filled);
      filled += piece.length;
    }
    return bytes;
  }

  /** Puts what was read into the caller's memory. */
  fill(content: SparseBytes): void {
    content.read(this.offset, this.#memory.bytes, this.#pieces[0]!.offset, this.length);
  }

  finished(result: number): void {
    this.#done(result);
  }
}

export function piecesOf(vector: IoVector): { offset: number; length: number }[] {
  return Array.from({ length: vector.count }, (_, index) => ({ offset: vector.offsets[index]!, length: vector.lengths[index]! }));
}
