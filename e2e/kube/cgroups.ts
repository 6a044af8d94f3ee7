// The cgroups of a node: made before kubelet starts, removed after it. Knows both layouts: one folder for each controller
// (version 1, also in its hybrid form) and one tree for all (version 2). Called by node.ts and rig-place.ts.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../local/wait-for.ts';

const ROOT = '/sys/fs/cgroup';
const REMOVAL_PATIENCE_MS = 10_000;

/** Makes the cgroup `path` ("name/node") in every hierarchy, with the controllers that kubelet wants. */
export function makeCgroups(path: string): void {
  for (const hierarchy of hierarchies()) {
    let folder = hierarchy;
    for (const part of path.split('/')) {
      passControllersDown(folder);
      folder = join(folder, part);
      mkdirSync(folder, { recursive: true });
    }
  }
}

/** Removes the cgroup and everything below; waits for processes that are still ending. */
export async function removeCgroups(path: string): Promise<void> {
  const folders = hierarchies()
    .map((hierarchy) => join(hierarchy, path))
    .filter((folder) => existsSync(folder));
  for (const folder of folders) {
    await waitFor(`the cgroup "${folder}" to be empty`, REMOVAL_PATIENCE_MS, async () => {
      removeTree(folder);
      return Promise.resolve(true);
    });
  }
}

/** The names of the cgroups right below the root. */
export function cgroupNames(): string[] {
  return [...new Set(hierarchies().flatMap((hierarchy) => childrenOf(hierarchy)))];
}

/** The mount points with cgroups, whatever the layout; two names of one hierarchy count once. */
function hierarchies(): string[] {
  if (!existsSync(ROOT)) return [];
  if (existsSync(join(ROOT, 'cgroup.procs'))) return [ROOT];
  const seen = new Set<number>();
  return readdirSync(ROOT)
    .map((name) => join(ROOT, name))
    .filter((folder) => {
      const { dev } = statSync(folder);
      if (seen.has(dev) || !existsSync(join(folder, 'cgroup.procs'))) return false;
      seen.add(dev);
      return true;
    });
}

function passControllersDown(folder: string): void {
  const switches = join(folder, 'cgroup.subtree_control');
  if (!existsSync(switches)) return;
  for (const controller of readFileSync(join(folder, 'cgroup.controllers'), 'utf8').split(/\s+/)) {
    if (controller === '') continue;
    try {
      writeFileSync(switches, `+${controller}`);
    } catch {
      // This one cannot be passed on here; kubelet names those that it misses.
    }
  }
}

function removeTree(folder: string): void {
  for (const name of childrenOf(folder)) removeTree(join(folder, name));
  rmdirSync(folder);
}

function childrenOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
