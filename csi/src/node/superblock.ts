// How large a filesystem says it is, read from the first 4096 bytes of its device: tells whether it is to be grown at stage time.
import type { FsType } from './host.ts';

const EXT_SUPERBLOCK = 1024;
const EXT_MAGIC = 0xef53;
const EXT_INCOMPAT_64BIT = 0x80;
const XFS_MAGIC = 0x58465342; // "XFSB"

/** Bytes; null when these are not the first bytes of such a filesystem. */
export function filesystemBytes(head: Uint8Array, fsType: FsType): number | null {
  if (head.length < 4096) return null;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  return fsType === 'ext4' ? extBytes(view) : xfsBytes(view);
}

function extBytes(view: DataView): number | null {
  if (view.getUint16(EXT_SUPERBLOCK + 0x38, true) !== EXT_MAGIC) return null;
  const blocksLow = view.getUint32(EXT_SUPERBLOCK + 0x04, true);
  const is64Bit = (view.getUint32(EXT_SUPERBLOCK + 0x60, true) & EXT_INCOMPAT_64BIT) !== 0;
  const blocksHigh = is64Bit ? view.getUint32(EXT_SUPERBLOCK + 0x150, true) : 0;
  const logBlock = view.getUint32(EXT_SUPERBLOCK + 0x18, true);
  return logBlock > 6 ? null : (blocksHigh * 2 ** 32 + blocksLow) * 1024 * 2 ** logBlock;
}

function xfsBytes(view: DataView): number | null {
  if (view.getUint32(0) !== XFS_MAGIC) return null;
  return view.getUint32(4) * (view.getUint32(8) * 2 ** 32 + view.getUint32(12));
}

export function isBlank(head: Uint8Array): boolean {
  return head.every((byte) => byte === 0);
}
