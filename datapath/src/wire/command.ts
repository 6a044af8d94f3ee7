// One request on its way to a store: a preallocated record, the same on both ends of a connection and where front and
// store meet in one process. The volume client and the replicator fill it and submit it to a StoreLink; a store's
// dispatcher is itself a StoreLink. The link calls command.owner.commandDone(command) exactly once.
import { OP_READ, SNAPSHOT_HEAD } from './messages.ts';

export interface CommandOwner {
  commandDone(command: StoreCommand): void;
}

export class StoreCommand {
  opcode: number = OP_READ;
  flags = 0;
  volumeId = 0;
  /** Bytes from the start of the volume. */
  offset = 0;
  length = 0;
  /** Arena slot of the payload (written or to be read into), owned by the submitter until commandDone. It has SLOT_HEADROOM_BYTES before it. */
  memory = 0;
  /**
   * Writes: true says that `memory` lies in an arena slot which its owner gives back with releaseSlot() and does not write to after
   * commandDone. A store may then retain the slot and answer while its disk still reads the payload; false makes it answer later.
   */
  payloadIsSlot = false;
  /** CRC32C of the payload: given with FLAG_CRC on writes; set by the link on completed reads (flags & FLAG_CRC). */
  payloadCrc = 0;
  metaVersion = 0;
  attachEpoch = 0;
  /** Client requests. Secret of the volume. */
  token = 0;
  /** Replication: the sequence of the write's stamp and the shard's commit mark. */
  sequence = 0;
  commitMark = 0;
  snapshotSequence = SNAPSHOT_HEAD;
  /** Client requests: how often this request has been sent before. Replication: the generation of the write's stamp. */
  commandSequence = 0;

  /** Set before commandDone: a wire status, and with REOPEN the store's meta version. */
  status = 0;
  replyMetaVersion = 0;

  owner: CommandOwner;
  /** For the owner's use. */
  tag: unknown = null;

  constructor(owner: CommandOwner) {
    this.owner = owner;
  }

  finish(status: number): void {
    this.status = status;
    this.owner.commandDone(this);
  }
}

/** Somewhere commands go: a TCP session to a store, or a store in this process. */
export interface StoreLink {
  /** Never throws; a link that is down finishes the command with STATUS_CONNECTION_LOST. */
  submit(command: StoreCommand): void;
  readonly isUp: boolean;
}
