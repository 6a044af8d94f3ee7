// The numbers of the kernel's FUSE protocol (uapi/linux/fuse.h, 7.40) that a server of one file needs. Layouts are declared once, field
// by field, and asserted at load against the kernel's sizes. All fields are little-endian, as every machine is that we run on.
import { assert } from '../../base/assert.ts';
import { FUSE_HEAD_BYTES } from '../../world/fuse.ts';

export const MAJOR = 7;
export const MINOR = 40;
/** Older kernels have shorter structures. */
export const OLDEST_MINOR = 28;

export const LOOKUP = 1;
export const FORGET = 2;
export const GETATTR = 3;
export const SETATTR = 4;
export const OPEN = 14;
export const READ = 15;
export const WRITE = 16;
export const STATFS = 17;
export const RELEASE = 18;
export const FSYNC = 20;
export const FLUSH = 25;
export const INIT = 26;
export const OPENDIR = 27;
export const READDIR = 28;
export const RELEASEDIR = 29;
export const FSYNCDIR = 30;
export const ACCESS = 34;
export const INTERRUPT = 36;
export const DESTROY = 38;
export const BATCH_FORGET = 42;
export const FALLOCATE = 43;
export const SYNCFS = 50;

export const NOTIFY_INVAL_INODE = 2;
export const NOTIFY_RESEND = 7;

// What INIT negotiates; the second word counts from bit 32.
export const ASYNC_READ = 1 << 0;
export const BIG_WRITES = 1 << 5;
export const ASYNC_DIO = 1 << 15;
export const PARALLEL_DIROPS = 1 << 18;
export const MAX_PAGES = 1 << 22;
export const INIT_EXT = 1 << 30;
export const HAS_RESEND_2 = 1 << (39 - 32);

export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_NOFLUSH = 1 << 5;
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;
export const FATTR_SIZE = 1 << 3;

export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const FALLOC_ZERO_RANGE = 16;

export const ROOT_ID = 1;
export const FILE_ID = 2;
export const MODE_FOLDER = 0o040700;
export const MODE_FILE = 0o100600;
export const MODE_FILE_READ_ONLY = 0o100400;
export const TYPE_FOLDER = 4;
export const TYPE_FILE = 8;

export const ENOENT = 2;
export const EIO = 5;
export const EINVAL = 22;
export const EROFS = 30;
export const ENOSYS = 38;
export const EPROTO = 71;
export const EOPNOTSUPP = 95;
/** The kernel takes no larger one. */
export const LARGEST_ERRNO = 511;

type Layout<F> = { readonly sizeBytes: number } & { readonly [K in keyof F]: number };

/** Offsets of fields that follow one another, given their widths. */
function layout<const F extends Readonly<Record<string, number>>>(sizeBytes: number, widths: F): Layout<F> {
  const offsets: Record<string, number> = { sizeBytes };
  let at = 0;
  for (const [name, width] of Object.entries(widths)) {
    assert(width > 8 || at % width === 0, `the FUSE field ${name} at ${at} is not aligned`);
    offsets[name] = at;
    at += width;
  }
  assert(at === sizeBytes, `a FUSE structure ends at ${at}, and the kernel has ${sizeBytes}`);
  return offsets as Layout<F>;
}

export const IN_HEADER = layout(40, {
  length: 4,
  opcode: 4,
  unique: 8,
  nodeId: 8,
  uid: 4,
  gid: 4,
  pid: 4,
  extensions: 2,
  padding: 2,
});
export const OUT_HEADER = layout(16, { length: 4, error: 4, unique: 8 });
export const INIT_IN = layout(64, { major: 4, minor: 4, maxReadahead: 4, flags: 4, flags2: 4, unused: 44 });
export const INIT_OUT = layout(64, {
  major: 4,
  minor: 4,
  maxReadahead: 4,
  flags: 4,
  maxBackground: 2,
  congestionThreshold: 2,
  maxWrite: 4,
  timeGranularity: 4,
  maxPages: 2,
  mapAlignment: 2,
  flags2: 4,
  maxStackDepth: 4,
  unused: 24,
});
export const READ_IN = layout(40, { handle: 8, offset: 8, size: 4, readFlags: 4, lockOwner: 8, flags: 4, padding: 4 });
export const WRITE_IN = layout(40, { handle: 8, offset: 8, size: 4, writeFlags: 4, lockOwner: 8, flags: 4, padding: 4 });
export const WRITE_OUT = layout(8, { size: 4, padding: 4 });
export const FALLOCATE_IN = layout(32, { handle: 8, offset: 8, length: 8, mode: 4, padding: 4 });
export const OPEN_IN = layout(8, { flags: 4, openFlags: 4 });
export const OPEN_OUT = layout(16, { handle: 8, openFlags: 4, backingId: 4 });
export const SETATTR_IN = layout(88, { valid: 4, padding: 4, handle: 8, size: 8, rest: 64 });
export const ATTR = layout(88, {
  inode: 8,
  size: 8,
  blocks: 8,
  times: 24,
  nanoseconds: 12,
  mode: 4,
  links: 4,
  uid: 4,
  gid: 4,
  device: 4,
  blockSize: 4,
  flags: 4,
});
export const ATTR_OUT = layout(104, { validSeconds: 8, validNanoseconds: 4, padding: 4, attr: 88 });
export const ENTRY_OUT = layout(128, {
  nodeId: 8,
  generation: 8,
  entryValidSeconds: 8,
  attrValidSeconds: 8,
  entryValidNanoseconds: 4,
  attrValidNanoseconds: 4,
  attr: 88,
});
/** A negative offset: attributes only. */
export const INVAL_INODE_OUT = layout(24, { inode: 8, offset: 8, length: 8 });
export const STATFS_OUT = layout(80, {
  blocks: 8,
  blocksFree: 8,
  blocksAvailable: 8,
  files: 8,
  filesFree: 8,
  blockSize: 4,
  nameLength: 4,
  fragmentSize: 4,
  padding: 4,
  spare: 24,
});
/** Followed by the name, padded to 8. */
export const DIRENT = layout(24, { inode: 8, offset: 8, nameLength: 4, type: 4 });

assert(IN_HEADER.sizeBytes + WRITE_IN.sizeBytes === FUSE_HEAD_BYTES, 'the payload of a write does not begin its slot');
