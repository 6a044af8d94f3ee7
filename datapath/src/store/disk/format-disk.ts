// Makes a disk ours: checks that it is blank (or that the caller insists), clears its first and last MiB, writes both heads.
// Nothing else needs writing: table entries beyond the limit are not read, and the log knows its batches by a secret.
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
import { planGeometry } from './layout.ts';

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
  await clearEnds(disk, world);
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

async function clearEnds(disk: Disk, world: World): Promise<void> {
  const { memory } = world;
  const zeros = memory.reserve(MiB);
  try {
    memory.bytes.fill(0, zeros, zeros + MiB);
    const cleared = new Gather();
    disk.write(0, zeros, MiB, true, cleared.add());
    disk.write(alignDown(disk.sizeBytes, BLOCK_BYTES) - MiB, zeros, MiB, true, cleared.add());
    await cleared.all('clear', disk.path);
  } finally {
    memory.release(zeros, MiB);
  }
}
