// One connection to a store, as the volume client and the replicator use it: handshake, pipelined requests, replies in any order.
//
//   connect() --handshake granted--> up --close(), broken, protocol error, silence--> down --everything given back--> closed
//
// Invariants: every submitted command is finished exactly once, and not before the stream has let go of its memory; a session
// that is down never comes up again (its owner connects a new one). A command's memory is only read (writes) or filled (reads);
// the same payload may be on its way over several sessions at once.
// Protocol version 2 is asked for; a store that grants less is spoken to in version 1 frames (no checksums, no heartbeat).
import { PfError } from '../base/errors.ts';
import type { Timer } from '../world/clock.ts';
import type { Address, Stream, StreamHandler } from '../world/network.ts';
import { formatAddress } from '../world/network.ts';
import type { World } from '../world/world.ts';
import { StoreCommand, type StoreLink } from './command.ts';
import { CommandQueue } from './command-queue.ts';
import { CommandSlots, type SlotsOwner } from './command-slots.ts';
import {
  decodeReply,
  encodeHead,
  isAllowed,
  kindOf,
  payloadBytesFromStore,
  payloadBytesToStore,
  KIND_CLIENT,
  KIND_LEGACY,
  type ConnectionKind,
  type ReplyFrame,
} from './frame-codec.ts';
import { shakeHands, type HandshakeWish } from './client-handshake.ts';
import {
  FLAG_CRC,
  HEAD_BYTES,
  MAX_IO_BYTES,
  MAX_IO_V1_BYTES,
  OP_HEARTBEAT,
  PROTOCOL_V2,
  REPLY_BYTES,
  SESSION_COMMAND_ID,
} from './messages.ts';
import {
  STATUS_CONNECTION_LOST,
  STATUS_DATA_XFER_ERROR,
  STATUS_INVALID_FIELD,
  STATUS_INVALID_OPCODE,
  STATUS_NOT_READY,
  STATUS_OK,
} from './status.ts';

export interface ClientSessionOptions {
  /** 0 opens a replication connection. */
  readonly volumeId: number;
  /** Random per client and connection index; a new connection supersedes the old one of the same id. */
  readonly clientId: number;
  /** The volume's token, or the cluster's for a replication connection. */
  readonly token: number;
  /** Requests in flight wanted, 1..255; the store may grant fewer. */
  readonly depth: number;
  readonly protocolVersion?: number;
  /** For connecting and shaking hands together. Default 1000. */
  readonly connectTimeoutMs?: number;
  /** Client connections of version 2: heartbeat while requests wait. Default 250. */
  readonly heartbeatPeriodMs?: number;
  /** While requests wait: no byte heard and none sent for this long breaks the session. 0 = never (and always at version 1). Default 1000. */
  readonly silenceLimitMs?: number;
  /** Commands that may wait for a free command id; more are finished with STATUS_NOT_READY. Default 65536. */
  readonly maximumQueued?: number;
  /** Called once when the session has gone down, before its commands are finished with STATUS_CONNECTION_LOST. */
  readonly onDown?: (error: PfError) => void;
}

/** Payloads up to this are copied behind their head: one segment, and the command does not wait for the send. */
export const COPIED_PAYLOAD_BYTES = 16 * 1024;
/** What is missing of a payload is received in place from this size on. */
export const DIRECT_RECEIVE_BYTES = 8 * 1024;
/** A read's payload is received in place in pieces of this size, so that a slow network is not taken for a silent store. */
const DIRECT_PIECE_BYTES = 128 * 1024;
const DEFAULT_HEARTBEAT_MS = 250;

