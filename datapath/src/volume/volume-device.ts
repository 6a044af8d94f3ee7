// A volume as a block device: the client of a cluster. Cuts requests into pieces, joins the answers, watches deadlines; the pieces travel
// through ShardRouter. Opened by pfcli, by NBD servers and by tests.
//
// A write that was answered is durable on every in-sync replica, so FLUSH has nothing to wait for, and FUA is no different from a
// plain write; both are passed on or answered all the same. Requests may be sent more than once after a failover; each is
// answered once. A user's memory is untouched from requestDone on, also after a deadline.
import { PfError, formatErrorChain } from '../base/errors.ts';
import { BLOCK_BYTES, SECTOR_BYTES } from '../base/sizes.ts';
import { ConductorClient } from '../api/conductor-client.ts';
import type { OpenedVolumeConfig } from '../api/model.ts';
import {
  checkRequest,
  FLAG_FUA,
  FLAG_NO_HOLE,
  FLUSH,
  READ,
  TRIM,
  WRITE,
  type BlockDevice,
  type BlockExtent,
  type BlockRequest,
} from '../block/device.ts';
import { ECANCELED, EIO, ENOMEM } from '../world/completion.ts';
import type { World } from '../world/world.ts';
import type { StoreLink } from '../wire/command.ts';
import {
  FLAG_FUA as WIRE_FUA,
  FLAG_NO_HOLE as WIRE_NO_HOLE,
  MAX_IO_BYTES,
  OP_QUERY_WRITTEN,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../wire/messages.ts';
import { Outstanding } from './outstanding.ts';
import { ShardRouter, type PieceOwner, type SharedOpening } from './shard-router.ts';
import { RequestPool, type SubRequest, type VolumeRequest, type VolumeRequestOwner } from './volume-request.ts';
import { VolumeStats } from './volume-stats.ts';
import { readWrittenMap } from './written-map.ts';

export interface OpenVolumeRequest {
  /** "host:port" each. */
  readonly conductors: readonly string[];
  readonly name: string;
  /** A writer raises the attach epoch and ends every writer before it; a reader leaves others alone. Default false. */
  readonly isReadOnly?: boolean;
  /** TCP connections to each store, 1..16. Default 1. */
  readonly connections?: number;
  /** A request without success for this long fails with EIO. Default 30000. */
  readonly deadlineMs?: number;
  /** Requests in flight on one connection, 1..255. Default 128. */
  readonly depth?: number;
  /** By which name the conductor remembers who has the volume attached for writing: a host, a node. */
  readonly client?: string;
  /** What ConductorClient.attachVolume answered: opens only while that lasts, ends an earlier opening with it, and leaves it in force when it closes. */
  readonly attachment?: number;
  /** Ends the waiting for the conductor, not the volume. */
  readonly signal?: AbortSignal;
  /** A store in this process and world: where it is the primary, requests take no network. */
  readonly localLink?: { readonly storeId: number; readonly link: StoreLink };
}

/** Requests that may be unanswered at once; one more fails with ENOMEM. */
export const MAXIMUM_OUTSTANDING = 65536;
/** For telling the conductor of a close. */
const CLOSE_DEADLINE_MS = 2_000;

/** Errors: NOT_FOUND, UNAVAILABLE (no conductor, or a shard without a primary), FENCED (the attachment is over), INVALID_ARGUMENT. */
export async function openVolume(world: World, request: OpenVolumeRequest): Promise<VolumeDevice> {
  const connections = request.connections ?? 1;
  if (!Number.isInteger(connections) || connections < 1 || connections > 16) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot open volume "${request.name}" with ${connections} connections: 1 to 16 are possible`,
    );
  }
  const client = new ConductorClient(world, request.conductors);
  const config = await client.openVolume(request.name, {
    isReadOnly: request.isReadOnly ?? false,
    ...(request.client === undefined ? {} : { client: request.client }),
    ...(request.attachment === undefined ? {} : { attachment: request.attachment }),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  });
  return new VolumeDevice(world, client, config, request);
}

function sharedOpening({ opening }: OpenedVolumeConfig, { client, attachment }: OpenVolumeRequest): SharedOpening | null {
  return opening === null || client === undefined || attachment === undefined ? null : { client, attachment, opening };
}

export class VolumeDevice implements BlockDevice, PieceOwner, VolumeRequestOwner {
  readonly name: string;
  readonly minimumIoBytes = SECTOR_BYTES;
  readonly preferredIoBytes = BLOCK_BYTES;
  readonly maximumIoBytes = MAX_IO_BYTES;
  readonly isReadOnly: boolean;
  readonly canTrim = true;
  readonly canZeroFast = true;
  readonly canMultiConnect = true;
  readonly stats = new VolumeStats();
  readonly shardBytes: number;
  readonly #world: World;
  readonly #client: ConductorClient;
  readonly #volumeId: number;
  readonly #router: ShardRouter;
  readonly #pool = new RequestPool();
  readonly #outstanding: Outstanding;
  readonly #connections: number;
  readonly #letsGo: boolean;
  #nextConnection = 0;
  #isClosing = false;
  #closed: Promise<void> | null = null;

  constructor(world: World, client: ConductorClient, config: OpenedVolumeConfig, request: OpenVolumeRequest) {
    this.#world = world;
    this.#client = client;
    this.#volumeId = config.volume_id;
    this.name = config.volume_name;
    this.shardBytes = config.shard_size;
    this.isReadOnly = request.isReadOnly ?? false;
    this.#connections = request.connections ?? 1;
    this.#letsGo = !this.isReadOnly && request.attachment === undefined;
    this.#outstanding = new Outstanding(world.clock, request.deadlineMs ?? 30_000, (expired) => this.#router.expire(expired));
    this.#router = new ShardRouter(world, config, this, {
      client,
      isReadOnly: this.isReadOnly,
      shared: sharedOpening(config, request),
      connections: this.#connections,
      depth: request.depth ?? 128,
      localLink: request.localLink ?? null,
      maximumParked: 2 * MAXIMUM_OUTSTANDING,
      stats: this.stats,
    });
  }

  /** Null, or why every request fails now: FENCED, NOT_FOUND. */
  get failure(): PfError | null {
    return this.#router.failure;
  }

  /** Grows with the volume, when this client learns of it: by refresh(), or with a layout that it asked for after a failover. Never shrinks. */
  get sizeBytes(): number {
    return this.#router.sizeBytes;
  }

  /** Asks the conductor whether the volume has grown; resolves with its size. Errors: UNAVAILABLE, FENCED, NOT_FOUND. */
  async refresh(): Promise<number> {
    await this.#router.refresh();
    return this.sizeBytes;
  }

  get attachEpoch(): number {
    return this.#router.attachEpoch;
  }

  /** Requests that are not answered yet. */
  get outstanding(): number {
    return this.#outstanding.count;
  }

  submit(request: BlockRequest): void {
    const refusal = this.#refusalOf(request);
    if (refusal !== 0) return request.finish(refusal);
    if (request.operation === FLUSH || request.length === 0) return request.finish(0);
    const volumeRequest = this.#pool.takeRequest();
    volumeRequest.owner = this;
    volumeRequest.request = request;
    volumeRequest.opcode = opcodeOf(request);
    volumeRequest.flags = wireFlagsOf(request);
    volumeRequest.memory = request.operation <= WRITE ? request.memory : 0;
    this.#start(volumeRequest, request.offset, request.length);
  }

  extents(offset: number, length: number): Promise<readonly BlockExtent[]> {
    if (offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      return Promise.reject(
        new PfError('OUT_OF_RANGE', `cannot map ${length} bytes at ${offset} of volume "${this.name}": it has ${this.sizeBytes}`),
      );
    }
    const query = (at: number, bytes: number, memory: number): Promise<number> => this.#query(at, bytes, memory);
    return readWrittenMap(this.#world.memory, { name: this.name, shardBytes: this.shardBytes }, offset, length, query);
  }

  /** Every request fails from now on with EIO, also those that are out: close() then waits for nothing. */
  fail(reason: PfError): void {
    this.#router.fail(reason);
  }

  close(): Promise<void> {
    this.#isClosing = true;
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** A piece is back from the router. */
  pieceHome(piece: SubRequest, errno: number): void {
    const request = piece.parent!;
    request.pieceBack(piece, errno);
    this.#pool.givePiece(piece);
    this.#sendPieces(request);
  }

  volumeRequestDone(volumeRequest: VolumeRequest): void {
    const request = volumeRequest.request!;
    const { errno } = volumeRequest;
    const tookMs = this.#outstanding.remove(volumeRequest);
    this.#pool.giveRequest(volumeRequest);
    const { stats } = this;
    stats.requests += 1;
    if (tookMs > stats.longestStallMs) stats.longestStallMs = tookMs;
    if (errno !== 0) stats.failures += 1;
    else if (request.operation === READ) stats.bytesRead += request.length;
    else if (request.operation === WRITE) stats.bytesWritten += request.length;
    request.finish(errno);
  }

  #refusalOf(request: BlockRequest): number {
    if (this.#isClosing) return ECANCELED;
    if (this.#router.failure !== null) return EIO;
    if (this.#outstanding.count >= MAXIMUM_OUTSTANDING) return ENOMEM;
    return checkRequest(this, request);
  }

  /** owner, opcode, flags and memory are set. */
  #start(request: VolumeRequest, offset: number, length: number): void {
    request.start = offset;
    request.cursor = offset;
    request.end = offset + length;
    request.errno = 0;
    request.isExpired = false;
    this.#outstanding.add(request);
    this.#sendPieces(request);
  }

  /** A piece may come home before send() returns: then the loop that runs goes on, and only it ends the request. */
  #sendPieces(request: VolumeRequest): void {
    if (request.isSending) return;
    request.isSending = true;
    while (request.wantsPiece) {
      const piece = this.#pool.takePiece(this.#router);
      request.cut(piece, this.shardBytes);
      piece.connection = this.#connections === 1 ? 0 : this.#nextConnection++ % this.#connections;
      this.#router.send(piece);
    }
    request.isSending = false;
    if (request.isOver) request.owner!.volumeRequestDone(request);
  }

  #query(offset: number, length: number, memory: number): Promise<number> {
    if (this.#isClosing) return Promise.resolve(ECANCELED);
    return new Promise((resolve) => {
      const request = this.#pool.takeRequest();
      request.owner = {
        volumeRequestDone: (done) => {
          const { errno } = done;
          this.#outstanding.remove(done);
          this.#pool.giveRequest(done);
          resolve(errno);
        },
      };
      request.opcode = OP_QUERY_WRITTEN;
      request.flags = 0;
      request.memory = memory;
      this.#start(request, offset, length);
    });
  }

  async #close(): Promise<void> {
    await this.#outstanding.whenEmpty();
    this.#outstanding.stop();
    const isLost = this.#router.failure !== null;
    await this.#router.close();
    if (this.#letsGo && !isLost) await this.#letGo();
  }

  /** The conductor forgets who had the volume attached. It is closed in any case: a conductor that cannot be told learns it from the next writer. */
  async #letGo(): Promise<void> {
    const options = { attachEpoch: this.attachEpoch, volumeId: this.#volumeId, deadlineMs: CLOSE_DEADLINE_MS };
    try {
      await this.#client.closeVolume(this.name, options);
    } catch (error) {
      this.#world.log.info('the conductor was not told that a volume is closed', {
        volume: this.name,
        error: formatErrorChain(error),
      });
    }
  }
}

function opcodeOf(request: BlockRequest): number {
  switch (request.operation) {
    case READ:
      return OP_READ;
    case WRITE:
      return OP_WRITE;
    case TRIM:
      return OP_TRIM;
    default:
      return OP_WRITE_ZEROES;
  }
}

function wireFlagsOf(request: BlockRequest): number {
  if (request.flags === 0 || request.operation === READ) return 0;
  return ((request.flags & FLAG_FUA) !== 0 ? WIRE_FUA : 0) | ((request.flags & FLAG_NO_HOLE) !== 0 ? WIRE_NO_HOLE : 0);
}
