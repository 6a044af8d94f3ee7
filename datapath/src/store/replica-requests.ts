// What a primary asks of its secondaries, on replication connections: stores writes and trims, gives promises, reads its own copy
// out. A StoreLink: one for all replication connections of a store.
// Invariants: a request is served only under the meta version that is held and while no newer configuration waits; while this
// replica is RECOVERING a plain write leaves the extents' stamps alone; an answer means durable.
import { BLOCK_BYTES } from '../base/sizes.ts';
import { ENOSPC } from '../world/completion.ts';
import type { World } from '../world/world.ts';
import type { StoreCommand, StoreLink } from '../wire/command.ts';
import {
  FLAG_CRC,
  FLAG_RECOVERY,
  OP_HEARTBEAT,
  OP_READ_REPLICA,
  OP_REPLICATE_TRIM,
  OP_REPLICATE_WRITE,
} from '../wire/messages.ts';
import { ServerCommand } from '../wire/server-command.ts';
import {
  STATUS_CORRUPT,
  STATUS_INVALID_OPCODE,
  STATUS_IO_ERROR,
  STATUS_NOT_OPEN,
  STATUS_NO_SPACE,
  STATUS_OK,
  STATUS_OUT_OF_RANGE,
  STATUS_STALE,
} from '../wire/status.ts';
import type { Counters } from './counters.ts';
import { DISK_READ, DISK_TRIM, DISK_WRITE, DiskIo, type DiskIoOwner } from './disk/disk-io.ts';
import type { Shard } from './shard.ts';
import type { Volumes } from './volumes.ts';

export class ReplicaRequests implements StoreLink {
  readonly isUp = true;
  readonly #world: World;
  readonly #volumes: Volumes;
  readonly #counters: Counters;
  readonly #free: ReplicaRequest[] = [];
  inUse = 0;

  constructor(world: World, volumes: Volumes, counters: Counters) {
    this.#world = world;
    this.#volumes = volumes;
    this.#counters = counters;
  }

  submit(command: StoreCommand): void {
    const volume = this.#volumes.find(command.volumeId);
    const shard = volume === null ? null : volume.shardAt(command.offset);
    if (shard === null) {
      command.replyMetaVersion = 0xffff;
      return command.finish(STATUS_NOT_OPEN);
    }
    const { role } = shard;
    const isHeld = (role.metaVersion & 0xffff) === (command.metaVersion & 0xffff) && !role.isClosing;
    if (!isHeld || role.role !== 'SECONDARY' || role.self!.status === 'OUT_OF_SYNC') {
      command.replyMetaVersion = role.newestMetaVersion & 0xffff;
      return command.finish(STATUS_STALE);
    }
    if (command.offset + command.length > shard.endOffset) return command.finish(STATUS_OUT_OF_RANGE);
    if (command.opcode === OP_HEARTBEAT) return this.#promise(shard, command);
    if (command.opcode !== OP_REPLICATE_WRITE && command.opcode !== OP_REPLICATE_TRIM && command.opcode !== OP_READ_REPLICA) {
      return command.finish(STATUS_INVALID_OPCODE);
    }
    this.inUse += 1;
    (this.#free.pop() ?? new ReplicaRequest(this)).begin(shard, command);
  }

  count(isTrim: boolean): void {
    if (isTrim) this.#counters.replicaTrims += 1;
    else this.#counters.replicaWrites += 1;
  }

  give(request: ReplicaRequest): void {
    this.inUse -= 1;
    this.#free.push(request);
  }

  #promise(shard: Shard, command: StoreCommand): void {
    if (!shard.role.promise(command.metaVersion & 0xffff, this.#world.clock.now())) {
      command.replyMetaVersion = shard.role.newestMetaVersion & 0xffff;
      return command.finish(STATUS_STALE);
    }
    shard.hear(command.sequence, command.commitMark);
    this.#counters.grantsGiven += 1;
    command.finish(STATUS_OK);
  }
}

class ReplicaRequest implements DiskIoOwner {
  readonly #requests: ReplicaRequests;
  readonly #io = new DiskIo(this);
  readonly #crcs = new Uint32Array(1);
  #shard: Shard | null = null;
  #command: StoreCommand | null = null;
  #held: ServerCommand | null = null;

  constructor(requests: ReplicaRequests) {
    this.#requests = requests;
  }

  begin(shard: Shard, command: StoreCommand): void {
    const io = this.#io;
    this.#shard = shard;
    this.#command = command;
    io.volumeId = command.volumeId;
    io.offset = command.offset;
    io.length = command.length;
    io.memory = command.memory;
    if (command.opcode === OP_READ_REPLICA) {
      io.operation = DISK_READ;
      io.wantsCrc = true;
    } else {
      this.#prepareChange(shard, command, io);
    }
    shard.disk.submit(io);
  }

  ioDurable(io: DiskIo): void {
    const command = this.#command!;
    const shard = this.#shard!;
    this.#command = null;
    if (io.operation === DISK_READ) {
      command.flags |= FLAG_CRC;
      command.payloadCrc = io.crc;
    } else {
      shard.diskWriteDone();
    }
    if (io.result === 0) command.finish(STATUS_OK);
    else command.finish(io.isCorrupt ? STATUS_CORRUPT : io.result === ENOSPC ? STATUS_NO_SPACE : STATUS_IO_ERROR);
  }

  ioSettled(): void {
    this.#shard = null;
    this.#held?.dropPayload();
    this.#held = null;
    this.#requests.give(this);
  }

  #prepareChange(shard: Shard, command: StoreCommand, io: DiskIo): void {
    const isTrim = command.opcode === OP_REPLICATE_TRIM;
    const isRecovery = (command.flags & FLAG_RECOVERY) !== 0;
    io.operation = isTrim ? DISK_TRIM : DISK_WRITE;
    io.generation = command.commandSequence;
    io.sequence = command.sequence;
    io.setsStampExactly = isRecovery;
    io.keepStamp = shard.role.isRecovering && !isRecovery;
    io.payloadCrcs = null;
    if ((command.flags & FLAG_CRC) !== 0 && io.length === BLOCK_BYTES && io.offset % BLOCK_BYTES === 0) {
      this.#crcs[0] = command.payloadCrc;
      io.payloadCrcs = this.#crcs;
    }
    if (io.keepStamp || isTrim) shard.unstampedUpTo = Math.max(shard.unstampedUpTo, command.sequence);
    shard.hear(command.sequence, command.commitMark);
    shard.diskWrites += 1;
    if (!isTrim && command instanceof ServerCommand) {
      command.holdPayload();
      this.#held = command;
    }
    this.#requests.count(isTrim);
  }
}
