// One client request at a shard's primary, from its checks to its answer: a pooled record, driven by the range lock, the local
// disk and the secondaries' answers. Nothing is allocated per request.
//
//   begin --lock--> run --(reads: promise valid?)--> disk | disk + legs --all answered--> acknowledged --memory let go--> pooled
//
// Invariants: the lock is held from before the disk is touched until every replica has answered; the payload is kept until the
// disk has settled and no leg is in flight (`busy` = 0), and a submitter that cannot leave its memory to us is answered only
// then; a record goes back to the pool once, acknowledged and with busy = 0.
import { BLOCK_BYTES } from '../base/sizes.ts';
import { ENOSPC } from '../world/completion.ts';
import { DISK_READ, DISK_TRIM, DISK_WRITE, DiskIo, type DiskIoOwner } from './disk/disk-io.ts';
import type { StoreCommand } from '../wire/command.ts';
import { FLAG_CRC, OP_QUERY_WRITTEN, OP_READ, OP_WRITE } from '../wire/messages.ts';
import { ServerCommand } from '../wire/server-command.ts';
import { STATUS_CORRUPT, STATUS_IO_ERROR, STATUS_NOT_READY, STATUS_NO_SPACE, STATUS_OK } from '../wire/status.ts';
import { RangeLock, type LockOwner } from './range-locks.ts';
import { LEG_DONE, LEG_RETRY, LEG_SENT, LEG_UNUSED, LEG_WAITING, ReplicaLeg } from './replica-leg.ts';
import type { ReplicaLink } from './replica-link.ts';
import type { Shard } from './shard.ts';

/** Damaged: no replica has the blocks. Disk failed: another has them, but they cannot be stored here. Interrupted: the configuration changed. */
export type HealOutcome = 'repaired' | 'damaged' | 'disk failed' | 'interrupted';

export class ShardOperation implements LockOwner, DiskIoOwner {
  readonly lock = new RangeLock(this);
  readonly io = new DiskIo(this);
  /** The payload's CRC32C, for the legs and (for one whole block) for the disk. */
  readonly crcs = new Uint32Array(1);
  hasCrc = false;
  readonly legs: readonly [ReplicaLeg, ReplicaLeg] = [new ReplicaLeg(this), new ReplicaLeg(this)];
  readonly #pool: OperationPool;
  shard: Shard | null = null;
  command: StoreCommand | null = null;
  previous: ShardOperation | null = null;
  next: ShardOperation | null = null;
  startedTick = 0;
  isTrim = false;
  isStopped = false;
  hasNoSpace = false;
  /** Answers that the acknowledgement waits for: the local disk's and the needed legs'. */
  pending = 0;
  /** Callbacks that will still come and use the record or the payload. */
  busy = 0;
  #isListed = false;
  #isLockHeld = false;
  #isAcknowledged = false;
  #isRollingBack = false;
  #hasHealed = false;
  /** A read that waits for the disk. */
  #isAtDisk = false;
  #status = STATUS_OK;
  /** Slot that was retained for the disk, 0 = none. */
  #retainedSlot = 0;
  #heldCommand: ServerCommand | null = null;

  constructor(pool: OperationPool) {
    this.#pool = pool;
  }

  /** The command has passed all checks that do not depend on time. */
  begin(shard: Shard, command: StoreCommand): void {
    this.shard = shard;
    this.command = command;
    this.startedTick = this.#pool.tick;
    const isRead = command.opcode === OP_READ || command.opcode === OP_QUERY_WRITTEN;
    if (shard.locks.acquire(this.lock, command.offset, command.length, !isRead)) {
      this.#isLockHeld = true;
      this.#run(isRead);
    }
  }

  /** Also runs a parked read again. What was true before the wait is checked again. */
  lockGranted(): void {
    this.#isLockHeld = true;
    const { shard, command } = this;
    if ((command!.metaVersion & 0xffff) !== shard!.servedMeta) return this.refuse(shard!.refusal());
    const fenced = shard!.volume.epochRefusal(command!.attachEpoch);
    if (fenced !== STATUS_OK) return this.refuse(fenced);
    this.#run(command!.opcode === OP_READ || command!.opcode === OP_QUERY_WRITTEN);
  }

  /** Ends a request that has not touched anything. */
  refuse(status: number): void {
    const { shard, command } = this;
    command!.replyMetaVersion = shard!.role.newestMetaVersion & 0xffff;
    this.#acknowledge(status);
  }

