// Collects the extents of a map in order, merging neighbours that are alike.
import type { BlockExtent } from './device.ts';

export class ExtentList {
  readonly extents: BlockExtent[] = [];

  add(length: number, isAllocated: boolean, isZero: boolean): void {
    if (length === 0) return;
    const last = this.extents.at(-1);
    if (last !== undefined && last.isAllocated === isAllocated && last.isZero === isZero) {
      this.extents[this.extents.length - 1] = { length: last.length + length, isAllocated, isZero };
    } else {
      this.extents.push({ length, isAllocated, isZero });
    }
  }
}
