// One connection from a client or another store: parses requests into pooled ServerCommands, submits them to the link that the
// owner named, and answers in the order of completion. Made by DataListener; all limits on a peer are kept here.
//
//   handshake --admitted--> (waiting: an older connection of this client ends) --> head -> admit -> payload -> submit -> head ...
//        \--refused--> ended                                                         \--malformed--> skip -> head
//
// Invariants: bytes are parsed strictly in order; a request is submitted only with a whole, verified payload; while the session
// may admit no more (depth, payload budget, no slot, peer does not read) it stops reading and keeps what has already arrived in a
// stash. A malformed request gets an error reply and its payload is skipped; only what cannot be skipped ends the connection.
// A session is quiet when the stream is closed and every command is free: only then is it forgotten.
import type { PfError } from '../base/errors.ts';
import type { Timer } from '../world/clock.ts';
import { EINVAL } from '../world/completion.ts';
import type { Stream, StreamHandler } from '../world/network.ts';
import type { World } from '../world/world.ts';
import type { Admission, PeerHandshake } from './admission.ts';
import { DIRECT_RECEIVE_BYTES } from './client-session.ts';
import type { StoreCommand, StoreLink } from './command.ts';
import {
  decodeHandshake,
  decodeHead,
  kindOf,
  payloadBytesFromStore,
  payloadBytesToStore,
  KIND_CLIENT,
  KIND_LEGACY,
  KIND_REPLICATION,
  type ConnectionKind,
} from './frame-codec.ts';
import {
  FLAG_CRC,
  HANDSHAKE_BYTES,
  HEAD_BYTES,
  MAX_IO_DEPTH,
  OP_HEARTBEAT,
  PROTOCOL_V1,
  PROTOCOL_V2,
  directionOf,
} from './messages.ts';
import { canAnswerError, ReplyWriter, type ReplyWriterOwner } from './reply-writer.ts';
import type { ServerCommand, ServerCommandOwner } from './server-command.ts';
import { STATUS_DATA_XFER_ERROR, STATUS_INVALID_FIELD, STATUS_INVALID_OPCODE, STATUS_OK } from './status.ts';

export interface SessionLimits {
  /** Requests in flight granted to one connection at most. */
  readonly maximumDepth: number;
  /** Payload memory of one connection; one request always fits. */
  readonly payloadBudgetBytes: number;
  readonly handshakeTimeoutMs: number;
}

/** The listener, as its sessions see it. */
export interface SessionHost {
  readonly world: World;
  readonly limits: SessionLimits;
  admit(handshake: PeerHandshake): Admission;
  /** True when the session may be granted now; else its grant() is called when the older connections of the client are quiet. */
  enlist(session: ServerSession): boolean;
  takeCommand(session: ServerSession): ServerCommand;
  giveCommand(command: ServerCommand): void;
  /** The session reads no requests now: while it `takesLong` the host calls sendSignOfLife() from time to time. */
  keepAlive(session: ServerSession): void;
  sessionQuiet(session: ServerSession): void;
}

/** A malformed request with a longer payload ends the connection. */
export const MAX_SKIP_BYTES = 64 * 1024 * 1024;

/** How often the host calls sweep(). */
export const SWEEP_MS = 15_000;

type Phase = 'handshake' | 'waiting' | 'head' | 'admit' | 'payload' | 'skip' | 'ended';

/** In which phases replies may be sent. */
const IS_SPEAKING: Readonly<Record<Phase, boolean>> = {
  handshake: false,
  waiting: false,
  head: true,
  admit: true,
  payload: true,
  skip: true,
  ended: false,
};

export class ServerSession implements StreamHandler, ServerCommandOwner, ReplyWriterOwner {
  readonly #host: SessionHost;
  readonly #world: World;
  readonly #stream: Stream;
  readonly #partial = new Uint8Array(HEAD_BYTES);
  readonly #partialView = new DataView(this.#partial.buffer);
  readonly #replies: ReplyWriter;
  #phase: Phase = 'handshake';
  #deadline: Timer | null;
  #kind: ConnectionKind = KIND_LEGACY;
  #depth = 0;
  #volumeId = 0;
  #clientId = 0;
  #admission: Admission | null = null;
  #link: StoreLink | null = null;
  #partialBytes = 0;
  /** The request being parsed, and why it is refused (STATUS_OK: it is not). */
  #command: ServerCommand | null = null;
  #refusal = STATUS_OK;
  #payloadAt = 0;
  #payloadLeft = 0;
  #stash: Uint8Array | null = null;
  #isBlocked = false;
  #isKeptAlive = false;
  #isConsuming = false;
  #awaitsSlot = false;
  #inFlight = 0;
  #payloadBytes = 0;
  #isClosed = false;
  /** For sweep(). */
  #heardBytes = 0;
  #sweptBytes = 0;

