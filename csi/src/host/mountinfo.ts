// Reads /proc/self/mountinfo (proc(5)): one line a mount,
//   36 35 98:0 /root /mount/point rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=continue
// Blanks, tabs, newlines and backslashes in names are octal: "\040"; the source of a bind mount that has been removed since ends in
// "//deleted". Used by LinuxHost.
import { PfError } from '@pureflash/datapath/base';
import type { Mount } from '../node/host.ts';

const LINES_MAX = 200_000;
const DELETED = '//deleted';

/** Error PROTOCOL_ERROR for a line that is none: what the kernel says is never guessed at. */
export function parseMountinfo(text: string): Mount[] {
  const lines = text.split('\n');
  if (lines.length > LINES_MAX) throw refuse(`${lines.length} lines, at most ${LINES_MAX} are read`);
  const mounts: Mount[] = [];
  for (const line of lines) {
    if (line !== '') mounts.push(parseLine(line));
  }
  return mounts;
}

function parseLine(line: string): Mount {
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  if (dash < 0 || fields.length < dash + 4) throw refuse(`the line ${quote(line)} has no " - TYPE SOURCE OPTIONS"`);
  const [id = '', parentId = '', device = '', root = '', point = '', options = ''] = fields;
  if (!/^\d{1,15}$/.test(id) || !/^\d{1,15}$/.test(parentId) || !/^\d{1,10}:\d{1,10}$/.test(device) || !point.startsWith('/')) {
    throw refuse(`the line ${quote(line)} does not begin with two ids, a device number and two paths`);
  }
  const shown = unescape(root);
  const isDeleted = shown.endsWith(DELETED);
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: isDeleted ? shown.slice(0, -DELETED.length) : shown,
    path: unescape(point),
    isDeleted,
    options: options.split(','),
    propagation: fields.slice(6, dash),
    fsType: unescape(fields[dash + 1]!),
    source: unescape(fields[dash + 2]!),
    superOptions: fields[dash + 3]!.split(','),
  };
}

/** The kernel escapes bytes; the text was decoded as UTF-8 before, and every escaped byte is ASCII. */
function unescape(text: string): string {
  return text.includes('\\')
    ? text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
    : text;
}

function quote(line: string): string {
  return JSON.stringify(line.length > 200 ? `${line.slice(0, 200)}...` : line);
}

function refuse(what: string): PfError {
  return new PfError('PROTOCOL_ERROR', `cannot read the list of mounts: ${what}`);
}
