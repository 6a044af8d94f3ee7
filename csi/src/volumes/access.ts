// Which ways of using a volume a cluster has, as its controller is asked before there is a node: those that a node knows (calls/capability.ts),
// with one writing node at a time.
import { PfError, errorCodeOf } from '@pureflash/datapath/base';
import { readCapability } from '../calls/capability.ts';
import type { AccessModeName, VolumeCapability } from '../messages/volume-messages.ts';

const SEVERAL_WRITERS: ReadonlySet<AccessModeName> = new Set(['MULTI_NODE_SINGLE_WRITER', 'MULTI_NODE_MULTI_WRITER']);

export interface Access {
  readonly isReadOnly: boolean;
}

/** Error INVALID_ARGUMENT. */
export function accessOf(capability: VolumeCapability | null): Access {
  const { isReadOnly } = readCapability(capability);
  const mode = capability!.accessMode!.mode;
  if (SEVERAL_WRITERS.has(mode))
    throw new PfError('INVALID_ARGUMENT', `access mode ${mode} is not possible: one node writes a volume at a time`);
  return { isReadOnly };
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
