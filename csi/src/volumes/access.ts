// How a node will use a volume, as the controller reads it from a capability before there is a node: what a node understands
// (calls/capability.ts), and whether others write beside it.
import { PfError, errorCodeOf } from '@pureflash/datapath/base';
import { readCapability } from '../calls/capability.ts';
import type { VolumeCapability } from '../messages/volume-messages.ts';

export interface Access {
  readonly isReadOnly: boolean;
  /** Several nodes write the (raw block) volume at the same time, and order their writes among themselves. */
  readonly isShared: boolean;
}

/** Error INVALID_ARGUMENT. */
export function accessOf(capability: VolumeCapability | null): Access {
  const { isReadOnly } = readCapability(capability);
  return { isReadOnly, isShared: capability!.accessMode!.mode === 'MULTI_NODE_MULTI_WRITER' };
}

/** Error INVALID_ARGUMENT for none, and for the first that is not possible. */
export function checkCapabilities(capabilities: readonly VolumeCapability[]): void {
  if (capabilities.length === 0) throw new PfError('INVALID_ARGUMENT', 'volume_capabilities is missing');
  for (const capability of capabilities) accessOf(capability);
}

/** Why it is not possible, or null. */
export function complaintOf(capability: VolumeCapability): string | null {
  try {
    accessOf(capability);
    return null;
  } catch (error) {
    if (errorCodeOf(error) !== 'INVALID_ARGUMENT') throw error;
    return (error as PfError).message;
  }
}