  constructor(host: SessionHost, stream: Stream) {
    this.#host = host;
    this.#world = host.world;
    this.#stream = stream;
    this.#replies = new ReplyWriter(host.world.memory, stream, this);
    this.#deadline = host.world.clock.after(host.limits.handshakeTimeoutMs, () => this.destroy());
  }

  get peer(): string {
    return this.#stream.peer;
  }

  /** Names the client's connection across reconnects; empty where nothing is superseded. */
  get supersedeKey(): string {
    return this.#kind === KIND_CLIENT && this.#clientId !== 0 ? `${this.#volumeId}:${this.#clientId}` : '';
  }

  get isWaiting(): boolean {
    return this.#phase === 'waiting';
  }

  /** Commands parsed and not yet free. */
  get inFlight(): number {
    return this.#inFlight;
  }

  destroy(): void {
    this.#phase = 'ended';
    this.#stream.destroy();
  }

  onBytes(offset: number, length: number): void {
    if (this.#phase === 'ended') return;
    this.#heardBytes += length;
    const memory = this.#world.memory;
    if (this.#isBlocked) {
      this.#stream.pauseReceiving();
      return this.#keep(memory.bytes, offset, offset + length);
    }
    const at = this.#consume(memory.bytes, memory.view, offset, offset + length);
    if (at < offset + length) this.#keep(memory.bytes, at, offset + length);
    else this.#receiveRest();
  }

  onDirect(): void {
    if (this.#phase !== 'payload') return;
    this.#heardBytes += this.#payloadLeft;
    this.#payloadLeft = 0;
    this.#submitWrite();
  }

  onDrain(): void {
    this.#resume();
  }

  onClosed(_error: PfError | null): void {
    this.#phase = 'ended';
    this.#isClosed = true;
    this.#deadline?.cancel();
    this.#stash = null;
    this.#isBlocked = false;
    const command = this.#command;
    this.#command = null;
    if (command !== null && command.slot !== 0) command.dropPayload();
    else if (command !== null) this.#host.giveCommand(command);
    if (this.#inFlight === 0) this.#becomeQuiet();
  }

  /** The older connections of this client are quiet. */
  grant(): void {
    this.#answerHandshake(0);
    this.#phase = 'head';
    this.#resume();
  }

  /** A slot may be free. */
  complete(): void {
    this.#awaitsSlot = false;
    this.#resume();
  }

  /**
   * Called every SWEEP_MS. A peer that stopped in the middle of a request is given up, for it holds payload memory; an idle one of version 2
   * is sent a sign of life, so that the kernel notices when its machine is gone.
   */
  sweep(): void {
    const hasStopped = this.#heardBytes === this.#sweptBytes && !this.#isBlocked;
    this.#sweptBytes = this.#heardBytes;
    if (hasStopped && (this.#phase === 'payload' || this.#phase === 'skip' || this.#partialBytes > 0)) this.destroy();
    else if (hasStopped) this.sendSignOfLife();
  }

  /** Asked by the host before each sign of life; when the answer is no, the session will say so again. */
  get takesLong(): boolean {
    this.#isKeptAlive = this.#isBlocked || this.#phase === 'payload' || this.#phase === 'skip';
    return this.#isKeptAlive;
  }

  sendSignOfLife(): void {
    if (this.#kind === KIND_LEGACY || !IS_SPEAKING[this.#phase] || this.#stream.isCongested) return;
    this.#replies.signOfLife();
  }

  outputFailed(error: unknown): void {
    this.#world.log.warn('closing a connection: no memory for its replies', { peer: this.peer, error: String(error) });
    this.destroy();
  }

  commandDone(done: StoreCommand): void {
    const command = done as ServerCommand;
    if (this.#phase === 'ended') return command.dropPayload();
    const payload = payloadBytesFromStore(command.opcode, command.length);
    if (payload > 0 && command.status === STATUS_OK) return this.#replies.withPayload(command, payload);
    this.#replies.plain(command, command.status);
    command.dropPayload();
  }

  commandFree(command: ServerCommand): void {
    this.#inFlight -= 1;
    if (command.slot !== 0) this.#world.memory.releaseSlot(command.slot);
    this.#payloadBytes -= command.slotBytes;
    command.slot = 0;
    command.slotBytes = 0;
    this.#host.giveCommand(command);
    if (this.#isClosed) {
      if (this.#inFlight === 0) this.#becomeQuiet();
    } else {
      this.#resume();
    }
  }

  /** Parses from `at` until `end`, or until the session may admit no more; returns where it stopped. */
  #consume(bytes: Uint8Array, view: DataView, from: number, end: number): number {
    this.#isConsuming = true;
    let at = from;
    for (;;) {
      if (this.#phase === 'ended') at = end;
      if (this.#phase === 'admit') {
        if (!this.#admit()) break;
        continue;
      }
      if (at === end || this.#phase === 'waiting') break;
      if (this.#phase === 'payload') {
        const piece = Math.min(this.#payloadLeft, end - at);
        const memory = this.#world.memory.bytes;
        if (bytes === memory) memory.copyWithin(this.#payloadAt, at, at + piece);
        else memory.set(bytes.subarray(at, at + piece), this.#payloadAt);
        at += piece;
        this.#payloadAt += piece;
        this.#payloadLeft -= piece;
        if (this.#payloadLeft === 0) this.#submitWrite();
      } else if (this.#phase === 'skip') {
        const piece = Math.min(this.#payloadLeft, end - at);
        at += piece;
        this.#payloadLeft -= piece;
        if (this.#payloadLeft === 0) this.#phase = 'head';
      } else {
        at += this.#gather(bytes, view, at, end, this.#phase === 'head' ? HEAD_BYTES : HANDSHAKE_BYTES);
      }
    }
    this.#isConsuming = false;
    if (this.#phase === 'admit') this.#stream.pauseReceiving();
    this.#isBlocked = this.#isStuck;
    if (this.#isBlocked) this.#keepAlive();
    return at;
  }

  /** Takes a head or the handshake from the input, through #partial when it is cut. Returns the bytes used. */
  #gather(bytes: Uint8Array, view: DataView, at: number, end: number, wanted: number): number {
    if (this.#partialBytes === 0 && end - at >= wanted) {
      this.#onFrame(view, at);
      return wanted;
    }
    const piece = Math.min(wanted - this.#partialBytes, end - at);
    this.#partial.set(bytes.subarray(at, at + piece), this.#partialBytes);
    this.#partialBytes += piece;
    if (this.#partialBytes === wanted) {
      this.#partialBytes = 0;
      this.#onFrame(this.#partialView, 0);
    }
    return piece;
  }

  #onFrame(view: DataView, at: number): void {
    if (this.#phase === 'handshake') return this.#onHandshake(view, at);
    this.#command ??= this.#host.takeCommand(this);
    this.#refusal = decodeHead(view, at, this.#command, this.#kind);
    if (this.#refusal === STATUS_OK && this.#kind === KIND_CLIENT && this.#command.volumeId !== this.#volumeId)
      this.#refusal = STATUS_INVALID_FIELD;
    this.#phase = 'admit';
  }

  #onHandshake(view: DataView, at: number): void {
    this.#deadline?.cancel();
    const wish = decodeHandshake(view, at);
    const version = wish.versionOrResult >= PROTOCOL_V2 ? PROTOCOL_V2 : PROTOCOL_V1;
    this.#kind = kindOf(version, wish.volumeId);
    this.#replies.kind = this.#kind;
    this.#volumeId = wish.volumeId;
    this.#clientId = wish.clientId;
    const isShared = wish.volumeId === 0;
    this.#depth = Math.max(1, Math.min(wish.depth, this.#host.limits.maximumDepth));
    const hasGoodDepth = isShared || (wish.depth >= 1 && wish.depth <= MAX_IO_DEPTH);
    if (wish.volumeId < 0 || !hasGoodDepth) return this.#refuseConnection(EINVAL);
    const token = this.#kind === KIND_LEGACY ? 0 : wish.token;
    const clientId = this.#kind === KIND_LEGACY ? 0 : wish.clientId;
    const { volumeId } = wish;
    this.#admission = this.#host.admit({ kind: this.#kind, volumeId, clientId, token, depth: this.#depth, peer: this.peer });
    if (this.#admission.result !== 0) return this.#refuseConnection(this.#admission.result);
    this.#link = this.#admission.link;
    this.#phase = 'waiting';
    if (!this.#host.enlist(this)) return;
    this.#answerHandshake(0);
    this.#phase = 'head';
  }

  #refuseConnection(result: number): void {
    this.#answerHandshake(result);
    this.#phase = 'ended';
    this.#stream.end();
  }

  #answerHandshake(result: number): void {
    const isLegacy = this.#kind === KIND_LEGACY;
    this.#replies.handshake({
      depth: this.#depth,
      volumeId: Math.max(0, this.#volumeId),
      clientId: isLegacy ? 0 : this.#clientId,
      versionOrResult: result,
      grantedVersion: isLegacy ? 0 : PROTOCOL_V2,
      token: 0,
    });
  }

  /** Decides on the decoded request. False: not now. */
  #admit(): boolean {
    if (this.#stream.isCongested) return false;
    const command = this.#command!;
    const { opcode, length } = command;
    if (this.#refusal !== STATUS_OK) {
      this.#refuse(command, this.#refusal);
      return true;
    }
    if (opcode === OP_HEARTBEAT && this.#kind !== KIND_REPLICATION) {
      this.#phase = 'head';
      this.#replies.plain(command, STATUS_OK);
      return true;
    }
    if (this.#inFlight >= this.#depth) return false;
    const toStore = payloadBytesToStore(opcode, length);
    const payload = Math.max(toStore, payloadBytesFromStore(opcode, length));
    if (payload > 0 && !this.#takeSlot(command, payload)) return false;
    command.begin(this);
    command.protocolVersion = this.#kind === KIND_LEGACY ? PROTOCOL_V1 : PROTOCOL_V2;
    this.#inFlight += 1;
    this.#payloadAt = command.memory;
    this.#payloadLeft = toStore;
    this.#phase = toStore > 0 ? 'payload' : 'head';
    if (toStore === 0) this.#submit();
    return true;
  }

  #takeSlot(command: ServerCommand, payload: number): boolean {
    if (this.#payloadBytes > 0 && this.#payloadBytes + payload > this.#host.limits.payloadBudgetBytes) return false;
    const slot = this.#world.memory.acquireSlot(payload);
    if (slot === 0) {
      if (!this.#awaitsSlot) this.#world.memory.whenSlotFree(payload, this);
      this.#awaitsSlot = true;
      return false;
    }
    command.slot = slot;
    command.slotBytes = payload;
    command.memory = slot;
    this.#payloadBytes += payload;
    return true;
  }

  /** The error reply to a request that is not submitted; its payload is skipped. The record serves the next request. */
  #refuse(command: ServerCommand, status: number): void {
    const direction = directionOf(command.opcode);
    const isSkippable =
      direction !== 3 && (direction !== 1 || command.length <= MAX_SKIP_BYTES) && canAnswerError(command, this.#kind);
    this.#phase = 'head';
    if (direction === 1 && command.length > 0) {
      this.#phase = 'skip';
      this.#payloadLeft = command.length;
    }
    this.#replies.plain(command, status);
    if (isSkippable) return;
    this.#phase = 'ended';
    this.#stream.end();
  }

  #submitWrite(): void {
    const command = this.#command!;
    this.#phase = 'head';
    if ((command.flags & FLAG_CRC) !== 0 && this.#world.memory.crc32c(command.memory, command.length, 0) !== command.payloadCrc) {
      this.#command = null;
      this.#replies.plain(command, STATUS_DATA_XFER_ERROR);
      command.dropPayload();
      return;
    }
    this.#submit();
  }

  #submit(): void {
    const command = this.#command!;
    this.#command = null;
    if (this.#link === null) command.finish(STATUS_INVALID_OPCODE);
    else this.#link.submit(command);
  }

  /** All that has arrived is parsed. The client's heartbeats queue behind a payload, which may take its time. */
  #receiveRest(): void {
    if (this.#phase !== 'payload' && this.#phase !== 'skip') return;
    this.#keepAlive();
    if (this.#phase === 'payload' && this.#payloadLeft >= DIRECT_RECEIVE_BYTES)
      this.#stream.receiveInto(this.#payloadAt, this.#payloadLeft);
  }

  #keepAlive(): void {
    if (this.#isKeptAlive || this.#kind === KIND_LEGACY) return;
    this.#isKeptAlive = true;
    this.#host.keepAlive(this);
  }

  #keep(bytes: Uint8Array, at: number, end: number): void {
    if (this.#phase === 'ended' || at === end) return;
    const before = this.#stash === null ? 0 : this.#stash.length;
    const larger = new Uint8Array(before + end - at);
    if (this.#stash !== null) larger.set(this.#stash, 0);
    larger.set(bytes.subarray(at, end), before);
    this.#stash = larger;
  }

  /** Something must happen before another byte is parsed. */
  get #isStuck(): boolean {
    return this.#phase === 'admit' || this.#phase === 'waiting';
  }

  /** Something that blocked has changed: goes on with the stash, and with the stream when the stash is used up. */
  #resume(): void {
    if (!this.#isBlocked || this.#isConsuming || this.#phase === 'ended') return;
    const stash = this.#stash ?? new Uint8Array(0);
    this.#stash = null;
    const at = this.#consume(stash, new DataView(stash.buffer, stash.byteOffset), 0, stash.length);
    if (at < stash.length) this.#keep(stash, at, stash.length);
    if (!this.#isBlocked) this.#stream.resumeReceiving();
  }

  #becomeQuiet(): void {
    this.#host.sessionQuiet(this);
    this.#admission?.onGone?.();
  }
}
