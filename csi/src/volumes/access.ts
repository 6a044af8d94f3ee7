// Which ways of using a volume exist here, as the controller is asked: capabilities before there is a node.
import { PfError } from '@pureflash/datapath/base';
import type { AccessModeName, VolumeCapability } from '../messages/volume-messages.ts';

const READERS: ReadonlySet<AccessModeName> = new Set(['SINGLE_NODE_READER_ONLY', 'MULTI_NODE_READER_ONLY']);
const WRITERS: ReadonlySet<AccessModeName> = new Set([
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
]);
const FILESYSTEMS: ReadonlySet<string> = new Set(['', 'ext4', 'xfs']);

export interface Access {
  readonly isReadOnly: boolean;
}

/** Null: possible; else why not. Error INVALID_ARGUMENT: not a capability at all. */
export function complaintOf(capability: VolumeCapability): string | null {
  const mode = modeOf(capability);
  if (!READERS.has(mode) && !WRITERS.has(mode)) return `access mode ${mode} is not possible: one node writes a volume at a time`;
  const fsType = capability.mount?.fsType ?? '';
  if (!FILESYSTEMS.has(fsType)) return `filesystem ${JSON.stringify(fsType.slice(0, 80))} is not possible: ext4 or xfs is`;
  return null;
}

/** Error INVALID_ARGUMENT for none, for a bad one, and for one that is not possible. */
export function checkCapabilities(capabilities: readonly VolumeCapability[]): void {
  if (capabilities.length === 0) throw new PfError('INVALID_ARGUMENT', 'volume_capabilities is missing');
  for (const capability of capabilities) {
    const complaint = complaintOf(capability);
    if (complaint !== null) throw new PfError('INVALID_ARGUMENT', complaint);
  }
}

/** Error INVALID_ARGUMENT. */
export function accessOf(capability: VolumeCapability | null): Access {
  if (capability === null) throw new PfError('INVALID_ARGUMENT', 'volume_capability is missing');
  checkCapabilities([capability]);
  return { isReadOnly: READERS.has(modeOf(capability)) };
}

function modeOf(capability: VolumeCapability): AccessModeName {
  if (capability.block === null && capability.mount === null)
    throw new PfError('INVALID_ARGUMENT', 'a volume capability has neither "block" nor "mount"');
  const mode = capability.accessMode?.mode ?? 'UNKNOWN';
  if (mode === 'UNKNOWN') throw new PfError('INVALID_ARGUMENT', 'a volume capability has no access mode, or an unknown one');
  return mode;
}
