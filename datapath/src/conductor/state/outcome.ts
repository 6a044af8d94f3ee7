// What applying a command gives: the next state, and what the proposer is told.
import type { ErrorCode } from '../../base/errors.ts';
import type { ClusterState } from './cluster-state.ts';

/** `value`: the id of the store or volume, or the new epoch, where the command makes one; else 0. */
export type Outcome =
  | { readonly isAccepted: true; readonly value: number }
  | { readonly isAccepted: false; readonly code: ErrorCode; readonly reason: string };

export interface Applied {
  readonly state: ClusterState;
  readonly outcome: Outcome;
}

export function accepted(state: ClusterState, value: number): Applied {
  return { state, outcome: { isAccepted: true, value } };
}

/** The state stays as it was. */
export function refused(state: ClusterState, code: ErrorCode, reason: string): Applied {
  return { state, outcome: { isAccepted: false, code, reason } };
}