export class ClientSession implements StoreLink, StreamHandler, SlotsOwner {
  readonly peer: string;
  readonly protocolVersion: number;
  readonly kind: ConnectionKind;
  /** Granted requests in flight. */
  readonly depth: number;
  readonly maximumIoBytes: number;
  readonly #world: World;
  readonly #stream: Stream;
  readonly #options: ClientSessionOptions;
  readonly #slots: CommandSlots;
  readonly #queue: CommandQueue;
  readonly #heartbeat: StoreCommand;
  readonly #reply: ReplyFrame = { status: 0, metaVersion: 0, commandId: 0, flags: 0, commandSequence: 0, payloadCrc: 0 };
  readonly #partial = new DataView(new ArrayBuffer(REPLY_BYTES));
  #partialBytes = 0;
  /** The read whose payload is arriving; left = 0: none. */
  #payloadId = 0;
  #payloadAt = 0;
  #payloadLeft = 0;
  #directBytes = 0;
  #isPumping = false;
  #isUp = true;
  #isClosed = false;
  #failure: PfError | null = null;
  #ticker: Timer | null = null;
  #tickMs = 0;
  #aliveMs = 0;
  #queuedTotal = 0;
  #sentTotal = 0;
  #closeWaiters: (() => void)[] = [];

  /** Errors: CONNECTION_LOST, TIMEOUT, PROTOCOL_ERROR, and the store's refusal: PERMISSION_DENIED, NOT_READY, INVALID_STATE. */
  static async connect(world: World, address: Address, options: ClientSessionOptions): Promise<ClientSession> {
    const wish: HandshakeWish = {
      depth: options.depth,
      volumeId: options.volumeId,
      clientId: options.clientId,
      token: options.token,
      protocolVersion: options.protocolVersion ?? PROTOCOL_V2,
    };
    const connection = await shakeHands(world, address, wish, options.connectTimeoutMs ?? 1000);
    const session = new ClientSession(
      world,
      connection.stream,
      formatAddress(address),
      connection.version,
      connection.depth,
      options,
    );
    connection.handOver(session);
    return session;
  }

