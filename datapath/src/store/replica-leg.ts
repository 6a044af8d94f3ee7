// What one write has to do with one secondary: sent, answered, to be sent again, or waiting for the conductor's word.
// Two of them belong to every pooled operation; the operation decides, the leg keeps the record that travels.
import { FLAG_CRC, OP_REPLICATE_TRIM, OP_REPLICATE_WRITE } from '../wire/messages.ts';
import { StoreCommand, type CommandOwner } from '../wire/command.ts';
import { STATUS_NO_SPACE, STATUS_NOT_OPEN, STATUS_OK, mustReopen } from '../wire/status.ts';
import type { ReplicaLink } from './replica-link.ts';
import type { ShardOperation } from './shard-operation.ts';

export const LEG_UNUSED = 0;
export const LEG_SENT = 1;
export const LEG_DONE = 2;
/** The secondary is behind with its configuration. */
export const LEG_RETRY = 3;
/** Nothing can be sent before a new configuration arrives. */
export const LEG_WAITING = 4;

export class ReplicaLeg implements CommandOwner {
  readonly operation: ShardOperation;
  readonly command = new StoreCommand(this);
  link: ReplicaLink | null = null;
  state = LEG_UNUSED;
  /** Counts towards the acknowledgement; false once its replica has left the configuration. */
  isNeeded = false;
  /** What is in flight was sent under a configuration that others may have overwritten: send again whatever it answers. */
  mustResend = false;

  constructor(operation: ShardOperation) {
    this.operation = operation;
  }

  send(link: ReplicaLink): void {
    this.link = link;
    if (link.isFailed) {
      this.state = LEG_WAITING;
      return;
    }
    const { command, operation } = this;
    const { shard, io } = operation;
    command.opcode = operation.isTrim ? OP_REPLICATE_TRIM : OP_REPLICATE_WRITE;
    command.flags = operation.hasCrc ? FLAG_CRC : 0;
    command.payloadCrc = operation.crcs[0]!;
    command.volumeId = io.volumeId;
    command.offset = io.offset;
    command.length = io.length;
    command.memory = io.memory;
    command.metaVersion = link.metaVersion;
    command.attachEpoch = shard!.attachEpoch;
    command.commandSequence = io.generation;
    command.sequence = io.sequence;
    command.commitMark = shard!.window.mark;
    this.mustResend = false;
    this.state = LEG_SENT;
    operation.busy += 1;
    link.peer.submit(command);
  }

  commandDone(): void {
    const { operation } = this;
    operation.busy -= 1;
    this.#answered(this.command.status);
    operation.advance();
  }

  #answered(status: number): void {
    const { operation, link } = this;
    if (!this.isNeeded || link === null) {
      this.state = LEG_DONE;
    } else if (operation.isStopped) {
      this.state = LEG_WAITING;
    } else if (this.mustResend) {
      this.send(link);
    } else if (status === STATUS_OK) {
      this.#arrived();
    } else if (status === STATUS_NO_SPACE && !link.isRecovering) {
      operation.hasNoSpace = true;
      this.#arrived();
    } else if (mustReopen(status)) {
      this.#refused(status, link);
    } else {
      this.state = LEG_WAITING;
      link.fail(status);
    }
  }

  #arrived(): void {
    this.state = LEG_DONE;
    this.operation.pending -= 1;
  }

  /** The secondary holds another configuration than the one this was sent under. */
  #refused(status: number, link: ReplicaLink): void {
    const { command } = this;
    if (command.metaVersion !== link.metaVersion) return this.send(link);
    const ahead = (command.replyMetaVersion - link.metaVersion) & 0xffff;
    const isAhead = status !== STATUS_NOT_OPEN && ahead !== 0 && ahead < 0x8000;
    this.state = isAhead ? LEG_WAITING : LEG_RETRY;
    if (!isAhead) this.operation.shard!.retrySoon();
  }
}
