// Takes a process out of the control group of its container: container runtimes kill what is left in it when the container ends. Called by
// node-fuse.ts for holders, whose sense is to outlive the program that started them. Both versions of control groups.
import { access, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toPfError } from './system-error.ts';

const GROUP = 'pureflash-holders';
const MEMBERS = 'cgroup.procs';

/** `root`: where the machine's own /sys/fs/cgroup is seen. Errors: a group that does not take the process. */
export async function leaveCgroup(pid: number, root: string): Promise<void> {
  try {
    for (const hierarchy of await hierarchiesOf(root)) {
      const group = join(hierarchy, GROUP);
      await mkdir(group, { recursive: true });
      await writeFile(join(group, MEMBERS), String(pid));
    }
  } catch (error) {
    throw toPfError(error, `cannot move process ${pid} out of its control group, below ${root}`);
  }
}

/** One in version 2; in version 1 one for each controller, of which that of processors takes nobody before it is set up. */
async function hierarchiesOf(root: string): Promise<string[]> {
  if (await isThere(join(root, MEMBERS))) return [root];
  const found: string[] = [];
  for (const { name, isDirectory } of await foldersIn(root)) {
    if (isDirectory && name !== 'cpuset' && (await isThere(join(root, name, MEMBERS)))) found.push(join(root, name));
  }
  return found;
}

async function foldersIn(root: string): Promise<{ name: string; isDirectory: boolean }[]> {
  const entries = await readdir(root, { withFileTypes: true });
  return entries.map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
