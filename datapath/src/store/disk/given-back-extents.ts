// What a complete batch lets go of: blocks of trims are not busy any more, freed extents lose their place in the map and can be used again.
// Long runs that a trim freed are first discarded, so that thin files and flash get their space back; they stay unusable until the disk has
// answered. Called by DiskStore for each batch, in order.
// Crash window: none. The records that free the extents are durable; what a free extent holds does not matter.
import type { Completion } from '../../world/completion.ts';
import type { DiskState } from './disk-state.ts';
import { EXTENT_AND_STATE, OBJECT_INDEX, STATE_IN_USE, slotOf, volumeOf, wordOf } from './extent-table.ts';
import { EXTENTS_PER_OBJECT, EXTENT_BYTES } from './layout.ts';
import { HELD_FREED, HELD_TRIMMED, type LogBatch } from './log-batch.ts';
import type { Stalls } from './stalls.ts';

/** Shorter runs are not worth a command of their own. */
const MIN_DISCARD_EXTENTS = 16;

export class GivenBackExtents {
  readonly #state: DiskState;
  readonly #stalls: Stalls;
  #discards = 0;
  #whenIdle: (() => void)[] = [];

  constructor(state: DiskState, stalls: Stalls) {
    this.#state = state;
    this.#stalls = stalls;
  }

  get isIdle(): boolean {
    return this.#discards === 0;
  }

  whenIdle(): Promise<void> {
    return this.#discards === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  release(batch: LogBatch): void {
    const { table, waits } = this.#state;
    let runStart = 0;
    let runLength = 0;
    for (let index = 0; index < batch.heldCount; index += 1) {
      const physical = batch.heldPhysical[index]!;
      const mask = batch.heldMask[index]!;
      const segment = table.at(physical);
      if (mask === HELD_FREED || mask === HELD_TRIMMED) {
        this.#unmap(physical);
        if (mask === HELD_FREED) {
          this.#free(physical, 1);
        } else if (runLength > 0 && physical === runStart + runLength) {
          runLength += 1;
        } else {
          this.#discard(runStart, runLength);
          runStart = physical;
          runLength = 1;
        }
      } else if (segment.words[wordOf(physical) + EXTENT_AND_STATE]! >= STATE_IN_USE) {
        segment.busy[slotOf(physical)]! &= ~mask;
      }
    }
    this.#discard(runStart, runLength);
    for (let index = 0; index < batch.heldCount && !waits.isEmpty; index += 1) waits.wake(batch.heldPhysical[index]!);
  }

  discarded(start: number, count: number): void {
    this.#free(start, count);
    this.#discards -= 1;
    this.#state.ioEnded();
    if (this.#discards === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    if (this.#state.failure === null) this.#stalls.resumeAll();
  }

  #discard(start: number, count: number): void {
    if (count < MIN_DISCARD_EXTENTS) {
      this.#free(start, count);
      return;
    }
    this.#discards += 1;
    this.#state.outstanding += 1;
    this.#state.disk.discard(this.#state.diskOffsetOf(start), count * EXTENT_BYTES, new Discard(this, start, count));
  }

  #unmap(physical: number): void {
    const { table, map } = this.#state;
    const { words, busy } = table.at(physical);
    const at = wordOf(physical);
    const extentNumber = words[at + OBJECT_INDEX]! * EXTENTS_PER_OBJECT + (words[at + EXTENT_AND_STATE]! & (STATE_IN_USE - 1));
    const volumeId = volumeOf(words, at);
    if (map.find(volumeId, extentNumber) === physical) map.remove(volumeId, extentNumber);
    busy[slotOf(physical)] = 0;
  }

  #free(start: number, count: number): void {
    for (let physical = start; physical < start + count; physical += 1) this.#state.free.release(physical);
    this.#state.pendingFreeExtents -= count;
  }
}

/** The disk's answer does not matter: a discard is a hint. */
class Discard implements Completion {
  readonly #owner: GivenBackExtents;
  readonly #start: number;
  readonly #count: number;

  constructor(owner: GivenBackExtents, start: number, count: number) {
    this.#owner = owner;
    this.#start = start;
    this.#count = count;
  }

  complete(): void {
    this.#owner.discarded(this.#start, this.#count);
  }
}
