// Makes a disk ours: checks that it is blank (or that the caller insists), clears its first and last MiB and the log, writes both
// heads. Nothing else needs writing: table entries beyond the limit are not read, and the log knows its batches by a secret. The log is cleared
// for speed: in a sparse file a durable write to a place never written costs a commit of the file system's journal.
// Crash window: until the first head is durable the disk has no valid head; formatting starts over.
import { PfError } from '../../base/errors.ts';
import { diskUuid as asDiskUuid, type DiskUuid, type StoreUuid } from '../../base/ids.ts';
import { BLOCK_BYTES, MiB, alignDown } from '../../base/sizes.ts';
import type { Disk } from '../../world/disk.ts';
import type { World } from '../../world/world.ts';
import { findContent } from './blank-check.ts';
import { Gather } from './gather.ts';
import type { Head } from './head-page.ts';
import { writeHead } from './head-writer.ts';
import { planGeometry, type Geometry } from './layout.ts';

const CLEARS_AT_ONCE = 16;

export interface FormatOptions {
  readonly storeUuid: StoreUuid;
  /** Random unless given. */
  readonly diskUuid?: DiskUuid;
  /** Format even a disk that holds something. */
  readonly isForced?: boolean;
  /** For tests: another log size than the format's rule. */
  readonly logBytes?: number;
}

/** Returns the new head. Errors: ALREADY_EXISTS (not blank), INVALID_ARGUMENT (too small), IO_ERROR. */
export async function formatDisk(world: World, disk: Disk, options: FormatOptions): Promise<Head> {
  const { memory } = world;
  const geometry = planGeometry(disk.sizeBytes, options.logBytes);
  if (options.isForced !== true) {
    const found = await findContent(disk, memory);
    if (found !== null) {
      throw new PfError(
        'ALREADY_EXISTS',
        `cannot format disk "${disk.path}": it holds ${found}; use another disk, wipe this one, or force formatting`,
      );
    }
  }
  await clear(disk, world, geometry);
  const head: Head = {
    storeUuid: options.storeUuid,
    diskUuid: options.diskUuid ?? asDiskUuid(world.random.uuid()),
    geometry,
    headSequence: 1,
    isClean: true,
    tableLimit: 0,
    logTailPosition: 0,
    logTailSequence: 1,
    logSecret: world.random.token(),
    createdMs: Math.floor(world.clock.wallTimeMs()),
  };
  await writeHead(disk, memory, head);
  return head;
}

/** Zeros over the ends and the log, a few writes at a time. */
async function clear(disk: Disk, world: World, { logOffset, logBytes }: Geometry): Promise<void> {
  const { memory } = world;
  const zeros = memory.reserve(MiB);
  try {
    memory.bytes.fill(0, zeros, zeros + MiB);
    const places = [0, alignDown(disk.sizeBytes, BLOCK_BYTES) - MiB];
    for (let at = logOffset; at < logOffset + logBytes; at += MiB) places.push(at);
    for (let first = 0; first < places.length; first += CLEARS_AT_ONCE) {
      const cleared = new Gather();
      for (const place of places.slice(first, first + CLEARS_AT_ONCE)) disk.write(place, zeros, MiB, false, cleared.add());
      await cleared.all('clear', disk.path);
    }
    const flushed = new Gather();
    disk.flush(flushed.add());
    await flushed.all('clear', disk.path);
  } finally {
    memory.release(zeros, MiB);
  }
}
