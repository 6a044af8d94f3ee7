// What else may lie on a disk: the published magic numbers of file systems, RAID, volume managers and partition tables, at their
// offsets. Pure, over the first and the last MiB of a disk; called by blank-check.ts. Hostile bytes can only be misnamed.
import { KiB, alignDown } from '../../base/sizes.ts';
import { countGptPartitions, countMbrPartitions, describePartitions } from './partition-tables.ts';

/** The first and the last MiB of a disk, or all of it twice if it is smaller. */
export interface DiskEnds {
  readonly sizeBytes: number;
  readonly first: Uint8Array;
  readonly last: Uint8Array;
  /** Where `last` begins on the disk. */
  readonly lastOffset: number;
}

interface Signature {
  readonly name: string;
  readonly bytes: readonly number[];
  /** Offset on the disk; negative: before its end, rounded down to `unit` first. */
  readonly at: number;
  readonly unit?: number;
}

const MD_MAGIC = [0xfc, 0x4e, 0x2b, 0xa9];
const BCACHE_TAIL = [0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81];
const PAGE_SIZES = [4 * KiB, 8 * KiB, 16 * KiB, 32 * KiB, 64 * KiB];
const LUKS2_SPARES = [16 * KiB, 32 * KiB, 64 * KiB, 128 * KiB, 256 * KiB, 512 * KiB];

const SIGNATURES: readonly Signature[] = [
  { name: 'XFS', at: 0, bytes: ascii('XFSB') },
  { name: 'Btrfs', at: 64 * KiB + 64, bytes: ascii('_BHRfS_M') },
  { name: 'F2FS', at: 1024, bytes: [0x10, 0x20, 0xf5, 0xf2] },
  { name: 'EROFS', at: 1024, bytes: [0xe2, 0xe1, 0xf5, 0xe0] },
  { name: 'SquashFS', at: 0, bytes: ascii('hsqs') },
  { name: 'ReiserFS', at: 64 * KiB + 52, bytes: ascii('ReIsEr') },
  { name: 'JFS', at: 32 * KiB, bytes: ascii('JFS1') },
  { name: 'NTFS', at: 3, bytes: ascii('NTFS    ') },
  { name: 'exFAT', at: 3, bytes: ascii('EXFAT   ') },
  { name: 'FAT', at: 82, bytes: ascii('FAT32   ') },
  { name: 'FAT', at: 54, bytes: ascii('FAT1') },
  { name: 'FAT', at: 54, bytes: ascii('FAT     ') },
  { name: 'ISO 9660', at: 32 * KiB + 1, bytes: ascii('CD001') },
  ...PAGE_SIZES.flatMap((page) => [
    { name: 'swap', at: page - 10, bytes: ascii('SWAPSPACE2') },
    { name: 'swap', at: page - 10, bytes: ascii('SWAP-SPACE') },
    { name: 'a hibernated system', at: page - 10, bytes: ascii('S1SUSPEND') },
  ]),
  ...[0, 1, 2, 3].map((sector) => ({ name: 'LVM physical volume', at: 512 * sector, bytes: ascii('LABELONE') })),
  { name: 'RAID member (md 1.1)', at: 0, bytes: MD_MAGIC },
  { name: 'RAID member (md 1.2)', at: 4096, bytes: MD_MAGIC },
  { name: 'RAID member (md 1.0)', at: -8192, unit: 4096, bytes: MD_MAGIC },
  { name: 'RAID member (md 0.90)', at: -64 * KiB, unit: 64 * KiB, bytes: MD_MAGIC },
  { name: 'RAID member (md 0.90)', at: -64 * KiB, unit: 64 * KiB, bytes: MD_MAGIC.toReversed() },
  { name: 'RAID member (Intel)', at: -1024, bytes: ascii('Intel Raid ISM Cfg Sig.') },
  { name: 'RAID member (DDF)', at: -512, bytes: [0xde, 0x11, 0xde, 0x11] },
  { name: 'LUKS1', at: 0, bytes: [...ascii('LUKS'), 0xba, 0xbe, 0, 1] },
  { name: 'LUKS2', at: 0, bytes: [...ascii('LUKS'), 0xba, 0xbe, 0, 2] },
  ...LUKS2_SPARES.map((at) => ({ name: 'LUKS2', at, bytes: [...ascii('SKUL'), 0xba, 0xbe, 0, 2] })),
  { name: 'bcache', at: 4096 + 24, bytes: [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, ...BCACHE_TAIL] },
  { name: 'bcachefs', at: 4096 + 24, bytes: [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9] },
  { name: 'Ceph BlueStore', at: 0, bytes: ascii('bluestore block device') },
  ...[0x6b, 0x6c, 0x6d].map((last) => ({ name: 'DRBD', at: -4096 + 60, unit: 4096, bytes: [0x83, 0x74, 0x02, last] })),
  { name: 'VDO', at: 0, bytes: ascii('dmvdo001') },
  { name: 'a disk of the original PureFlash', at: 0, bytes: ascii('NBS5') },
];

