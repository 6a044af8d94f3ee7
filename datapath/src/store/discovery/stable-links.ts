// The names of devices that stay the same over a restart: the links in /dev/disk/by-id and /dev/disk/by-path, and which is best.
import type { Files } from '../../world/files.ts';

const LINKS_MAX = 10_000;

/** Names made from what lies on a device: they go when it is erased. */
const MADE_FROM_CONTENT = /^(lvm-pv-uuid-|md-uuid-|md-name-|dm-name-|dm-uuid-(?!mpath-))/;
/** Numbers given by standards; not made for people, and on some cheap devices not unique. */
const NUMBERS = /^(wwn-|nvme-eui\.|nvme-nvme\.|nvme-uuid\.|scsi-[0-9a-f]|dm-uuid-mpath-)/;

/** Kernel name -> links, best first. Links to partitions are under the partition's name. */
export async function readStableLinks(files: Files, root: string): Promise<Map<string, string[]>> {
  const links = new Map<string, string[]>();
  for (const folder of ['/dev/disk/by-id', '/dev/disk/by-path']) {
    const names = (await files.list(`${root}${folder}`).catch(() => [])).slice(0, LINKS_MAX);
    const targets = await Promise.all(names.map((name) => files.readLink(`${root}${folder}/${name}`).catch(() => null)));
    for (const [index, target] of targets.entries()) {
      const device = /^(?:\.\.\/)+([^/]+)$/.exec(target ?? '')?.[1];
      if (device === undefined) continue;
      const path = `${folder}/${names[index]!}`;
      const known = links.get(device);
      if (known === undefined) links.set(device, [path]);
      else known.push(path);
    }
  }
  for (const paths of links.values()) paths.sort(compareLinks);
  return links;
}

/** by-id before by-path; model and serial before numbers, numbers before names made from content; long before short. */
export function compareLinks(a: string, b: string): number {
  // Of "nvme-MODEL_SERIAL" and "nvme-MODEL_SERIAL_1" only the second says which name space of the drive is meant.
  return rankOf(a) - rankOf(b) || b.length - a.length || (a < b ? -1 : 1);
}

function rankOf(path: string): number {
  if (path.startsWith('/dev/disk/by-path/')) return 2;
  const name = path.slice('/dev/disk/by-id/'.length);
  if (MADE_FROM_CONTENT.test(name)) return 3;
  return NUMBERS.test(name) ? 1 : 0;
}
