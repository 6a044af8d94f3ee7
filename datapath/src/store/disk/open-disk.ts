// Opens a formatted disk: head, table, log, a checkpoint of what the log said, and a head with a new secret. Called by DiskStore.open.
// Every refusal says what is wrong and what to do. Nothing is written before the disk is known to be ours and consistent,
// but for blocks that the log already holds.
import { crc32c } from '../../base/crc32c.ts';
import { PfError } from '../../base/errors.ts';
import { formatSize } from '../../base/sizes.ts';
import type { Disk } from '../../world/disk.ts';
import type { World } from '../../world/world.ts';
import { DiskState } from './disk-state.ts';
import { ExtentMap } from './extent-map.ts';
import {
  BITMAP,
  EXTENT_AND_STATE,
  ExtentTable,
  HEAD_SNAPSHOT,
  OBJECT_INDEX,
  SNAPSHOT,
  STATE_IN_USE,
  logSequenceOf,
  volumeOf,
  wordOf,
} from './extent-table.ts';
import { FreeExtents } from './free-extents.ts';
import { Gather } from './gather.ts';
import { decodeHead, uuidBytes, type Head } from './head-page.ts';
import { writeHead } from './head-writer.ts';
import { ENTRIES_PER_PAGE, EXTENTS_PER_OBJECT, FORMAT_VERSION, HEAD_A_OFFSET, HEAD_B_OFFSET, HEAD_PAGE_BYTES } from './layout.ts';
import { replayLog, type ReplayResult } from './replay.ts';
import { loadTable } from './table-loader.ts';
import { flushDisk, pagesToWrite, writeTablePages } from './table-writer.ts';

export interface OpenedDisk {
  readonly state: DiskState;
  readonly head: Head;
  readonly replay: ReplayResult;
}

export async function openDisk(world: World, disk: Disk): Promise<OpenedDisk> {
  const head = await readHead(world, disk);
  const { geometry, storeUuid, diskUuid } = head;
  if (disk.sizeBytes < geometry.capacityBytes) {
    throw new PfError(
      'INVALID_STATE',
      `cannot open disk "${disk.path}": it has ${formatSize(disk.sizeBytes)}, but was formatted with ${formatSize(geometry.capacityBytes)}; attach the whole disk`,
    );
  }
  const identity = crc32c(uuidBytes(diskUuid), 0, 16, 0);
  const table = new ExtentTable(geometry.extentCount, identity);
  const ports = { disk, memory: world.memory, turn: world.turn, log: world.log };
  const state = new DiskState(
    ports,
    { geometry, storeUuid, diskUuid },
    { table, map: new ExtentMap(), free: new FreeExtents(geometry.extentCount) },
  );
  const damaged = await loadTable(state, head.tableLimit);
  const replay = await replayLog(state, head);
  refuseDamaged(state, damaged, replay);
  const usedLimit = indexExtents(state, replay.lastSequence);
  const opened = await settle(state, head, replay, Math.max(head.tableLimit, usedLimit), world.random.token());
  if (replay.batches > 0) {
    const { batches, rewrittenBlocks, droppedRedirects } = replay;
    world.log.info('replayed the redo log', { disk: disk.path, diskUuid, batches, rewrittenBlocks, droppedRedirects });
  }
  return { state, head: opened, replay };
}

/** The head of a disk, without opening it. Errors: NOT_FOUND (not ours), UNSUPPORTED (version), CORRUPT, IO_ERROR. */
export async function readHead(world: World, disk: Disk): Promise<Head> {
  const { memory } = world;
  const pages = memory.reserve(2 * HEAD_PAGE_BYTES);
  try {
    const read = new Gather();
    disk.read(HEAD_A_OFFSET, pages, HEAD_PAGE_BYTES, read.add());
    disk.read(HEAD_B_OFFSET, pages + HEAD_PAGE_BYTES, HEAD_PAGE_BYTES, read.add());
    await read.all('read the head', disk.path);
    return chooseHead(
      disk,
      memory.bytes.slice(pages, pages + 512),
      memory.bytes.slice(pages + HEAD_PAGE_BYTES, pages + HEAD_PAGE_BYTES + 512),
    );
  } finally {
    memory.release(pages, 2 * HEAD_PAGE_BYTES);
  }
}

