// Replays the redo log at open (disk-format.md, section 4): finds the valid batches, decides which redirects happened, applies the images to
// the table in memory, and writes the payload blocks that are still wanted to their place. Idempotent: dying at any line changes nothing
// that the next replay would not do again, for the head is written last, by open-disk.ts.
import { PfError } from '../../base/errors.ts';
import { BLOCK_BYTES } from '../../base/sizes.ts';
import type { DiskState } from './disk-state.ts';
import { BITMAP, ENTRY_CRC, EXTENT_AND_STATE, FIRST_CRC, LOG_HIGH, LOG_LOW, STATE_IN_USE, wordOf } from './extent-table.ts';
import { Gather } from './gather.ts';
import type { Head } from './head-page.ts';
import { BLOCKS_PER_EXTENT, EXTENT_BYTES } from './layout.ts';
import { KIND_REDIRECT, NO_PREVIOUS } from './log-batch.ts';
import { LogReader, type DecodedBatch } from './log-reader.ts';
import { placeBatch } from './redo-log.ts';

/** In-place writes at once. */
const MAX_WRITES = 64;

export interface ReplayResult {
  readonly batches: number;
  readonly lastSequence: number;
  readonly endPosition: number;
  readonly droppedRedirects: number;
  readonly rewrittenBlocks: number;
  /** Physical extents with a record that was applied. */
  readonly recorded: ReadonlySet<number>;
}

export async function replayLog(state: DiskState, head: Head): Promise<ReplayResult> {
  const reader = new LogReader(state.disk, state.memory, state.geometry, head.logSecret, state.table.identity);
  try {
    const batches = await scan(reader, state, head);
    const last = batches.at(-1);
    const lastSequence = last?.sequence ?? head.logTailSequence - 1;
    if (!head.isClean && (await reader.provesLoss(lastSequence + 1))) {
      throw new PfError(
        'CORRUPT',
        `cannot open disk "${state.disk.path}": log batch ${lastSequence + 1} is damaged, but later ones are there, so acknowledged writes are lost; ` +
          'recover this disk from its replicas',
      );
    }
    const dropped = await findDropped(state, batches);
    const recorded = new Set<number>();
    const payload = apply(state, batches, dropped, recorded);
    const rewrittenBlocks = await rewrite(state, reader, payload);
    return {
      batches: batches.length,
      lastSequence,
      endPosition: last?.endPosition ?? head.logTailPosition,
      droppedRedirects: dropped.redirects,
      rewrittenBlocks,
      recorded,
    };
  } finally {
    reader.release();
  }
}

/** The valid batches from the tail, in sequence. */
async function scan(reader: LogReader, state: DiskState, head: Head): Promise<DecodedBatch[]> {
  const { logBytes, maxBatchBytes } = state.geometry;
  const batches: DecodedBatch[] = [];
  let position = head.logTailPosition;
  for (let sequence = head.logTailSequence; ; sequence += 1) {
    const batch = await reader.read(placeBatch(position, logBytes, maxBatchBytes), sequence);
    if (batch === null || batch.endPosition - head.logTailPosition > logBytes) return batches;
    batches.push(batch);
    position = batch.endPosition;
  }
}

interface Dropped {
  redirects: number;
  /** "sequence/physical" of records to ignore. */
  readonly records: Set<string>;
}

/** Redirects whose data did not reach the disk. */
async function findDropped(state: DiskState, batches: readonly DecodedBatch[]): Promise<Dropped> {
  const dropped: Dropped = { redirects: 0, records: new Set() };
  const completeThrough = batches.at(-1)?.completeThrough ?? 0;
  const lastRecord = new Map<number, number>();
  for (const batch of batches) {
    for (let index = 0; index < batch.images; index += 1) lastRecord.set(batch.meta[batch.imageAt(index)]!, batch.sequence);
    for (let index = 0; index < batch.frees; index += 1) lastRecord.set(batch.meta[batch.freeAt(index)]!, batch.sequence);
  }
  const scratch = state.memory.reserve(EXTENT_BYTES);
  try {
    for (const batch of batches) {
      if (batch.sequence <= completeThrough) continue;
      for (let index = 0; index < batch.images; index += 1) {
        const record = batch.imageAt(index);
        const physical = batch.meta[record]!;
        const previous = batch.meta[record + 2]!;
        if (batch.meta[record + 1] !== KIND_REDIRECT || lastRecord.get(physical) !== batch.sequence) continue;
        if (await isDataThere(state, physical, batch.meta, record + 3, scratch)) continue;
        dropped.redirects += 1;
        dropped.records.add(`${batch.sequence}/${physical}`);
        if (previous !== NO_PREVIOUS) dropped.records.add(`${batch.sequence}/${previous}`);
      }
    }
  } finally {
    state.memory.release(scratch, EXTENT_BYTES);
  }
  return dropped;
}

