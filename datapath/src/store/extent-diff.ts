// Which extents two replicas hold differently: compares two lists by place, stamp, written bitmap and block checksums. Pure.
// Equal stamps alone prove nothing: two writes to one extent may have reached a replica in part, the later without the earlier.
import { BLOCKS_IN_EXTENT, type ExtentStamp } from '../api/extent-list.ts';
import { EXTENTS_PER_OBJECT } from './disk/layout.ts';

/** Extent numbers (in 64 KiB from the start of the volume), ascending, of extents that are not the same in both lists. */
export function differingExtents(own: readonly ExtentStamp[], other: readonly ExtentStamp[]): number[] {
  const differing: number[] = [];
  let ownAt = 0;
  let otherAt = 0;
  while (ownAt < own.length || otherAt < other.length) {
    const ownNumber = ownAt < own.length ? extentNumberOf(own[ownAt]!) : Infinity;
    const otherNumber = otherAt < other.length ? extentNumberOf(other[otherAt]!) : Infinity;
    if (ownNumber < otherNumber) {
      differing.push(ownNumber);
      ownAt += 1;
    } else if (otherNumber < ownNumber) {
      differing.push(otherNumber);
      otherAt += 1;
    } else {
      if (!isSame(own[ownAt]!, other[otherAt]!)) differing.push(ownNumber);
      ownAt += 1;
      otherAt += 1;
    }
  }
  return differing;
}

export const extentNumberOf = (extent: ExtentStamp): number => extent.objectIndex * EXTENTS_PER_OBJECT + extent.extentIndex;

function isSame(one: ExtentStamp, other: ExtentStamp): boolean {
  if (one.generation !== other.generation || one.sequence !== other.sequence || one.written !== other.written) return false;
  for (let block = 0; block < BLOCKS_IN_EXTENT; block += 1) {
    if ((one.written >>> block) & 1 && one.blockCrcs[block] !== other.blockCrcs[block]) return false;
  }
  return true;
}
