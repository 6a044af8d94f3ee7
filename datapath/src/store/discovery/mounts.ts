// Reads the kernel's lists of mounts and of swap. Pure; any text is taken, lines that make no sense are skipped.

export interface Mount {
  /** "8:1"; file systems without a device of their own have 0 before the colon. */
  readonly device: string;
  readonly mountPoint: string;
  /** Kernel name of the device that was named when mounting, or null: "sda1" of /dev/sda1. */
  readonly source: string | null;
}

const MOUNTS_MAX = 20_000;

/** /proc/PID/mountinfo: "36 35 8:1 / /mnt rw - ext4 /dev/sda1 rw", with any number of fields before the dash. */
export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    if (mounts.length === MOUNTS_MAX) break;
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    const [, , device, , mountPoint] = fields;
    if (dash < 0 || device === undefined || mountPoint === undefined || !/^\d+:\d+$/.test(device)) continue;
    mounts.push({ device, mountPoint: unescape(mountPoint), source: deviceName(unescape(fields[dash + 2] ?? '')) });
  }
  return mounts;
}

/** /proc/swaps: a line of titles, then one line a swap; files are left out. Returns kernel names. */
export function parseSwaps(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => deviceName(unescape(line.split(/\s/)[0] ?? '')))
    .filter((name) => name !== null);
}

function deviceName(path: string): string | null {
  return /^\/dev\/([^/]+)$/.exec(path)?.[1] ?? null;
}

/** Blanks and the like are written as a backslash and three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}
