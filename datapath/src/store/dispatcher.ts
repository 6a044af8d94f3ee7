// The door of a store's volumes: every client request, from a connection or from a front in the same process, comes in through
// submit(), is checked, and becomes an operation at the shard's primary. A StoreLink.
// Checked here: the volume, its token, the operation and its range, the attach epoch, the shard's meta version and role; what
// depends on time or on the lock is checked again by the operation.
import { BLOCK_BYTES, SECTOR_BYTES } from '../base/sizes.ts';
import type { StoreCommand, StoreLink } from '../wire/command.ts';
import {
  MAX_IO_BYTES,
  MAX_TRIM_BYTES,
  OP_FLUSH,
  OP_HEARTBEAT,
  OP_QUERY_WRITTEN,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  SNAPSHOT_HEAD,
} from '../wire/messages.ts';
import {
  STATUS_INVALID_FIELD,
  STATUS_INVALID_OPCODE,
  STATUS_NOT_OPEN,
  STATUS_OK,
  STATUS_OUT_OF_RANGE,
  STATUS_PERMISSION_DENIED,
} from '../wire/status.ts';
import type { Counters } from './counters.ts';
import type { OperationPool } from './shard-operation.ts';
import type { Volumes } from './volumes.ts';

export class Dispatcher implements StoreLink {
  readonly #volumes: Volumes;
  readonly #operations: OperationPool;
  readonly #counters: Counters;
  isUp = true;

  constructor(volumes: Volumes, operations: OperationPool, counters: Counters) {
    this.#volumes = volumes;
    this.#operations = operations;
    this.#counters = counters;
  }

  submit(command: StoreCommand): void {
    const volume = this.#volumes.find(command.volumeId);
    if (volume === null) return this.#refuse(command, STATUS_NOT_OPEN, 0xffff);
    if (command.token !== volume.token) return this.#refuse(command, STATUS_PERMISSION_DENIED, 0);
    const invalid = this.#check(command);
    if (invalid !== STATUS_OK) return this.#refuse(command, invalid, 0);
    const shard = volume.shards[Math.floor(command.offset / volume.shardBytes)] ?? null;
    if (shard === null) return this.#refuse(command, STATUS_NOT_OPEN, 0xffff);
    const fenced = volume.epochRefusal(command.attachEpoch);
    if (fenced !== STATUS_OK) return this.#refuse(command, fenced, shard.role.newestMetaVersion);
    if ((command.metaVersion & 0xffff) !== shard.servedMeta)
      return this.#refuse(command, shard.refusal(), shard.role.newestMetaVersion);
    // Only now: who speaks of another configuration may know of a growth that this store has not heard of.
    if (command.offset + command.length > shard.endOffset) return this.#refuse(command, STATUS_OUT_OF_RANGE, 0);
    if (command.opcode === OP_FLUSH || command.opcode === OP_HEARTBEAT) {
      // Acknowledged is durable: there is nothing to flush.
      this.#counters.flushes += 1;
      return command.finish(STATUS_OK);
    }
    this.#operations.take().begin(shard, command);
  }

  /** Operation and alignment; in-process submitters have passed no session. */
  #check(command: StoreCommand): number {
    const { opcode, offset, length } = command;
    const counters = this.#counters;
    let unit = SECTOR_BYTES;
    let limit = MAX_IO_BYTES;
    switch (opcode) {
      case OP_READ:
        counters.reads += 1;
        counters.readBytes += length;
        break;
      case OP_WRITE:
        counters.writes += 1;
        counters.writeBytes += length;
        break;
      case OP_TRIM:
      case OP_WRITE_ZEROES:
        counters.trims += 1;
        limit = MAX_TRIM_BYTES;
        break;
      case OP_QUERY_WRITTEN:
        unit = BLOCK_BYTES;
        limit = MAX_TRIM_BYTES;
        break;
      case OP_FLUSH:
      case OP_HEARTBEAT:
        return offset >= 0 ? STATUS_OK : STATUS_OUT_OF_RANGE;
      default:
        return STATUS_INVALID_OPCODE;
    }
    if (command.snapshotSequence !== SNAPSHOT_HEAD) return STATUS_INVALID_FIELD;
    if (!(length > 0 && length <= limit) || length % unit !== 0 || offset % unit !== 0) return STATUS_INVALID_FIELD;
    return offset >= 0 ? STATUS_OK : STATUS_OUT_OF_RANGE;
  }

  #refuse(command: StoreCommand, status: number, metaVersion: number): void {
    command.replyMetaVersion = metaVersion & 0xffff;
    this.#counters.refuse(status);
    command.finish(status);
  }
}
