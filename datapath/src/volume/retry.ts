// What a volume client does with a status: the one table, pure. Called by ShardRouter for every command that comes back.
import { EINVAL, EIO, ENOSPC, EPERM, EROFS } from '../world/completion.ts';
import {
  STATUS_CONNECTION_LOST,
  STATUS_DATA_XFER_ERROR,
  STATUS_FENCED,
  STATUS_INVALID_FIELD,
  STATUS_INVALID_OPCODE,
  STATUS_NOT_PRIMARY,
  STATUS_NOT_READY,
  STATUS_NO_SPACE,
  STATUS_OK,
  STATUS_OUT_OF_RANGE,
  STATUS_PERMISSION_DENIED,
  STATUS_READ_ONLY,
  STATUS_REPLICATING_TIMEOUT,
  mustReopen,
} from '../wire/status.ts';

export const DONE = 0;
/** Send it again, after pauseMsOf(status), on whatever path the shard has then. */
export const RETRY = 1;
/** The request has failed with errnoOf(status). */
export const FAIL = 2;
/** Another writer has attached: final for a writer; a reader opens again and takes the new epoch. */
export const FENCED = 3;
export type Verdict = typeof DONE | typeof RETRY | typeof FAIL | typeof FENCED;

export function verdictOf(status: number): Verdict {
  if (status === STATUS_OK) return DONE;
  if (mustReopen(status)) return RETRY;
  switch (status) {
    case STATUS_FENCED:
      return FENCED;
    case STATUS_CONNECTION_LOST:
    case STATUS_DATA_XFER_ERROR:
    case STATUS_NOT_PRIMARY:
    case STATUS_REPLICATING_TIMEOUT:
      return RETRY;
    default:
      return FAIL;
  }
}

/** How long the shard is left alone after this status, unless a newer layout comes first. A lost connection only waits for the next one. */
export function pauseMsOf(status: number): number {
  if (status === STATUS_CONNECTION_LOST) return 0;
  return status === STATUS_NOT_READY || status === STATUS_DATA_XFER_ERROR ? 20 : 50;
}

export function errnoOf(status: number): number {
  switch (status) {
    case STATUS_INVALID_OPCODE:
    case STATUS_INVALID_FIELD:
    case STATUS_OUT_OF_RANGE:
      return EINVAL;
    case STATUS_NO_SPACE:
      return ENOSPC;
    case STATUS_READ_ONLY:
      return EROFS;
    case STATUS_PERMISSION_DENIED:
      return EPERM;
    default:
      return EIO;
  }
}
