// What a machine lacks for NBD devices, in words for its administrator.
import { PfError, errorCodeOf, formatErrorChain } from '../../base/errors.ts';
import type { World } from '../../world/world.ts';
import type { NbdControl } from './nbd-control.ts';

const STATUS_BYTES_MAX = 8192;
const CAP_SYS_ADMIN = 21;

/** Null when nothing is missing. */
export async function missingForNbd(
  world: Pick<World, 'files' | 'network' | 'kernel'>,
  control: NbdControl,
): Promise<string | null> {
  if (world.kernel === undefined || world.network.pair === undefined)
    return 'the native addon is missing: run node datapath/native/build.mjs';
  if (!(await mayAdminister(world))) return 'the right CAP_SYS_ADMIN is missing: run as root, in a privileged container';
  try {
    await control.family();
    return null;
  } catch (error) {
    if (errorCodeOf(error) === 'NOT_FOUND') return 'the kernel has no NBD client: run modprobe nbd nbds_max=0 max_part=0';
    if (error instanceof PfError) return `the kernel does not answer about its NBD client: ${formatErrorChain(error)}`;
    throw error;
  }
}

/** For all mappers whose kernel asks for CAP_SYS_ADMIN. */
export async function mayAdminister({ files }: Pick<World, 'files'>): Promise<boolean> {
  const status = await files.readStart('/proc/self/status', STATUS_BYTES_MAX);
  const rights = /^CapEff:\s*([0-9a-f]{16})$/m.exec(new TextDecoder().decode(status ?? new Uint8Array()))?.[1];
  if (rights === undefined) return false;
  const digit = Number.parseInt(rights[rights.length - 1 - Math.floor(CAP_SYS_ADMIN / 4)]!, 16);
  return ((digit >> CAP_SYS_ADMIN % 4) & 1) === 1;
}
