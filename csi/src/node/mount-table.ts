// Questions to the list of mounts: what lies on a path, and where a device shows. The list is the truth about what is staged and published.
import { PfError } from '@pureflash/datapath/base';
import type { Host, Mount } from './host.ts';
import type { NodeDevice, NodePorts } from './ports.ts';

/** Stacked by attempts that did not know of each other; more than that is somebody else's doing. */
const STACKED_MAX = 16;
/** Kubelet's own bind mounts of folders of a volume into containers. */
const SUBPATHS = '/volume-subpaths/';
/** As mappers make them. */
const OUR_DEVICES = /^\/(loop|nbd|ublkb)\d+$/;
const DEVICE_FOLDERS: ReadonlySet<string> = new Set(['devtmpfs', 'tmpfs']);

export function topMountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.findLast((mount) => mount.path === path);
}

export function isReadOnlyMount(mount: Mount): boolean {
  return mount.options.includes('ro');
}

/** The filesystem itself takes no writes: mounted so, or since it met errors. */
export function hasStoppedWriting(mount: Mount): boolean {
  return mount.superOptions.some((option) => option === 'ro' || option === 'emergency_ro' || option === 'shutdown');
}

/** Mounts made below such a folder are seen by nobody but this process: pods would start with an empty folder. Null: all is well. */
export function sharingComplaint(mounts: readonly Mount[], folder: string): string | null {
  const covering = mounts.filter(({ path }) => path === '/' || folder === path || folder.startsWith(`${path}/`));
  const mount = covering.reduce<Mount | undefined>(
    (best, next) => (best === undefined || next.path.length >= best.path.length ? next : best),
    undefined,
  );
  if (mount === undefined || mount.propagation.some((tag) => tag.startsWith('shared:'))) return null;
  return `the kubelet directory ${folder} lies on a mount that is not shared (${mount.path}): in a container, mount it with propagation Bidirectional`;
}

/**
 * What a kernel device of ours shows as: its filesystem, or its node bound onto a file. Whoever calls for a path where anything else is
 * mounted (a secret, another driver's volume) is mistaken, or malicious. Error INVALID_STATE.
 */
export function refuseForeign(mounts: readonly Mount[], path: string): void {
  const there = topMountAt(mounts, path);
  if (there === undefined) return;
  const shown = there.root === '/' ? there.source.replace(/^\/dev\//, '/') : there.root;
  if (OUR_DEVICES.test(shown.replace(/\/\/deleted$/, ''))) return;
  throw new PfError(
    'INVALID_STATE',
    `cannot unmount ${path}: ${there.source} (${there.fsType}) is mounted there, which is no volume of this driver`,
  );
}

export interface Publication {
  readonly path: string;
  readonly isReadOnly: boolean;
  readonly isBlock: boolean;
}

/** Everywhere below the kubelet directories where the device shows, as a filesystem or as a device node; each path once. */
export async function publicationsOf(
  ports: NodePorts,
  mounts: readonly Mount[],
  device: NodeDevice,
): Promise<readonly Publication[]> {
  const found = new Map<string, Publication>();
  for (const mount of mounts) {
    const { path } = mount;
    if (!ports.paths.isBelow(path) || path.includes(SUBPATHS)) continue;
    const isFilesystem = mount.device === device.number && mount.root === '/';
    const isBlock = !isFilesystem && (await isNodeOf(ports.host, mount, device.number));
    if (isFilesystem || isBlock) found.set(path, { path, isReadOnly: isReadOnlyMount(mount), isBlock });
  }
  return [...found.values()];
}

/** A bind mount of the device's own node onto a file. */
export async function isNodeOf(host: Host, mount: Mount, deviceNumber: string): Promise<boolean> {
  return mount.root !== '/' && DEVICE_FOLDERS.has(mount.fsType) && (await host.look(mount.path)).deviceNumber === deviceNumber;
}

/**
 * Takes off all that is mounted on a path, and believes only the kernel's list. Fine when nothing is.
 * Errors: INVALID_STATE while it is in use, INTERNAL when umount says success and the mount is still there.
 */
export async function unmountAll(host: Host, path: string): Promise<void> {
  for (let turn = 0; turn < STACKED_MAX; turn += 1) {
    const before = countAt(await host.mounts(), path);
    if (before === 0) return;
    await host.unmount(path);
    const after = countAt(await host.mounts(), path);
    if (after >= before) {
      throw new PfError(
        'INTERNAL',
        `umount of ${path} claimed success, but the kernel still lists ${after} mount(s) there; try again`,
      );
    }
  }
  throw new PfError(
    'INVALID_STATE',
    `more than ${STACKED_MAX} mounts lie on ${path}: somebody keeps mounting there; find out who`,
  );
}

function countAt(mounts: readonly Mount[], path: string): number {
  return mounts.filter((mount) => mount.path === path).length;
}
