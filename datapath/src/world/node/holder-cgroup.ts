// Takes a process out of the control groups of its container and its pod: what is left in any of them when they end is killed, by container
// runtimes and by kubelet. Called by node-fuse.ts for holders, whose sense is to outlive the program that started them. Both versions of
// control groups.
import { access, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toPfError } from './system-error.ts';

const GROUP = 'pureflash-holders';
const MEMBERS = 'cgroup.procs';

/** `root`: where the machine's own /sys/fs/cgroup is seen. Errors: a group that does not take the process. */
export async function leaveCgroup(pid: number, root: string): Promise<void> {
  try {
    for (const group of await groupsBelow(root)) {
      await mkdir(group, { recursive: true });
      await writeFile(join(group, MEMBERS), String(pid));
    }
  } catch (error) {
    throw toPfError(error, `cannot move process ${pid} out of its control group, below ${root}`);
  }
}

/** One in version 2; in version 1 one for each controller, and of processors the outermost: a new one takes nobody before it is set up. */
async function groupsBelow(root: string): Promise<string[]> {
  if (await isThere(join(root, MEMBERS))) return [join(root, GROUP)];
  const groups: string[] = [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    const hierarchy = join(root, entry.name);
    if (!entry.isDirectory() || !(await isThere(join(hierarchy, MEMBERS)))) continue;
    groups.push(entry.name === 'cpuset' ? hierarchy : join(hierarchy, GROUP));
  }
  return groups;
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
