// Looks at a disk, reading only: is it blank, ours, or somebody's? Called before a disk is formatted and by the discovery of disks.
// Invariant: a disk is called blank only after both of its ends and a row of places between were read and held zeros.
import { KiB, MiB, alignDown } from '../../base/sizes.ts';
import type { Disk } from '../../world/disk.ts';
import type { IoMemory } from '../../world/memory.ts';
import { Gather } from './gather.ts';
import { decodeHead, type DecodedHead, type Head } from './head-page.ts';
import { HEAD_B_OFFSET, HEAD_PAGE_BYTES } from './layout.ts';
import { recognise } from './signatures.ts';

const PROBE_BYTES = 64 * KiB;
const PROBES = 64;

export type DiskContent =
  | { readonly kind: 'blank' }
  | { readonly kind: 'head'; readonly head: Head }
  /** Ours by its magic number, but not to be opened by this program. */
  | { readonly kind: 'damaged-head' }
  | { readonly kind: 'other-version'; readonly version: number }
  /** Names as signatures.ts has them; `isOverOurs` when a head of ours lies beneath. */
  | { readonly kind: 'known'; readonly names: readonly string[]; readonly isOverOurs: boolean }
  | { readonly kind: 'unknown'; readonly where: string };

/** Errors: IO_ERROR, NO_SPACE (no I/O memory). */
export async function inspectContent(disk: Disk, memory: IoMemory): Promise<DiskContent> {
  const buffer = memory.reserve(MiB);
  try {
    const endBytes = Math.min(MiB, alignDown(disk.sizeBytes, disk.blockSizeBytes));
    const first = (await look(disk, memory, buffer, 0, endBytes)).slice();
    const lastOffset = alignDown(disk.sizeBytes, disk.blockSizeBytes) - endBytes;
    const last = await look(disk, memory, buffer, lastOffset, endBytes);
    const isLastZero = isZero(last);
    const ours = headOf(first);
    // The first MiB of a disk of ours holds nothing but heads; its last one holds data, which may look like anything.
    const ends = { sizeBytes: disk.sizeBytes, first, last: ours === null ? last : new Uint8Array(0), lastOffset };
    const names = recognise(ends);
    if (names.length > 0) return { kind: 'known', names, isOverOurs: ours !== null };
    if (ours !== null) return ours;
    if (!isZero(first)) return { kind: 'unknown', where: 'in its first MiB' };
    for (let probe = 1; probe < PROBES; probe += 1) {
      const offset = alignDown(Math.floor((disk.sizeBytes * probe) / PROBES), PROBE_BYTES);
      const length = Math.min(PROBE_BYTES, alignDown(disk.sizeBytes, disk.blockSizeBytes) - offset);
      if (!isZero(await look(disk, memory, buffer, offset, length))) return { kind: 'unknown', where: `at offset ${offset}` };
    }
    return isLastZero ? { kind: 'blank' } : { kind: 'unknown', where: 'in its last MiB' };
  } finally {
    memory.release(buffer, MiB);
  }
}

/** What was found, in words, or null for a blank disk. */
export async function findContent(disk: Disk, memory: IoMemory): Promise<string | null> {
  const content = await inspectContent(disk, memory);
  return content.kind === 'blank' ? null : describeContent(content);
}

function describeContent(content: Exclude<DiskContent, { kind: 'blank' }>): string {
  switch (content.kind) {
    case 'head':
      return `a PureFlash disk (disk UUID ${content.head.diskUuid}, store UUID ${content.head.storeUuid})`;
    case 'damaged-head':
      return 'a PureFlash disk with a damaged head';
    case 'other-version':
      return `a PureFlash disk of format version ${content.version}`;
    case 'known':
      return content.names.join(' and ');
    case 'unknown':
      return `unknown data ${content.where}`;
  }
}

/** What the two head pages say; null when there is none of ours. */
function headOf(first: Uint8Array): DiskContent | null {
  if (first.length < HEAD_B_OFFSET + HEAD_PAGE_BYTES) return null;
  const pages: DecodedHead[] = [decodeHead(first), decodeHead(first.subarray(HEAD_B_OFFSET))];
  for (const page of pages) if (page.kind === 'head') return page;
  for (const page of pages) if (page.kind === 'version') return { kind: 'other-version', version: page.version };
  return pages.some(({ kind }) => kind === 'corrupt') ? { kind: 'damaged-head' } : null;
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
