// Who may connect to a store, and where the commands of a connection go: the hook between a DataListener and its owner.
import type { StoreLink } from './command.ts';
import type { ConnectionKind } from './frame-codec.ts';

/** What a peer said of itself. */
export interface PeerHandshake {
  /** KIND_CLIENT, KIND_REPLICATION, or KIND_LEGACY (version 1: no token, no client id, no epoch). */
  readonly kind: ConnectionKind;
  /** 0 = a replication connection. */
  readonly volumeId: number;
  readonly clientId: number;
  /** -1 when it was 2^53 or more. */
  readonly token: number;
  readonly depth: number;
  readonly peer: string;
}

export interface Admission {
  /** 0, or the errno that the peer gets: EPERM (token), EINVAL (volume not open here), EBUSY (not ready). The connection is then closed. */
  readonly result: number;
  /**
   * Where the commands of this connection go; null when refused. For a KIND_LEGACY connection this may be a link that fills in the
   * token and the epoch before it passes a command on.
   */
  readonly link: StoreLink | null;
  /** The connection is gone and none of its commands is in flight any more. */
  onGone?(): void;
}

export type Authorize = (handshake: PeerHandshake) => Admission;
