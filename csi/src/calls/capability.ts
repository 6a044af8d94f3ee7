// What a caller wants of a volume, read from a CSI capability: refused whole, by name, or understood whole.
import { PfError } from '@pureflash/datapath/base';
import type { AccessModeName, VolumeCapability } from '../messages/volume-messages.ts';
import type { FsType } from '../node/host.ts';
import { readMountFlags } from './mount-flags.ts';

export interface Wanted {
  /** Null: raw block. */
  readonly filesystem: WantedFilesystem | null;
  /** The access mode has no writer. */
  readonly isReadOnly: boolean;
  /** One pod at a time on the whole cluster (ReadWriteOncePod): a second target is refused. */
  readonly isForOneTarget: boolean;
}

export interface WantedFilesystem {
  /** Null: the one that is there, or the default. */
  readonly fsType: FsType | null;
  readonly options: readonly string[];
}

export const FS_TYPES: readonly FsType[] = ['ext4', 'xfs'];
export const FS_TYPE_DEFAULT: FsType = 'ext4';

const READ_ONLY_MODES: ReadonlySet<AccessModeName> = new Set(['SINGLE_NODE_READER_ONLY', 'MULTI_NODE_READER_ONLY']);

/** Error INVALID_ARGUMENT. */
export function readCapability(capability: VolumeCapability | null): Wanted {
  if (capability === null) throw refuse('volume_capability is missing');
  const mode = capability.accessMode?.mode ?? 'UNKNOWN';
  if (mode === 'UNKNOWN') throw refuse('volume_capability.access_mode is missing or unknown');
  const { block, mount } = capability;
  if (block === null && mount === null) throw refuse('volume_capability has neither "block" nor "mount"');
  const access = { isReadOnly: READ_ONLY_MODES.has(mode), isForOneTarget: mode === 'SINGLE_NODE_SINGLE_WRITER' };
  if (mount === null) return { filesystem: null, ...access };
  if (mode === 'MULTI_NODE_MULTI_WRITER' || mode === 'MULTI_NODE_SINGLE_WRITER') {
    throw refuse(`access mode ${mode} is for raw block only: ext4 and xfs know one node at a time`);
  }
  if (mount.volumeMountGroup !== '') {
    throw refuse(
      'volume_mount_group is not supported: ext4 and xfs have no mount option for a group; fsGroup is applied by kubelet',
    );
  }
  return { filesystem: { fsType: readFsType(mount.fsType), options: readMountFlags(mount.mountFlags) }, ...access };
}

function readFsType(text: string): FsType | null {
  if (text === '') return null;
  const found = FS_TYPES.find((fsType) => fsType === text);
  if (found !== undefined) return found;
  throw refuse(`fs_type ${JSON.stringify(text.slice(0, 100))} is not supported: ${FS_TYPES.join(' or ')} wanted`);
}

function refuse(complaint: string): PfError {
  return new PfError('INVALID_ARGUMENT', complaint);
}
