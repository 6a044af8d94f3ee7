// What a test of kernel devices may leave on the machine when it fails half-way, and how it goes: mounts and loop devices below its folder,
// and the holders of their connections. A device whose server is gone keeps whoever asks it waiting, so the holders end first: then
// everything that waits fails, and can be taken away.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const PATIENCE_MS = 10_000;
const CGROUPS = '/sys/fs/cgroup';

/** Mount points below the folder, inner ones first. */
export function mountsBelow(folder: string): string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').trimEnd().split('\n');
  const points = lines.map((line) => line.split(' ')[1]!.replaceAll('\\040', ' '));
  return points.filter((point) => point.startsWith(`${folder}/`)).reverse();
}

/** Loop devices over files below the folder. */
export const loopsBelow = (folder: string): string[] => loopsOver((file) => file.startsWith(`${folder}/`));

/** Loop devices over files of these paths. */
export function loopsOver(isMeant: (file: string) => boolean): string[] {
  return readdirSync('/sys/block').filter((name) => {
    if (!name.startsWith('loop')) return false;
    try {
      return isMeant(readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd());
    } catch {
      return false;
    }
  });
}

/** Devices of a cluster on nodes of the rig: of a pod of pfnbd that has gone, paths begin at its mounts. */
export function rigLoops(cluster: string): string[] {
  return loopsOver((file) => file.startsWith(`/run/pureflash/${cluster}/`) || /^\/pf-[0-9a-f]{8}-pvc-/.test(file));
}

/** When the nodes are gone: nobody serves these devices, and nobody is in these groups. */
export function removeRigDevices(cluster: string): void {
  removeLoops(rigLoops(cluster));
  removeHolderGroups();
}

/** Only where nobody serves them any more. */
function removeLoops(names: readonly string[]): void {
  for (const name of names) tryTo('losetup', '-d', `/dev/${name}`);
}

/** Control groups that holders were moved to; those that still have members stay. */
function removeHolderGroups(): void {
  for (const hierarchy of ['.', ...readdirSync(CGROUPS)]) {
    try {
      rmdirSync(join(CGROUPS, hierarchy, 'pureflash-holders'));
    } catch {
      // Not there, or another's holders are in it.
    }
  }
}

export function holdersBelow(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isHolder(pid, folder));
}

/** Nothing of the folder's stays, whatever state it was in. */
export function removeWithDevices(folder: string): void {
  for (const pid of holdersBelow(folder)) process.kill(pid, 'SIGKILL');
  for (const point of mountsBelow(folder)) if (!point.includes('/run/fuse/')) tryTo('umount', point);
  removeLoops(loopsBelow(folder));
  for (const point of mountsBelow(folder)) tryTo('umount', '-l', point);
  if (mountsBelow(folder).length === 0) rmSync(folder, { recursive: true, force: true });
}

function isHolder(pid: number, folder: string): boolean {
  try {
    if (!readlinkSync(`/proc/${pid}/exe`).endsWith('/pureflash-holder')) return false;
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`\0${folder}/`);
  } catch {
    return false;
  }
}

function tryTo(program: string, ...words: string[]): void {
  try {
    execFileSync(program, words, { timeout: PATIENCE_MS, stdio: 'ignore' });
  } catch {
    // The next thing may still go.
  }
}
