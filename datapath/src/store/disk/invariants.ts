// Space accounting and ownership of an open disk, checked in full; for tests and the simulator. Throws AssertionFailure.
import { assert } from '../../base/assert.ts';
import type { DiskState } from './disk-state.ts';
import { BITMAP, EXTENT_AND_STATE, FIRST_CRC, OBJECT_INDEX, STATE_IN_USE, slotOf, volumeOf, wordOf } from './extent-table.ts';
import { BLOCKS_PER_EXTENT, EXTENTS_PER_OBJECT } from './layout.ts';

export interface ExtentCounts {
  readonly totalExtents: number;
  readonly usedExtents: number;
  readonly freeExtents: number;
}

/** With `isQuiet` (nothing under way) also: no block is busy, nothing is reserved, pinned or on its way to be free. */
export function checkInvariants(state: DiskState, isQuiet: boolean): ExtentCounts {
  const { table, map, free } = state;
  let used = 0;
  let freeing = 0;
  let freeCount = 0;
  for (let physical = 0; physical < table.extentCount; physical += 1) {
    if (free.isFree(physical)) {
      freeCount += 1;
      assert(!table.isInUse(physical), `physical extent ${physical} is free and in use`);
      continue;
    }
    assert(table.has(physical), `physical extent ${physical} is taken, but was never used`);
    if (table.isInUse(physical)) {
      used += 1;
      checkEntry(state, physical, isQuiet);
    } else {
      freeing += 1;
    }
  }
  assert(freeCount === free.count, `${freeCount} extents are free, ${free.count} are counted`);
  assert(freeing === state.pendingFreeExtents, `${freeing} extents are being freed, ${state.pendingFreeExtents} are counted`);
  assert(
    used + freeing + freeCount === table.extentCount,
    `${used} used + ${freeing} being freed + ${freeCount} free extents are not ${table.extentCount}`,
  );
  let mapped = 0;
  for (const volumeId of map.volumes()) mapped += map.backedExtents(volumeId);
  assert(isQuiet ? mapped === used : mapped >= used, `${mapped} extents are mapped, ${used} are in use`);
  if (isQuiet) {
    assert(freeing === 0, `${freeing} extents are being freed on a quiet disk`);
    assert(state.reservedExtents === 0, `${state.reservedExtents} extents are reserved on a quiet disk`);
    assert(state.pinned.size === 0, `${state.pinned.size} places are pinned on a quiet disk`);
    assert(state.waits.isEmpty, 'somebody waits for an extent on a quiet disk');
    assert(state.outstanding === 0, `${state.outstanding} operations are under way on a quiet disk`);
  }
  return { totalExtents: table.extentCount, usedExtents: used, freeExtents: freeCount };
}

function checkEntry(state: DiskState, physical: number, isQuiet: boolean): void {
  const segment = state.table.at(physical);
  const { words } = segment;
  const at = wordOf(physical);
  const volumeId = volumeOf(words, at);
  const extentNumber = words[at + OBJECT_INDEX]! * EXTENTS_PER_OBJECT + (words[at + EXTENT_AND_STATE]! & (STATE_IN_USE - 1));
  const mapped = state.map.find(volumeId, extentNumber);
  assert(
    mapped === physical,
    `physical extent ${physical} belongs to volume ${volumeId} extent ${extentNumber}, which is mapped to ${mapped}`,
  );
  const written = words[at + BITMAP]!;
  for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
    const isWritten = ((written >>> block) & 1) !== 0;
    assert(
      isWritten || words[at + FIRST_CRC + block] === 0,
      `physical extent ${physical} block ${block} is not written, but has a checksum`,
    );
  }
  assert(!isQuiet || segment.busy[slotOf(physical)] === 0, `physical extent ${physical} has busy blocks on a quiet disk`);
}
