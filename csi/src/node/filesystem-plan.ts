// What to do with a device that is to be mounted: use what is there, format it, or leave it alone. Pure; called by stage.ts.
// The rule: nothing that anybody may have written is ever formatted over. A device is formatted when three independent looks find nothing
// (no signature known to blkid, only zeros at its beginning, and no block that the volume's stores have taken a write for), or when our own
// mkfs began under this very attachment and did not end: no other node can have had the volume since.
import { MiB, PfError, formatSize } from '@pureflash/datapath/base';
import { FS_TYPES, FS_TYPE_DEFAULT } from '../calls/capability.ts';
import type { FsType } from './host.ts';

export interface DeviceFacts {
  readonly volumeId: string;
  readonly sizeBytes: number;
  /** What blkid recognises, or null. */
  readonly signature: string | null;
  /** The first 4096 bytes are zeros. */
  readonly isHeadBlank: boolean;
  /** Some block of the volume was written and not trimmed since, wherever. Only asked where nothing else forbids to format: see mayBeBlank(). */
  readonly isWritten: boolean;
  /** Null: whatever is there, or the default. */
  readonly wanted: FsType | null;
  /** A mkfs of this kind began under this attachment, and nobody has said that it ended. */
  readonly unfinished: FsType | null;
  readonly isReadOnly: boolean;
}

export type FilesystemPlan =
  | { readonly kind: 'use'; readonly fsType: FsType }
  | { readonly kind: 'format'; readonly fsType: FsType; readonly isOverwriting: boolean };

/** mkfs.xfs of 2022 and later makes nothing smaller. */
const XFS_BYTES_MIN = 300 * MiB;

/** Whether all that can be seen of the device itself is nothing: then what was ever written to the volume decides. */
export function mayBeBlank(facts: Pick<DeviceFacts, 'signature' | 'isHeadBlank' | 'unfinished' | 'isReadOnly'>): boolean {
  return facts.signature === null && facts.isHeadBlank && facts.unfinished === null && !facts.isReadOnly;
}

/** Errors: INVALID_STATE (something else is on it), INVALID_ARGUMENT (too small). */
export function planFilesystem(facts: DeviceFacts): FilesystemPlan {
  const { signature, unfinished, wanted, volumeId } = facts;
  const isOurs = unfinished !== null && (signature === null || signature === unfinished);
  if (isOurs) return format(facts, wanted ?? unfinished, true);
  if (signature !== null) {
    const found = FS_TYPES.find((fsType) => fsType === signature);
    if (found !== undefined && (wanted === null || wanted === found)) return { kind: 'use', fsType: found };
    throw new PfError(
      'INVALID_STATE',
      `cannot mount volume "${volumeId}" as ${wanted ?? FS_TYPE_DEFAULT}: it holds ${signature}, which is left as it is; ` +
        (found === undefined ? 'use the volume as raw block, or wipe it yourself' : `ask for fsType ${found}`),
    );
  }
  if (!facts.isHeadBlank) {
    throw new PfError(
      'INVALID_STATE',
      `cannot format volume "${volumeId}": it holds data that no filesystem has written; use it as raw block, or wipe it yourself`,
    );
  }
  if (facts.isWritten) {
    throw new PfError(
      'INVALID_STATE',
      `cannot format volume "${volumeId}": it begins with zeros, but blocks of it were written (used as raw block, it may hold data further on); ` +
        'use it as raw block; to give it up, run blkdiscard on its device while it is used as raw block, then mount it again',
    );
  }
  return format(facts, wanted ?? FS_TYPE_DEFAULT, false);
}

function format(facts: DeviceFacts, fsType: FsType, isOverwriting: boolean): FilesystemPlan {
  const { volumeId, sizeBytes, isReadOnly } = facts;
  if (isReadOnly) {
    throw new PfError(
      'INVALID_STATE',
      `cannot mount volume "${volumeId}" read-only: it has no filesystem yet; mount it for writing once`,
    );
  }
  if (fsType === 'xfs' && sizeBytes < XFS_BYTES_MIN) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot format volume "${volumeId}" as xfs: it has ${formatSize(sizeBytes)}, at least ${formatSize(XFS_BYTES_MIN)} wanted; use ext4`,
    );
  }
  return { kind: 'format', fsType, isOverwriting };
}
