// A primary's view of one secondary of one shard, for as long as one configuration is held. Legs are what one write sends to it.
// Once failed it stays failed: only a new configuration (and with it a new link) brings the replica back.
import type { ReplicaConfig } from '../api/model.ts';
import { StoreCommand, type CommandOwner } from '../wire/command.ts';
import { OP_HEARTBEAT } from '../wire/messages.ts';
import { STATUS_OK } from '../wire/status.ts';
import type { Peer } from './peers.ts';
import type { Shard } from './shard.ts';

export class ReplicaLink implements CommandOwner {
  readonly shard: Shard;
  /** Of the configuration that this link belongs to: nothing is sent under another one. */
  readonly metaVersion: number;
  readonly replica: ReplicaConfig;
  readonly peer: Peer;
  isFailed = false;
  /** The heartbeat of this shard to that secondary: at most one in flight. */
  readonly #heartbeat = new StoreCommand(this);
  #isBeating = false;
  #beatSentAt = 0;

  constructor(shard: Shard, metaVersion: number, replica: ReplicaConfig, peer: Peer) {
    this.shard = shard;
    this.metaVersion = metaVersion;
    this.replica = replica;
    this.peer = peer;
  }

  get isRecovering(): boolean {
    return this.replica.status === 'RECOVERING';
  }

  /** The secondary is to be taken out; `status` tells the conductor why. */
  fail(status: number): void {
    if (this.isFailed) return;
    this.isFailed = true;
    this.shard.host.replicaFailed(this, status);
  }

  /** Asks for the promise that reads rely on. */
  beat(now: number): void {
    if (this.#isBeating || this.isFailed) return;
    const command = this.#heartbeat;
    const { shard } = this;
    command.opcode = OP_HEARTBEAT;
    command.volumeId = shard.volumeId;
    command.offset = shard.startOffset;
    command.length = 0;
    command.metaVersion = this.metaVersion;
    command.attachEpoch = shard.attachEpoch;
    command.sequence = shard.window.next - 1;
    command.commitMark = shard.window.mark;
    this.#isBeating = true;
    this.#beatSentAt = now;
    this.peer.submit(command);
  }

  commandDone(command: StoreCommand): void {
    this.#isBeating = false;
    if (command.status === STATUS_OK) this.shard.grantArrived(this, this.#beatSentAt);
    else if (this.shard.parkedReads > 0) this.shard.retrySoon();
  }
}