  private constructor(world: World, stream: Stream, peer: string, version: number, depth: number, options: ClientSessionOptions) {
    this.#world = world;
    this.#stream = stream;
    this.peer = peer;
    this.protocolVersion = version;
    this.depth = depth;
    this.kind = kindOf(version, options.volumeId);
    this.maximumIoBytes = this.kind === KIND_LEGACY ? MAX_IO_V1_BYTES : MAX_IO_BYTES;
    this.#options = options;
    this.#slots = new CommandSlots(depth, this);
    this.#queue = new CommandQueue(options.maximumQueued ?? 65536);
    this.#heartbeat = new StoreCommand({ commandDone: () => {} });
    this.#heartbeat.opcode = OP_HEARTBEAT;
    this.#heartbeat.volumeId = options.volumeId;
    this.#heartbeat.token = options.token;
    this.#aliveMs = world.clock.now();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Commands submitted and not finished. */
  get inFlight(): number {
    return this.#slots.inUse + this.#queue.count;
  }

  /** Monotonic milliseconds at which the store last gave a sign of life. */
  get lastHeardMs(): number {
    return this.#aliveMs;
  }

  submit(command: StoreCommand): void {
    if (!this.#isUp) return command.finish(STATUS_CONNECTION_LOST);
    if (!isAllowed(command.opcode, this.kind)) return command.finish(STATUS_INVALID_OPCODE);
    if (this.kind === KIND_LEGACY && command.length > MAX_IO_V1_BYTES) return command.finish(STATUS_INVALID_FIELD);
    if (this.#queue.count > 0 || !this.#slots.hasFree || this.#stream.isCongested) {
      if (!this.#queue.push(command)) command.finish(STATUS_NOT_READY);
      return;
    }
    this.#send(command);
  }

  /** Breaks the connection. What is in flight is finished with STATUS_CONNECTION_LOST; resolves when all memory has been given back. */
  close(): Promise<void> {
    this.#goDown(new PfError('CANCELLED', `session with store ${this.peer} was closed here`));
    if (this.#isClosed && this.#slots.inUse === 0) return Promise.resolve();
    return new Promise((resolve) => this.#closeWaiters.push(resolve));
  }

  onBytes(offset: number, length: number): void {
    this.#aliveMs = this.#world.clock.now();
    const memory = this.#world.memory;
    const end = offset + length;
    let at = offset;
    while (at < end && this.#isUp) {
      if (this.#payloadLeft > 0) {
        const piece = Math.min(this.#payloadLeft, end - at);
        memory.bytes.copyWithin(this.#payloadAt, at, at + piece);
        at += piece;
        this.#advancePayload(piece);
      } else if (this.#partialBytes === 0 && end - at >= REPLY_BYTES) {
        this.#onReply(memory.view, at);
        at += REPLY_BYTES;
      } else {
        this.#partial.setUint8(this.#partialBytes++, memory.bytes[at++]!);
        if (this.#partialBytes < REPLY_BYTES) continue;
        this.#partialBytes = 0;
        this.#onReply(this.#partial, 0);
      }
    }
    if (this.#payloadLeft >= DIRECT_RECEIVE_BYTES) this.#receivePiece();
  }

  onDirect(): void {
    this.#aliveMs = this.#world.clock.now();
    if (!this.#isUp) return;
    this.#advancePayload(this.#directBytes);
    if (this.#payloadLeft > 0) this.#receivePiece();
  }

  onDrain(): void {
    this.#pump();
  }

  onClosed(error: PfError | null): void {
    this.#failure ??= error ?? new PfError('CONNECTION_LOST', `store ${this.peer} closed the connection`);
    this.#isUp = false;
    this.#isClosed = true;
    this.#stopTicking();
    this.#options.onDown?.(this.#failure);
    this.#slots.finishAll(STATUS_CONNECTION_LOST);
    for (let next = this.#queue.shift(); next !== null; next = this.#queue.shift()) next.finish(STATUS_CONNECTION_LOST);
    this.#settleClose();
  }

  slotDone(command: StoreCommand, status: number): void {
    command.finish(status);
    if (this.#isUp) {
      if (this.#queue.count > 0) this.#pump();
    } else if (this.#isClosed) {
      this.#settleClose();
    }
  }

  #receivePiece(): void {
    if (!this.#isUp) return;
    this.#directBytes = Math.min(this.#payloadLeft, DIRECT_PIECE_BYTES);
    this.#stream.receiveInto(this.#payloadAt, this.#directBytes);
  }

  #send(command: StoreCommand): void {
    if (this.#ticker === null) this.#startTicking();
    const id = this.#slots.take(command);
    const payload = payloadBytesToStore(command.opcode, command.length);
    const isCopied = payload > 0 && payload <= COPIED_PAYLOAD_BYTES;
    let flags = command.flags & ~FLAG_CRC;
    let crc = 0;
    if (payload > 0 && this.kind !== KIND_LEGACY) {
      crc = (command.flags & FLAG_CRC) !== 0 ? command.payloadCrc : this.#world.memory.crc32c(command.memory, payload, 0);
      flags |= FLAG_CRC;
    }
    const head = this.#reserve(isCopied ? HEAD_BYTES + payload : HEAD_BYTES);
    if (head === 0) return;
    const memory = this.#world.memory;
    encodeHead(memory.view, head, command, this.kind, id, flags, crc);
    this.#queuedTotal += HEAD_BYTES + payload;
    if (isCopied) memory.bytes.copyWithin(head + HEAD_BYTES, command.memory, command.memory + payload);
    else if (payload > 0) this.#stream.writeOwned(command.memory, payload, this.#slots.sendCompletion(id));
  }

  /** 0 when there is no memory for output: the session goes down, what is in flight is finished with it. */
  #reserve(length: number): number {
    try {
      return this.#stream.reserve(length);
    } catch (error) {
      this.#goDown(new PfError('NO_SPACE', `cannot send ${length} bytes to store ${this.peer}`, { cause: error }));
      return 0;
    }
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#isUp && this.#queue.count > 0 && this.#slots.hasFree && !this.#stream.isCongested)
      this.#send(this.#queue.shift()!);
    this.#isPumping = false;
  }

  #onReply(view: DataView, at: number): void {
    const reply = this.#reply;
    decodeReply(view, at, reply, this.kind);
    if (reply.commandId === SESSION_COMMAND_ID && this.kind !== KIND_LEGACY) return;
    const command = this.#slots.waiting(reply.commandId);
    if (command === null || command.commandSequence >>> 0 !== reply.commandSequence) {
      const what = command === null ? 'which is not in flight' : `sent as number ${command.commandSequence}`;
      this.#goDown(
        new PfError(
          'PROTOCOL_ERROR',
          `store ${this.peer} answered command ${reply.commandId} number ${reply.commandSequence}, ${what}; closing`,
        ),
      );
      return;
    }
    command.replyMetaVersion = reply.metaVersion;
    const payload = reply.status === STATUS_OK ? payloadBytesFromStore(command.opcode, command.length) : 0;
    if (payload === 0) return this.#slots.finish(reply.commandId, reply.status);
    this.#payloadId = reply.commandId;
    this.#payloadAt = command.memory;
    this.#payloadLeft = payload;
  }

  #advancePayload(length: number): void {
    this.#payloadAt += length;
    this.#payloadLeft -= length;
    if (this.#payloadLeft > 0) return;
    const command = this.#slots.waiting(this.#payloadId)!;
    const reply = this.#reply;
    command.flags &= ~FLAG_CRC;
    let status = STATUS_OK;
    if ((reply.flags & FLAG_CRC) !== 0) {
      const payload = payloadBytesFromStore(command.opcode, command.length);
      command.flags |= FLAG_CRC;
      command.payloadCrc = reply.payloadCrc;
      if (this.#world.memory.crc32c(command.memory, payload, 0) !== reply.payloadCrc) status = STATUS_DATA_XFER_ERROR;
    }
    this.#slots.finish(this.#payloadId, status);
  }

  #startTicking(): void {
    const now = this.#world.clock.now();
    this.#tickMs = now;
    this.#aliveMs = now;
    this.#ticker = this.#world.clock.every(this.#options.heartbeatPeriodMs ?? DEFAULT_HEARTBEAT_MS, () => this.#tick());
  }

  #stopTicking(): void {
    this.#ticker?.cancel();
    this.#ticker = null;
  }

  /**
   * Bytes that left count as life: the kernel takes no more from us when the peer is gone, and a heartbeat may queue behind megabytes.
   * After a stall of our own (a late tick) the peer gets a fresh start, for its answers may wait unread.
   */
  #tick(): void {
    const now = this.#world.clock.now();
    const period = this.#options.heartbeatPeriodMs ?? DEFAULT_HEARTBEAT_MS;
    const sent = this.#queuedTotal - this.#stream.queuedBytes;
    if (sent > this.#sentTotal || now - this.#tickMs > 2 * period) this.#aliveMs = now;
    this.#sentTotal = Math.max(this.#sentTotal, sent);
    this.#tickMs = now;
    if (this.#slots.inUse === 0 && this.#queue.count === 0) return this.#stopTicking();
    if (this.kind === KIND_LEGACY) return;
    const limit = this.#options.silenceLimitMs ?? 1000;
    if (limit > 0 && now - this.#aliveMs >= limit) {
      this.#goDown(
        new PfError(
          'TIMEOUT',
          `store ${this.peer} was silent for ${Math.round(now - this.#aliveMs)} ms with ${this.inFlight} requests waiting`,
        ),
      );
    } else if (this.kind === KIND_CLIENT) {
      const head = this.#reserve(HEAD_BYTES);
      if (head !== 0) encodeHead(this.#world.memory.view, head, this.#heartbeat, this.kind, SESSION_COMMAND_ID, 0, 0);
    }
  }

  /** The rest follows in onClosed. */
  #goDown(error: PfError): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#failure = error;
    this.#stopTicking();
    this.#stream.destroy();
  }

  #settleClose(): void {
    if (this.#slots.inUse > 0 || this.#closeWaiters.length === 0) return;
    const waiters = this.#closeWaiters;
    this.#closeWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
