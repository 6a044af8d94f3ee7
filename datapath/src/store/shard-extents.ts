// The local disk's extents of one volume as records, for comparisons: cold paths only.
import type { ExtentStamp } from '../api/extent-list.ts';
import type { DiskStore } from './disk/disk-store.ts';
import { EXTENTS_PER_OBJECT, EXTENT_BYTES, OBJECT_BYTES } from './disk/layout.ts';

export class ShardExtents {
  readonly #disk: DiskStore;
  readonly #volumeId: number;

  constructor(disk: DiskStore, volumeId: number) {
    this.#disk = disk;
    this.#volumeId = volumeId;
  }

  /** Extents of the objects [fromObject, endObject), in order, whose sequence is above `above` (0: all). */
  list(fromObject: number, endObject: number, above: number): ExtentStamp[] {
    return this.#collect(fromObject * OBJECT_BYTES, endObject * OBJECT_BYTES, above);
  }

  /** Null when nothing is stored there. */
  at(extentNumber: number): ExtentStamp | null {
    return this.#collect(extentNumber * EXTENT_BYTES, (extentNumber + 1) * EXTENT_BYTES, 0)[0] ?? null;
  }

  largestSequence(fromObject: number, endObject: number): number {
    let largest = 0;
    this.#disk.listExtents(
      this.#volumeId,
      fromObject * OBJECT_BYTES,
      endObject * OBJECT_BYTES,
      (_offset, _generation, sequence) => {
        if (sequence > largest) largest = sequence;
      },
    );
    return largest;
  }

  #collect(fromOffset: number, endOffset: number, above: number): ExtentStamp[] {
    const extents: ExtentStamp[] = [];
    this.#disk.listExtents(this.#volumeId, fromOffset, endOffset, (offset, generation, sequence, written, crcs) => {
      if (above > 0 && sequence <= above) return;
      const number = offset / EXTENT_BYTES;
      extents.push({
        objectIndex: Math.floor(number / EXTENTS_PER_OBJECT),
        extentIndex: number % EXTENTS_PER_OBJECT,
        written,
        generation,
        sequence,
        blockCrcs: crcs.slice(),
      });
    });
    return extents;
  }
}