  ioDurable(io: DiskIo): void {
    if (io.operation === DISK_READ) return this.#readDone(io);
    const shard = this.shard!;
    shard.diskEnded(this.#pool.tick);
    if (io.result === 0) this.pending -= 1;
    else this.#localWriteFailed();
    this.advance();
    shard.diskWriteDone();
  }

  ioSettled(): void {
    this.busy -= 1;
    this.advance();
  }

  /** Something was answered: acknowledges and recycles when the time has come. */
  advance(): void {
    if (this.pending === 0 && !this.#isAcknowledged && !this.#isRollingBack) {
      if (!this.hasNoSpace || this.isStopped) {
        this.#acknowledge(this.#status);
        return;
      }
      this.#isRollingBack = true;
      this.busy += 1;
      this.shard!.host.rollBack(this);
    } else if (this.busy === 0 && this.#isAcknowledged) {
      this.#recycle();
    }
  }

  /** The configuration has changed and this store is still primary: who must answer is counted anew. */
  reconfigure(hasSkipped: boolean): void {
    if (this.#isRollingBack) return;
    for (const leg of this.legs) {
      if (!leg.isNeeded) continue;
      const link = this.shard!.linkTo(leg.link!.replica.store_id);
      if (link === null) {
        leg.isNeeded = false;
        if (leg.state !== LEG_DONE) this.pending -= 1;
        continue;
      }
      leg.link = link;
      if (leg.state === LEG_WAITING || leg.state === LEG_RETRY) {
        leg.send(link);
      } else if (leg.state === LEG_SENT) {
        leg.mustResend ||= hasSkipped;
      } else if (hasSkipped) {
        this.pending += 1;
        leg.send(link);
      }
    }
    this.startedTick = this.#pool.tick;
    this.advance();
  }

  retryLegs(): void {
    for (const leg of this.legs) if (leg.state === LEG_RETRY) leg.send(leg.link!);
    this.advance();
  }

  /** Time is up: secondaries that have not answered, or not the held configuration's answer, are reported. */
  expire(status: number): 'reported' | 'waiting' | 'outdated' {
    let outcome: 'reported' | 'waiting' = 'reported';
    for (const leg of this.legs) {
      if (!leg.isNeeded || leg.state === LEG_DONE) continue;
      const link = leg.link!;
      if (leg.state === LEG_WAITING && !link.isFailed) return 'outdated';
      outcome = 'waiting';
      if (leg.state === LEG_WAITING) continue;
      if (leg.state === LEG_RETRY) leg.state = LEG_WAITING;
      link.fail(status);
      link.peer.reset();
    }
    return outcome;
  }

  /** The shard is not served any more: the client is told now, the lock goes when nothing is in flight any more. */
  stop(): void {
    if (this.#isAcknowledged || (this.#isAtDisk && !this.#canLeaveDisk())) return;
    this.isStopped = true;
    this.command!.replyMetaVersion = this.shard!.role.newestMetaVersion & 0xffff;
    this.#acknowledge(STATUS_NOT_READY);
  }

  /** The damaged blocks have been repaired, or could not be. */
  healed(outcome: HealOutcome): void {
    this.busy -= 1;
    if (this.io.operation === DISK_READ) {
      this.pending = 0;
      if (outcome === 'repaired') this.#readAgain();
      else if (outcome === 'damaged') this.#acknowledge(this.#status);
      else if (outcome === 'disk failed') this.#giveUpDisk();
      else this.refuse(STATUS_NOT_READY);
      return;
    }
    if (outcome === 'repaired' && !this.isStopped) {
      this.busy += 1;
      this.shard!.diskWrites += 1;
      this.shard!.diskStarted(this.#pool.tick);
      this.shard!.disk.submit(this.io);
    } else {
      this.#localWriteFailed();
      this.advance();
    }
  }

  /** What the write had newly allocated is gone from all replicas. */
  rolledBack(): void {
    this.#isRollingBack = false;
    this.hasNoSpace = false;
    this.busy -= 1;
    if (this.#isAcknowledged) this.advance();
    else this.#acknowledge(STATUS_NO_SPACE);
  }

  #run(isRead: boolean): void {
    const { shard, command, io } = this;
    io.volumeId = command!.volumeId;
    io.offset = command!.offset;
    io.length = command!.length;
    io.memory = command!.memory;
    if (isRead) return this.#runRead(shard!, command!);
    this.isTrim = command!.opcode !== OP_WRITE;
    if (!this.isTrim && !shard!.disk.canReserve(io.volumeId, io.offset, io.length)) return this.#acknowledge(STATUS_NO_SPACE);
    this.#runWrite(shard!, command!);
  }

  #runRead(shard: Shard, command: StoreCommand): void {
    if (shard.role.grantedUntil !== Infinity) {
      shard.host.wantGrants(shard);
      if (shard.host.world.clock.now() >= shard.role.grantedUntil) return shard.park(this);
    }
    if (command.opcode === OP_QUERY_WRITTEN) {
      shard.disk.writtenBitmap(command.volumeId, command.offset, command.length, command.memory);
      return this.#acknowledge(STATUS_OK);
    }
    this.io.operation = DISK_READ;
    this.io.wantsCrc = command instanceof ServerCommand;
    this.pending = 1;
    this.busy = 1;
    if (shard.links.length > 0) {
      this.#isAtDisk = true;
      this.#list(shard);
    }
    shard.diskStarted(this.#pool.tick);
    shard.disk.submit(this.io);
  }

  /** As after a wait: everything may have changed while the blocks were repaired. */
  #readAgain(): void {
    const { shard, command } = this;
    this.startedTick = this.#pool.tick;
    if (shard!.locks.acquire(this.lock, command!.offset, command!.length, false)) this.lockGranted();
  }

  /** Whether a read can be answered although the disk will still write into its memory: that is then kept until it has. */
  #canLeaveDisk(): boolean {
    const { command } = this;
    if (!(command instanceof ServerCommand) && !command!.payloadIsSlot) return false;
    this.#retainedSlot = this.shard!.host.world.memory.retainSlot(command!.memory);
    return true;
  }

  #runWrite(shard: Shard, command: StoreCommand): void {
    const { io, isTrim } = this;
    const { links } = shard;
    io.operation = isTrim ? DISK_TRIM : DISK_WRITE;
    io.generation = shard.role.metaVersion;
    io.sequence = shard.window.begin();
    this.hasCrc = false;
    io.payloadCrcs = null;
    if (!isTrim) this.#keepPayload(shard, command, links.length);
    else shard.unstampedUpTo = io.sequence;
    this.pending = 1 + links.length;
    this.busy = 1;
    shard.diskWrites += 1;
    shard.diskStarted(this.#pool.tick);
    if (links.length > 0) this.#sendToAll(shard, links);
    shard.disk.submit(io);
  }

  /** Makes the memory ours until the disk has let go, where the submitter allows it; finds or computes the checksum. */
  #keepPayload(shard: Shard, command: StoreCommand, replicas: number): void {
    const { io } = this;
    const { memory } = shard.host.world;
    if (command instanceof ServerCommand) {
      command.holdPayload();
      this.#heldCommand = command;
    } else if (command.payloadIsSlot) {
      this.#retainedSlot = memory.retainSlot(command.memory);
    }
    this.hasCrc = (command.flags & FLAG_CRC) !== 0 || replicas > 0;
    if (!this.hasCrc) return;
    this.crcs[0] = (command.flags & FLAG_CRC) !== 0 ? command.payloadCrc : memory.crc32c(io.memory, io.length, 0);
    if (io.length === BLOCK_BYTES && io.offset % BLOCK_BYTES === 0) io.payloadCrcs = this.crcs;
  }

  #list(shard: Shard): void {
    this.#isListed = true;
    shard.addOperation(this);
  }

