// Looks at a disk before it is formatted: is it blank, and if not, what is on it? Signatures are the published ones of each format.
import { KiB, MiB, alignDown } from '../../base/sizes.ts';
import type { Disk } from '../../world/disk.ts';
import type { IoMemory } from '../../world/memory.ts';
import { Gather } from './gather.ts';
import { decodeHead } from './head-page.ts';

const PROBE_BYTES = 64 * KiB;
const PROBES = 64;

const SIGNATURES: readonly { readonly at: number; readonly bytes: readonly number[]; readonly name: string }[] = [
  { at: 1080, bytes: [0x53, 0xef], name: 'an ext2, ext3 or ext4 file system' },
  { at: 0, bytes: [0x58, 0x46, 0x53, 0x42], name: 'an XFS file system' },
  { at: 65600, bytes: [0x5f, 0x42, 0x48, 0x52, 0x66, 0x53, 0x5f, 0x4d], name: 'a Btrfs file system' },
  { at: 0, bytes: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe], name: 'a LUKS volume' },
  { at: 512, bytes: [0x4c, 0x41, 0x42, 0x45, 0x4c, 0x4f, 0x4e, 0x45], name: 'an LVM physical volume' },
  { at: 4096, bytes: [0xfc, 0x4e, 0x2b, 0xa9], name: 'a Linux RAID member' },
  { at: 0, bytes: [0x4e, 0x42, 0x53, 0x35], name: 'a disk of the original PureFlash' },
  { at: 4086, bytes: [0x53, 0x57, 0x41, 0x50], name: 'Linux swap space' },
  { at: 512, bytes: [0x45, 0x46, 0x49, 0x20, 0x50, 0x41, 0x52, 0x54], name: 'a GPT partition table' },
  { at: 510, bytes: [0x55, 0xaa], name: 'an MBR partition table or boot sector' },
];

/** What was found, in words, or null for a blank disk: its first and last MiB and a row of places between hold only zeros. */
export async function findContent(disk: Disk, memory: IoMemory): Promise<string | null> {
  const buffer = memory.reserve(MiB);
  try {
    const start = await look(disk, memory, buffer, 0, MiB);
    const decoded = decodeHead(start);
    const second = decodeHead(start.subarray(4096));
    const head = decoded.kind === 'head' ? decoded : second;
    if (head.kind === 'head') return `a PureFlash disk (disk UUID ${head.head.diskUuid}, store UUID ${head.head.storeUuid})`;
    if (decoded.kind === 'corrupt' || decoded.kind === 'version')
      return 'a PureFlash disk of another version or with a damaged head';
    for (const { at, bytes, name } of SIGNATURES) if (bytes.every((byte, index) => start[at + index] === byte)) return name;
    if (!isZero(start)) return 'unknown data in its first MiB';
    for (let probe = 1; probe < PROBES; probe += 1) {
      const offset = alignDown(Math.floor((disk.sizeBytes * probe) / PROBES), PROBE_BYTES);
      if (!isZero(await look(disk, memory, buffer, offset, PROBE_BYTES))) return `unknown data at offset ${offset}`;
    }
    const lastMiB = alignDown(disk.sizeBytes, 4096) - MiB;
    return isZero(await look(disk, memory, buffer, lastMiB, MiB)) ? null : 'unknown data in its last MiB';
  } finally {
    memory.release(buffer, MiB);
  }
}

async function look(disk: Disk, memory: IoMemory, buffer: number, offset: number, length: number): Promise<Uint8Array> {
  const read = new Gather();
  disk.read(offset, buffer, length, read.add());
  await read.all('look for existing data', disk.path);
  return memory.bytes.subarray(buffer, buffer + length);
}

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== 0) return false;
  return true;
}
