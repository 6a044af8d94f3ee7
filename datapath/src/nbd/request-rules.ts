// Which requests are refused before they reach the device, and with which error: the protocol's table as one pure
// function. Called once per request by Transmission; allocates nothing. No bit that a client sets may do more than this.
import type { BlockDevice } from '../block/device.ts';
import * as p from './protocol.ts';

/** What the client negotiated and what the device can do, decided once per connection; only the size may grow under it. */
export interface RequestRules {
  readonly device: BlockDevice;
  readonly minimumBlockBytes: number;
  /** Largest read that is answered by a single chunk. */
  readonly maximumChunkBytes: number;
  readonly isReadOnly: boolean;
  readonly canTrim: boolean;
  readonly hasBlockStatus: boolean;
  /** Allowed command flags, by command. */
  readonly flagsOf: readonly number[];
}

export function rulesFor(device: BlockDevice, hasStructuredReplies: boolean, hasBlockStatus: boolean): RequestRules {
  const flagsOf: number[] = [];
  for (let command = p.CMD_READ; command <= p.CMD_BLOCK_STATUS; command++) flagsOf[command] = p.CMD_FLAG_FUA;
  if (hasStructuredReplies) flagsOf[p.CMD_READ]! |= p.CMD_FLAG_DF;
  flagsOf[p.CMD_WRITE_ZEROES]! |= p.CMD_FLAG_NO_HOLE | (device.canZeroFast === true ? p.CMD_FLAG_FAST_ZERO : 0);
  flagsOf[p.CMD_BLOCK_STATUS]! |= p.CMD_FLAG_REQ_ONE;
  return {
    device,
    minimumBlockBytes: device.minimumIoBytes,
    maximumChunkBytes: device.maximumIoBytes,
    isReadOnly: device.isReadOnly,
    canTrim: device.canTrim,
    hasBlockStatus,
    flagsOf,
  };
}

/** 0, or the protocol's error number. DISC is not a question for this function. */
export function refusalOf(rules: RequestRules, command: number, flags: number, offset: number, length: number): number {
  const allowed = rules.flagsOf[command];
  if (allowed === undefined || (flags & ~allowed) !== 0) return p.NBD_EINVAL;
  if (command === p.CMD_FLUSH) return 0;
  const isWriting = command === p.CMD_WRITE || command === p.CMD_TRIM || command === p.CMD_WRITE_ZEROES;
  if (isWriting && rules.isReadOnly) return p.NBD_EPERM;
  if (command === p.CMD_TRIM && !rules.canTrim) return p.NBD_EINVAL;
  if (command === p.CMD_BLOCK_STATUS && (!rules.hasBlockStatus || length === 0)) return p.NBD_EINVAL;
  if (offset % rules.minimumBlockBytes !== 0 || length % rules.minimumBlockBytes !== 0) return p.NBD_EINVAL;
  if (command <= p.CMD_WRITE && length > p.MAX_PAYLOAD_BYTES) return p.NBD_EINVAL;
  if (offset + length > rules.device.sizeBytes)
    return command === p.CMD_WRITE || command === p.CMD_WRITE_ZEROES ? p.NBD_ENOSPC : p.NBD_EINVAL;
  if ((flags & p.CMD_FLAG_DF) !== 0 && length > rules.maximumChunkBytes) return p.NBD_EOVERFLOW;
  return 0;
}