  #sendToAll(shard: Shard, links: readonly ReplicaLink[]): void {
    this.#list(shard);
    for (let at = 0; at < links.length; at += 1) {
      const leg = this.legs[at as 0 | 1];
      leg.isNeeded = true;
      leg.link = links[at]!;
    }
    for (let at = 0; at < links.length; at += 1) this.legs[at as 0 | 1].send(links[at]!);
  }

  #readDone(io: DiskIo): void {
    this.shard!.diskEnded(this.#pool.tick);
    this.#isAtDisk = false;
    this.pending = 0;
    if (this.isStopped) return;
    if (io.result === 0) {
      const command = this.command!;
      command.flags &= ~FLAG_CRC;
      if (io.wantsCrc) {
        command.flags |= FLAG_CRC;
        command.payloadCrc = io.crc;
      }
      this.#status = STATUS_OK;
    } else {
      this.#status = io.isCorrupt ? STATUS_CORRUPT : STATUS_IO_ERROR;
    }
    if (this.#status === STATUS_OK) return this.#acknowledge(STATUS_OK);
    if (this.#hasHealed) return this.#giveUpDisk();
    this.#hasHealed = true;
    this.#unlist();
    this.pending = 1;
    this.busy += 1;
    this.shard!.host.counters.corruptReads += 1;
    this.#releaseLock();
    this.shard!.host.heal(this, false);
  }

  /** This disk cannot serve the read. Where another replica can, it shall: the client asks again. */
  #giveUpDisk(): void {
    const shard = this.shard!;
    if (!shard.hasOtherReplica) return this.#acknowledge(this.#status);
    // This request ends here: stop() must not end it as well.
    this.#unlist();
    shard.host.localReplicaFailed(shard, this.#status);
    this.refuse(STATUS_NOT_READY);
  }

  #localWriteFailed(): void {
    const { io } = this;
    const shard = this.shard!;
    if (io.isCorrupt && !this.#hasHealed && !this.isStopped) {
      this.#hasHealed = true;
      this.busy += 1;
      return shard.host.heal(this, true);
    }
    const status = io.result === ENOSPC ? STATUS_NO_SPACE : io.isCorrupt ? STATUS_CORRUPT : STATUS_IO_ERROR;
    if (this.isStopped) return;
    if (shard.hasOtherReplica) return shard.host.localReplicaFailed(shard, status);
    // Nobody else can serve: the client is told, and a replica that may have got the write starts over.
    for (const link of shard.links) link.fail(status);
    this.#status = status;
    this.pending -= 1;
  }

  #acknowledge(status: number): void {
    this.#isAcknowledged = true;
    this.#status = status;
    const shard = this.shard!;
    this.#unlist();
    if (!this.isStopped && this.pending === 0 && this.io.sequence > 0) shard.window.done(this.io.sequence);
    if (status !== STATUS_OK) shard.host.counters.refuse(status);
    const canAnswerNow =
      this.busy === 0 || this.isTrim || this.#heldCommand !== null || this.#retainedSlot !== 0 || this.io.operation === DISK_READ;
    if (canAnswerNow) this.#answer();
    if (!this.isStopped || this.busy === 0) this.#releaseLock();
    if (this.busy === 0) this.#recycle();
  }

  #unlist(): void {
    if (!this.#isListed) return;
    this.#isListed = false;
    this.shard!.removeOperation(this);
  }

  #answer(): void {
    const command = this.command!;
    this.command = null;
    command.finish(this.#status);
  }

  #releaseLock(): void {
    if (!this.#isLockHeld) return;
    this.#isLockHeld = false;
    this.shard!.locks.release(this.lock);
  }

  #recycle(): void {
    if (this.command !== null) this.#answer();
    this.#releaseLock();
    if (this.#heldCommand !== null) {
      this.#heldCommand.dropPayload();
      this.#heldCommand = null;
    }
    if (this.#retainedSlot !== 0) {
      this.shard!.host.world.memory.releaseSlot(this.#retainedSlot);
      this.#retainedSlot = 0;
    }
    for (const leg of this.legs) {
      leg.isNeeded = false;
      leg.link = null;
      leg.state = LEG_UNUSED;
      leg.mustResend = false;
    }
    this.shard = null;
    this.io.sequence = 0;
    this.pending = 0;
    this.isTrim = false;
    this.isStopped = false;
    this.hasNoSpace = false;
    this.#isAcknowledged = false;
    this.#hasHealed = false;
    this.#isAtDisk = false;
    this.#status = STATUS_OK;
    this.#pool.give(this);
  }
}

/** Records grow to the largest number ever in flight and stay. */
export class OperationPool {
  readonly #free: ShardOperation[] = [];
  #inUse = 0;
  /** Coarse time, advanced by the replicator every 100 ms. */
  tick = 0;

  get inUse(): number {
    return this.#inUse;
  }

  take(): ShardOperation {
    this.#inUse += 1;
    return this.#free.pop() ?? new ShardOperation(this);
  }

  give(operation: ShardOperation): void {
    this.#inUse -= 1;
    this.#free.push(operation);
  }
}
