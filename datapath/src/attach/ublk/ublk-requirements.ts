// What a machine lacks for ublk devices, in words for its administrator.
import { PfError, formatErrorChain } from '../../base/errors.ts';
import type { World } from '../../world/world.ts';
import { mayAdminister } from '../nbd/nbd-requirements.ts';
import type { UblkControl } from './ublk-control.ts';

/** Null when nothing is missing. */
export async function missingForUblk(
  world: Pick<World, 'ports' | 'files' | 'ublk'>,
  control: UblkControl | null,
): Promise<string | null> {
  if (world.ublk === undefined || control === null) {
    return world.ports === 'libuv'
      ? 'this process goes without io_uring, which ublk needs: the kernel refuses it, PF_PORTS is libuv, or the native addon is missing'
      : 'the native addon is missing: run node datapath/native/build.mjs';
  }
  const missing = await world.ublk.unavailable();
  if (missing !== null) return missing;
  if (!(await mayAdminister(world))) return 'the right CAP_SYS_ADMIN is missing: run as root, in a privileged container';
  try {
    const features = await control.missingFeatures();
    if (features === null) return "the kernel's ublk is too old: Linux 6.16 is wanted";
    return features.length === 0 ? null : `the kernel's ublk is too old, it lacks ${features.join(', ')}: Linux 6.16 is wanted`;
  } catch (error) {
    if (error instanceof PfError) return `the kernel does not answer about its ublk: ${formatErrorChain(error)}`;
    throw error;
  }
}
