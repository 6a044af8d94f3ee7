// A ring of provided buffers shared by all streams of a world: the kernel picks one when bytes have arrived, so that a thousand
// idle connections hold no memory. A buffer is given back as soon as the handler has consumed it; few are needed, and few
// stay in the processor's cache. (A receive that finds none free is simply repeated.)
import type { IoMemory } from '../memory.ts';
import type { Ring } from './ring.ts';

export const RECEIVE_BUFFER_BYTES = 64 * 1024;
const BUFFER_COUNT = 32;
const DESCRIPTOR_BYTES = 16;
/** The ring's tail lies in the reserved half-word of its first descriptor. */
const TAIL_AT = 14;

export class ReceiveBuffers {
  readonly group: number;
  readonly #ring: Ring;
  readonly #memory: IoMemory;
  readonly #addressLow: number;
  readonly #addressHigh: number;
  readonly #descriptors: number;
  readonly #buffers: number;
  #tail = 0;

  constructor(ring: Ring, memory: IoMemory, addressLow: number, addressHigh: number) {
    this.#ring = ring;
    this.#memory = memory;
    this.#addressLow = addressLow;
    this.#addressHigh = addressHigh;
    this.#descriptors = memory.reserve(BUFFER_COUNT * DESCRIPTOR_BYTES);
    this.#buffers = memory.reserve(BUFFER_COUNT * RECEIVE_BUFFER_BYTES);
    this.group = ring.registerBuffers(addressLow + this.#descriptors, addressHigh, BUFFER_COUNT);
    for (let buffer = 0; buffer < BUFFER_COUNT; buffer += 1) this.give(buffer);
  }

  offsetOf(buffer: number): number {
    return this.#buffers + buffer * RECEIVE_BUFFER_BYTES;
  }

  /** When no receive is in flight any more. */
  close(): void {
    this.#ring.unregisterBuffers(this.group);
  }

  give(buffer: number): void {
    const view = this.#memory.view;
    const at = this.#descriptors + (this.#tail & (BUFFER_COUNT - 1)) * DESCRIPTOR_BYTES;
    view.setUint32(at, this.#addressLow + this.offsetOf(buffer), true);
    view.setUint32(at + 4, this.#addressHigh, true);
    view.setUint32(at + 8, RECEIVE_BUFFER_BYTES, true);
    view.setUint16(at + 12, buffer, true);
    this.#tail = (this.#tail + 1) & 0xffff;
    view.setUint16(this.#descriptors + TAIL_AT, this.#tail, true);
  }
}
