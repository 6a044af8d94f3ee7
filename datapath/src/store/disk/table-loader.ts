// Reads both copies of the extent table into memory at open. Per entry the valid copy wins; of two valid ones that differ (a checkpoint
// was cut short, or a write was lost) the one with the larger log sequence. What had to be healed is dirty afterwards.
import { BLOCK_BYTES, KiB } from '../../base/sizes.ts';
import type { DiskState } from './disk-state.ts';
import { ENTRY_CRC, EXTENT_AND_STATE, entrySeed, LOG_HIGH, LOG_LOW, STATE_IN_USE } from './extent-table.ts';
import { Gather } from './gather.ts';
import { ENTRY_BYTES, ENTRY_WORDS } from './layout.ts';

const CHUNK_BYTES = 512 * KiB;
const CHUNK_ENTRIES = CHUNK_BYTES / ENTRY_BYTES;

/** Physical extents whose entry is damaged in both copies. */
export async function loadTable(state: DiskState, tableLimit: number): Promise<Set<number>> {
  const { disk, memory, geometry } = state;
  const damaged = new Set<number>();
  const copyA = memory.reserve(CHUNK_BYTES);
  const copyB = memory.reserve(CHUNK_BYTES);
  try {
    for (let first = 0; first < tableLimit; first += CHUNK_ENTRIES) {
      const count = Math.min(CHUNK_ENTRIES, tableLimit - first);
      const length = Math.ceil((count * ENTRY_BYTES) / BLOCK_BYTES) * BLOCK_BYTES;
      const loaded = new Gather();
      disk.read(geometry.tableOffsetA + first * ENTRY_BYTES, copyA, length, loaded.add());
      disk.read(geometry.tableOffsetB + first * ENTRY_BYTES, copyB, length, loaded.add());
      await loaded.all('read the extent table', disk.path);
      for (let index = 0; index < count; index += 1) {
        loadEntry(state, first + index, (copyA >>> 2) + index * ENTRY_WORDS, (copyB >>> 2) + index * ENTRY_WORDS, damaged);
      }
    }
  } finally {
    memory.release(copyA, CHUNK_BYTES);
    memory.release(copyB, CHUNK_BYTES);
  }
  return damaged;
}

function loadEntry(state: DiskState, physical: number, atA: number, atB: number, damaged: Set<number>): void {
  const { words, table, memory, counters } = state;
  const seed = entrySeed(table.identity, physical);
  const isValidA = memory.crc32c(atA * 4, ENTRY_CRC * 4, seed) === words[atA + ENTRY_CRC];
  const isValidB = memory.crc32c(atB * 4, ENTRY_CRC * 4, seed) === words[atB + ENTRY_CRC];
  if (!isValidA && !isValidB) {
    damaged.add(physical);
    return;
  }
  const isSame = isValidA && isValidB && words[atA + ENTRY_CRC] === words[atB + ENTRY_CRC];
  const chosen = isSame || !isValidB || (isValidA && logSequence(words, atA) >= logSequence(words, atB)) ? atA : atB;
  if (
    words[chosen + EXTENT_AND_STATE]! >= STATE_IN_USE ||
    words[chosen + LOG_LOW] !== 0 ||
    words[chosen + LOG_HIGH] !== 0 ||
    !isSame
  ) {
    table.loadEntry(physical, words, chosen);
  }
  if (isSame) return;
  counters.healedEntries += 1;
  table.markDirty(table.open(physical), physical);
}

function logSequence(words: Uint32Array, at: number): number {
  return words[at + LOG_HIGH]! * 2 ** 32 + words[at + LOG_LOW]!;
}
