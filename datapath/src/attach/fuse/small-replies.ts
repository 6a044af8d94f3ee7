// The bodies of replies that are no data: attributes, entries, the folder's listing. Each writes into zeroed reply memory and says how long
// it is. The file system is a root folder (0700) with one file in it.
import type { BlockDevice } from '../../block/device.ts';
import { FUSE_PAYLOAD_BYTES } from '../../world/fuse.ts';
import * as p from './protocol.ts';
import { readU64, writeU64 } from './request-head.ts';

const BLOCK_BYTES = 4096;
/** Requests that the kernel keeps waiting for us, beyond those for which a thread waits: as many as a loop device has. */
const MAX_BACKGROUND = 128;
const NEVER_OLD_SECONDS = 2 ** 31;

export interface Negotiated {
  readonly canResend: boolean;
}

/** Null when the kernel speaks no version that we know. */
export function writeInit(view: DataView, at: number, body: number, bodyBytes: number): Negotiated | null {
  if (bodyBytes < p.INIT_IN.maxReadahead + 8) return null;
  const major = view.getUint32(body + p.INIT_IN.major, true);
  const minor = view.getUint32(body + p.INIT_IN.minor, true);
  if (major < p.MAJOR || (major === p.MAJOR && minor < p.OLDEST_MINOR)) return null;
  const offered = view.getUint32(body + p.INIT_IN.flags, true);
  const offered2 =
    (offered & p.INIT_EXT) !== 0 && bodyBytes >= p.INIT_IN.unused ? view.getUint32(body + p.INIT_IN.flags2, true) : 0;
  const wanted = p.ASYNC_READ | p.BIG_WRITES | p.ASYNC_DIO | p.PARALLEL_DIROPS | p.MAX_PAGES | p.INIT_EXT;
  view.setUint32(at + p.INIT_OUT.major, p.MAJOR, true);
  view.setUint32(at + p.INIT_OUT.minor, p.MINOR, true);
  view.setUint32(at + p.INIT_OUT.maxReadahead, view.getUint32(body + p.INIT_IN.maxReadahead, true), true);
  view.setUint32(at + p.INIT_OUT.flags, (offered & wanted) >>> 0, true);
  view.setUint16(at + p.INIT_OUT.maxBackground, MAX_BACKGROUND, true);
  view.setUint16(at + p.INIT_OUT.congestionThreshold, MAX_BACKGROUND, true);
  view.setUint32(at + p.INIT_OUT.maxWrite, FUSE_PAYLOAD_BYTES, true);
  view.setUint32(at + p.INIT_OUT.timeGranularity, 1, true);
  view.setUint16(at + p.INIT_OUT.maxPages, FUSE_PAYLOAD_BYTES / BLOCK_BYTES, true);
  view.setUint32(at + p.INIT_OUT.flags2, offered2 & p.HAS_RESEND_2, true);
  return { canResend: (offered2 & p.HAS_RESEND_2) !== 0 };
}

export function writeAttributes(view: DataView, at: number, nodeId: number, device: BlockDevice): void {
  const isFile = nodeId === p.FILE_ID;
  const size = isFile ? device.sizeBytes : 0;
  writeU64(view, at + p.ATTR.inode, nodeId);
  writeU64(view, at + p.ATTR.size, size);
  writeU64(view, at + p.ATTR.blocks, Math.ceil(size / 512));
  const fileMode = device.isReadOnly ? p.MODE_FILE_READ_ONLY : p.MODE_FILE;
  view.setUint32(at + p.ATTR.mode, isFile ? fileMode : p.MODE_FOLDER, true);
  view.setUint32(at + p.ATTR.links, isFile ? 1 : 2, true);
  view.setUint32(at + p.ATTR.blockSize, BLOCK_BYTES, true);
}

/**
 * The kernel keeps attributes until it is told otherwise (writeForget): who lists mounts and loop devices while no server lives is answered.
 */
export function writeAttrOut(view: DataView, at: number, nodeId: number, device: BlockDevice): number {
  writeU64(view, at + p.ATTR_OUT.validSeconds, NEVER_OLD_SECONDS);
  writeAttributes(view, at + p.ATTR_OUT.attr, nodeId, device);
  return p.ATTR_OUT.sizeBytes;
}

export function writeEntry(view: DataView, at: number, device: BlockDevice): number {
  writeU64(view, at + p.ENTRY_OUT.nodeId, p.FILE_ID);
  writeU64(view, at + p.ENTRY_OUT.generation, 1);
  writeU64(view, at + p.ENTRY_OUT.entryValidSeconds, NEVER_OLD_SECONDS);
  writeU64(view, at + p.ENTRY_OUT.attrValidSeconds, NEVER_OLD_SECONDS);
  writeAttributes(view, at + p.ENTRY_OUT.attr, p.FILE_ID, device);
  return p.ENTRY_OUT.sizeBytes;
}

/** The body of the notification that the file's attributes are not what they were. */
export function writeForget(view: DataView, at: number): number {
  writeU64(view, at + p.INVAL_INODE_OUT.inode, p.FILE_ID);
  view.setBigInt64(at + p.INVAL_INODE_OUT.offset, -1n, true);
  writeU64(view, at + p.INVAL_INODE_OUT.length, 0);
  return p.INVAL_INODE_OUT.sizeBytes;
}

export function writeOpen(view: DataView, at: number, isFile: boolean): number {
  const flags = isFile ? p.FOPEN_DIRECT_IO | p.FOPEN_NOFLUSH | p.FOPEN_PARALLEL_DIRECT_WRITES : 0;
  view.setUint32(at + p.OPEN_OUT.openFlags, flags, true);
  return p.OPEN_OUT.sizeBytes;
}

export function writeStatfs(view: DataView, at: number, device: BlockDevice): number {
  writeU64(view, at + p.STATFS_OUT.blocks, Math.ceil(device.sizeBytes / BLOCK_BYTES));
  writeU64(view, at + p.STATFS_OUT.files, 1);
  view.setUint32(at + p.STATFS_OUT.blockSize, BLOCK_BYTES, true);
  view.setUint32(at + p.STATFS_OUT.nameLength, 255, true);
  view.setUint32(at + p.STATFS_OUT.fragmentSize, BLOCK_BYTES, true);
  return p.STATFS_OUT.sizeBytes;
}

/** As many of ".", ".." and the file, from the one that the request names on, as fit into `room`. The request's body is a READ's. */
export function writeListing(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  room: number,
  body: number,
  fileName: Uint8Array,
): number {
  const names = [new Uint8Array([46]), new Uint8Array([46, 46]), fileName];
  const from = readU64(view, body + p.READ_IN.offset);
  const limit = Math.min(room, view.getUint32(body + p.READ_IN.size, true));
  let length = 0;
  for (let index = Number.isNaN(from) ? names.length : from; index < names.length; index += 1) {
    const name = names[index]!;
    const entryBytes = Math.ceil((p.DIRENT.sizeBytes + name.length) / 8) * 8;
    if (length + entryBytes > limit) break;
    const entry = at + length;
    writeU64(view, entry + p.DIRENT.inode, index < 2 ? p.ROOT_ID : p.FILE_ID);
    writeU64(view, entry + p.DIRENT.offset, index + 1);
    view.setUint32(entry + p.DIRENT.nameLength, name.length, true);
    view.setUint32(entry + p.DIRENT.type, index < 2 ? p.TYPE_FOLDER : p.TYPE_FILE, true);
    bytes.set(name, entry + p.DIRENT.sizeBytes);
    length += entryBytes;
  }
  return length;
}