/** ZFS keeps four labels of 256 KiB, two at each end; the second half of each is a ring of uberblocks. */
const ZFS_LABEL_BYTES = 256 * KiB;
const ZFS_UBERBLOCKS_AT = 128 * KiB;
const ZFS_MAGIC = [0x0c, 0xb1, 0xba, 0x00, 0, 0, 0, 0];

/** The names of everything that is there, each once: file systems and the like first, partition tables last. */
export function recognise(ends: DiskEnds): string[] {
  const names = SIGNATURES.filter((signature) => isThere(ends, signature)).map(({ name }) => name);
  const ext = extVersion(ends.first);
  if (ext !== null) names.unshift(ext);
  if (hasZfsLabel(ends)) names.push('ZFS');
  const partitions = partitionTable(ends, names);
  if (partitions !== null) names.push(partitions);
  return [...new Set(names)];
}

function isThere(ends: DiskEnds, { at, unit, bytes }: Signature): boolean {
  return hasBytes(ends, at >= 0 ? at : alignDown(ends.sizeBytes, unit ?? 1) + at, bytes);
}

function hasBytes({ first, last, lastOffset }: DiskEnds, offset: number, bytes: readonly number[]): boolean {
  if (offset < 0) return false;
  if (offset + bytes.length <= first.length) return bytes.every((byte, index) => first[offset + index] === byte);
  const start = offset - lastOffset;
  return start >= 0 && start + bytes.length <= last.length && bytes.every((byte, index) => last[start + index] === byte);
}

/** The superblock at 1024: magic at 56, features at 92, 96 and 100. What only ext4 has makes it ext4; a journal, ext3. */
function extVersion(first: Uint8Array): string | null {
  if (first.length < 2048 || first[1080] !== 0x53 || first[1081] !== 0xef) return null;
  const view = new DataView(first.buffer, first.byteOffset + 1024, 1024);
  const hasJournal = (view.getUint32(92, true) & 0x4) !== 0;
  const isExt4 = (view.getUint32(96, true) & 0x3c0) !== 0 || (view.getUint32(100, true) & 0x478) !== 0;
  return isExt4 ? 'ext4' : hasJournal ? 'ext3' : 'ext2';
}

function hasZfsLabel(ends: DiskEnds): boolean {
  const end = alignDown(ends.sizeBytes, ZFS_LABEL_BYTES);
  const labels = [0, ZFS_LABEL_BYTES, end - 2 * ZFS_LABEL_BYTES, end - ZFS_LABEL_BYTES];
  const reversed = ZFS_MAGIC.toReversed();
  return labels.some((label) => {
    for (let at = label + ZFS_UBERBLOCKS_AT; at < label + ZFS_LABEL_BYTES; at += 1024) {
      if (hasBytes(ends, at, ZFS_MAGIC) || hasBytes(ends, at, reversed)) return true;
    }
    return false;
  });
}

function partitionTable(ends: DiskEnds, found: readonly string[]): string | null {
  const { first, sizeBytes } = ends;
  const efi = ascii('EFI PART');
  for (const sector of [512, 4096]) {
    if (hasBytes(ends, sector, efi)) return `GPT with ${describePartitions(countGptPartitions(first, sector))}`;
  }
  if ([512, 4096].some((sector) => hasBytes(ends, sizeBytes - sector, efi))) return 'the backup of a GPT';
  if (first.length < 512 || first[510] !== 0x55 || first[511] !== 0xaa) return null;
  const count = countMbrPartitions(first);
  if (count !== null && count > 0) return `MBR with ${describePartitions(count)}`;
  // File systems of the DOS family end their first sector with the same two bytes.
  return found.length > 0 ? null : 'MBR without partitions, or a boot sector';
}

function ascii(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}