async function isDataThere(
  state: DiskState,
  physical: number,
  meta: Uint32Array,
  entry: number,
  scratch: number,
): Promise<boolean> {
  const read = new Gather();
  state.disk.read(state.diskOffsetOf(physical), scratch, EXTENT_BYTES, read.add());
  await read.all('verify redirected data', state.disk.path);
  for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
    if (state.memory.crc32c(scratch + block * BLOCK_BYTES, BLOCK_BYTES, 0) !== meta[entry + FIRST_CRC + block]) return false;
  }
  return true;
}

/** Applies the records in order; returns where in the log the newest payload of each block lies (key: physical * 16 + block). */
function apply(state: DiskState, batches: readonly DecodedBatch[], dropped: Dropped, recorded: Set<number>): Map<number, number> {
  const { table } = state;
  const payload = new Map<number, number>();
  const forget = (physical: number): void => {
    for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) payload.delete(physical * BLOCKS_PER_EXTENT + block);
  };
  for (const batch of batches) {
    const { meta, sequence } = batch;
    for (let index = 0; index < batch.images; index += 1) {
      const record = batch.imageAt(index);
      const physical = meta[record]!;
      if (dropped.records.has(`${sequence}/${physical}`)) continue;
      if (meta[record + 1] === KIND_REDIRECT) forget(physical);
      table.loadEntry(physical, meta, record + 3);
      table.markDirty(table.open(physical), physical);
      recorded.add(physical);
    }
    for (let index = 0; index < batch.frees; index += 1) {
      const physical = meta[batch.freeAt(index)]!;
      if (dropped.records.has(`${sequence}/${physical}`)) continue;
      forget(physical);
      freeEntry(state, physical, sequence);
      recorded.add(physical);
    }
    for (let index = 0; index < batch.payloads; index += 1) {
      const descriptor = batch.payloadAt(index);
      payload.set(meta[descriptor]! * BLOCKS_PER_EXTENT + meta[descriptor + 1]!, batch.payloadPosition(index));
    }
  }
  return payload;
}

function freeEntry(state: DiskState, physical: number, sequence: number): void {
  const segment = state.table.open(physical);
  const at = wordOf(physical);
  segment.words.fill(0, at, at + ENTRY_CRC);
  segment.words[at + LOG_LOW] = sequence >>> 0;
  segment.words[at + LOG_HIGH] = Math.floor(sequence / 2 ** 32);
  state.table.markDirty(segment, physical);
}

/** Writes what is still the content of its block from the log to its place, in the log's order. */
async function rewrite(state: DiskState, reader: LogReader, payload: ReadonlyMap<number, number>): Promise<number> {
  const { table, memory, disk, geometry } = state;
  const wanted = [...payload].sort((one, other) => one[1] - other[1]);
  let rewritten = 0;
  let writes = new Gather();
  for (const [key, position] of wanted) {
    const physical = Math.floor(key / BLOCKS_PER_EXTENT);
    const block = key % BLOCKS_PER_EXTENT;
    const { words } = table.open(physical);
    const entry = wordOf(physical);
    if (words[entry + EXTENT_AND_STATE]! < STATE_IN_USE || ((words[entry + BITMAP]! >>> block) & 1) === 0) continue;
    const offset = position % geometry.logBytes;
    if (writes.pending >= MAX_WRITES || !reader.holds(offset, BLOCK_BYTES)) {
      await writes.all('write logged blocks to their place', disk.path);
      writes = new Gather();
    }
    const source = await reader.locate(offset, BLOCK_BYTES);
    if (memory.crc32c(source, BLOCK_BYTES, 0) !== words[entry + FIRST_CRC + block]) continue;
    disk.write(state.diskOffsetOf(physical) + block * BLOCK_BYTES, source, BLOCK_BYTES, false, writes.add());
    rewritten += 1;
  }
  await writes.all('write logged blocks to their place', disk.path);
  return rewritten;
}
