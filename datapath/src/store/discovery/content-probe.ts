// Opens a device for reading only and looks at what is on it, with a deadline. A device that hangs keeps its descriptor and its piece
// of I/O memory until the kernel lets go of them; whoever asked hears that it hangs and goes on.
import { PfError, errorCodeOf, formatErrorChain } from '../../base/errors.ts';
import type { World } from '../../world/world.ts';
import { inspectContent, type DiskContent } from '../disk/blank-check.ts';

export type ProbeWorld = Pick<World, 'disks' | 'memory' | 'clock'>;

export interface ProbeResult {
  /** Null when it could not be read. */
  readonly content: DiskContent | null;
  /** Somebody has it open for himself. */
  readonly isOpenElsewhere: boolean;
  readonly error: string | null;
  /** The deadline passed; the device may never answer. */
  readonly isHung: boolean;
}

export async function probeContent(world: ProbeWorld, path: string, timeoutMs: number): Promise<ProbeResult> {
  const late = Promise.withResolvers<ProbeResult>();
  const result = { content: null, isOpenElsewhere: false };
  const timer = world.clock.after(timeoutMs, () =>
    late.resolve({ ...result, error: `does not answer within ${timeoutMs} ms`, isHung: true }),
  );
  const look = lookAt(world, path).catch((error: unknown) => {
    return { ...result, error: `cannot be read: ${formatErrorChain(error)}`, isHung: false };
  });
  try {
    return await Promise.race([look, late.promise]);
  } finally {
    timer.cancel();
  }
}

async function lookAt(world: ProbeWorld, path: string): Promise<ProbeResult> {
  const isOpenElsewhere = await isTaken(world, path);
  const disk = await world.disks.open(path, { isReadOnly: true });
  try {
    return { content: await inspectContent(disk, world.memory), isOpenElsewhere, error: null, isHung: false };
  } finally {
    await disk.close();
  }
}

/**
 * An exclusive open fails while the device is mounted, part of another one, or open in a store. It is given back at once, so that
 * it stands in nobody's way: the reading itself is not exclusive.
 */
async function isTaken(world: ProbeWorld, path: string): Promise<boolean> {
  try {
    const disk = await world.disks.open(path, { isReadOnly: true, isExclusive: true });
    await disk.close();
    return false;
  } catch (error) {
    if (error instanceof PfError && errorCodeOf(error) === 'INVALID_STATE') return true;
    throw error;
  }
}