function chooseHead(disk: Disk, pageA: Uint8Array, pageB: Uint8Array): Head {
  const a = decodeHead(pageA);
  const b = decodeHead(pageB);
  if (a.kind === 'head' && b.kind === 'head') return a.head.headSequence >= b.head.headSequence ? a.head : b.head;
  if (a.kind === 'head') return a.head;
  if (b.kind === 'head') return b.head;
  const other = a.kind === 'version' ? a : b;
  if (other.kind === 'version') {
    throw new PfError(
      'UNSUPPORTED',
      `cannot open disk "${disk.path}": its format is version ${other.version}, this program knows version ${FORMAT_VERSION}; use the program that wrote it`,
    );
  }
  if (a.kind === 'corrupt' || b.kind === 'corrupt') {
    throw new PfError(
      'CORRUPT',
      `cannot open disk "${disk.path}": both head pages are damaged; recover its volumes from their replicas, then format it again`,
    );
  }
  throw new PfError(
    'NOT_FOUND',
    `cannot open disk "${disk.path}": it is not a PureFlash disk (${a.kind === 'blank' ? 'blank' : 'foreign data'}); format it first`,
  );
}

function refuseDamaged(state: DiskState, damaged: ReadonlySet<number>, replay: ReplayResult): void {
  const lost = [...damaged].filter((physical) => !replay.recorded.has(physical));
  if (lost.length === 0) {
    state.counters.healedEntries += damaged.size;
    return;
  }
  throw new PfError(
    'CORRUPT',
    `cannot open disk "${state.disk.path}": ${lost.length} entries of the extent table are damaged in both copies (the first is of physical extent ${lost[0]}); ` +
      'recover its volumes from their replicas, then format it again',
  );
}

/** Builds map and free list from the table; returns the number of extents up to the last one ever used. */
function indexExtents(state: DiskState, lastSequence: number): number {
  const { table, map, free, disk } = state;
  let usedLimit = 0;
  for (let physical = 0; physical < table.extentCount; physical += 1) {
    if (!table.has(physical)) continue;
    const { words } = table.at(physical);
    const at = wordOf(physical);
    if (logSequenceOf(words, at) > lastSequence) {
      throw new PfError(
        'CORRUPT',
        `cannot open disk "${disk.path}": the table knows log batch ${logSequenceOf(words, at)}, but the log ends at ${lastSequence}: an old head was read; ` +
          'recover its volumes from their replicas, then format it again',
      );
    }
    if (words[at + EXTENT_AND_STATE]! < STATE_IN_USE) continue;
    const volumeId = volumeOf(words, at);
    const extentNumber = words[at + OBJECT_INDEX]! * EXTENTS_PER_OBJECT + (words[at + EXTENT_AND_STATE]! & (STATE_IN_USE - 1));
    if (words[at + SNAPSHOT] !== HEAD_SNAPSHOT || words[at + BITMAP]! > 0xffff || map.find(volumeId, extentNumber) >= 0) {
      throw new PfError(
        'CORRUPT',
        `cannot open disk "${disk.path}": the entry of physical extent ${physical} contradicts another or the format; recover it from its replicas`,
      );
    }
    map.set(volumeId, extentNumber, physical);
    free.markUsed(physical);
    usedLimit = physical + 1;
  }
  return usedLimit;
}

/** Writes what replay changed to both copies, then a head with an empty log and a new secret. */
async function settle(state: DiskState, head: Head, replay: ReplayResult, usedLimit: number, secret: number): Promise<Head> {
  const { geometry, table } = state;
  const oldLimitPages = Math.ceil(head.tableLimit / ENTRIES_PER_PAGE);
  const dirty = table.takeDirtyPages();
  const newLimitPages = Math.max(oldLimitPages, Math.ceil(usedLimit / ENTRIES_PER_PAGE), (dirty.at(-1) ?? -1) + 1);
  const pages = pagesToWrite(dirty, oldLimitPages, newLimitPages);
  const options = { chunkPages: () => 64, beforeWrite: () => Promise.resolve() };
  if (pages.length > 0) {
    for (const tableOffset of [geometry.tableOffsetA, geometry.tableOffsetB]) {
      await writeTablePages(state, tableOffset, pages, options);
      await flushDisk(state);
    }
  }
  const opened: Head = {
    ...head,
    headSequence: head.headSequence + 1,
    isClean: false,
    tableLimit: Math.min(geometry.extentCount, newLimitPages * ENTRIES_PER_PAGE),
    logTailPosition: replay.endPosition,
    logTailSequence: replay.lastSequence + 1,
    logSecret: secret,
  };
  await writeHead(state.disk, state.memory, opened);
  return opened;
}
