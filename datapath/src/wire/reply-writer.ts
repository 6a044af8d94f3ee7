// What a store's session sends: the handshake's answer, replies with and without data, signs of life. The half of ServerSession that
// knows frames; the other half parses. Small payloads are copied behind their reply; large ones leave in place, with the reply
// written into the slot's headroom, and the command is dropped when the stream has let go of it.
import type { IoMemory } from '../world/memory.ts';
import { RESERVE_MAX_BYTES, type Stream } from '../world/network.ts';
import { COPIED_PAYLOAD_BYTES } from './client-session.ts';
import {
  encodeHandshake,
  encodeReply,
  KIND_LEGACY,
  type ConnectionKind,
  type Handshake,
  type ReplyFrame,
} from './frame-codec.ts';
import { FLAG_CRC, HANDSHAKE_BYTES, MAX_IO_BYTES, REPLY_BYTES, SESSION_COMMAND_ID, directionOf } from './messages.ts';
import type { ServerCommand } from './server-command.ts';
import { STATUS_OK } from './status.ts';

export interface ReplyWriterOwner {
  /** There is no memory for output: the connection must end. */
  outputFailed(error: unknown): void;
}

/** Whether an error reply to this request keeps a version 1 client in step: it takes `length` bytes for data after a failed read as well. */
export function canAnswerError(command: ServerCommand, kind: ConnectionKind): boolean {
  return kind !== KIND_LEGACY || directionOf(command.opcode) !== 2 || command.length <= MAX_IO_BYTES;
}

export class ReplyWriter {
  kind: ConnectionKind = KIND_LEGACY;
  readonly #memory: IoMemory;
  readonly #stream: Stream;
  readonly #owner: ReplyWriterOwner;
  readonly #reply: ReplyFrame = { status: 0, metaVersion: 0, commandId: 0, flags: 0, commandSequence: 0, payloadCrc: 0 };

  constructor(memory: IoMemory, stream: Stream, owner: ReplyWriterOwner) {
    this.#memory = memory;
    this.#stream = stream;
    this.#owner = owner;
  }

  handshake(answer: Handshake): void {
    const at = this.#reserve(HANDSHAKE_BYTES);
    if (at !== 0) encodeHandshake(this.#memory.view, at, answer);
  }

  /** A reply without data; padded where a version 1 client wants it. */
  plain(command: ServerCommand, status: number): void {
    const at = this.#reserve(REPLY_BYTES);
    if (at === 0) return;
    this.#encode(at, command, status, 0, 0);
    if (this.kind !== KIND_LEGACY || directionOf(command.opcode) !== 2 || !canAnswerError(command, this.kind)) return;
    for (let left = command.length; left > 0; left -= RESERVE_MAX_BYTES) {
      const length = Math.min(left, RESERVE_MAX_BYTES);
      const padding = this.#reserve(length);
      if (padding === 0) return;
      this.#memory.bytes.fill(0, padding, padding + length);
    }
  }

  /** A successful reply with `payload` bytes of the command's memory; takes over the session's hold on the command. */
  withPayload(command: ServerCommand, payload: number): void {
    const memory = this.#memory;
    const hasCrc = this.kind !== KIND_LEGACY;
    const isKnown = (command.flags & FLAG_CRC) !== 0;
    const crc = !hasCrc ? 0 : isKnown ? command.payloadCrc : memory.crc32c(command.memory, payload, 0);
    const flags = hasCrc ? FLAG_CRC : 0;
    if (payload > COPIED_PAYLOAD_BYTES) {
      const at = command.memory - REPLY_BYTES;
      this.#encode(at, command, STATUS_OK, flags, crc);
      this.#stream.writeOwned(at, REPLY_BYTES + payload, command);
      return;
    }
    const at = this.#reserve(REPLY_BYTES + payload);
    if (at !== 0) {
      this.#encode(at, command, STATUS_OK, flags, crc);
      memory.bytes.copyWithin(at + REPLY_BYTES, command.memory, command.memory + payload);
    }
    command.dropPayload();
  }

  signOfLife(): void {
    const at = this.#reserve(REPLY_BYTES);
    if (at === 0) return;
    const reply = this.#reply;
    reply.status = STATUS_OK;
    reply.metaVersion = 0;
    reply.commandId = SESSION_COMMAND_ID;
    reply.commandSequence = 0;
    reply.flags = 0;
    reply.payloadCrc = 0;
    encodeReply(this.#memory.view, at, reply);
  }

  #encode(at: number, command: ServerCommand, status: number, flags: number, crc: number): void {
    const reply = this.#reply;
    reply.status = status;
    reply.metaVersion = command.replyMetaVersion & 0xffff;
    reply.commandId = command.commandId;
    reply.commandSequence = command.commandSequence;
    reply.flags = flags;
    reply.payloadCrc = crc;
    encodeReply(this.#memory.view, at, reply);
  }

  #reserve(length: number): number {
    try {
      return this.#stream.reserve(length);
    } catch (error) {
      this.#owner.outputFailed(error);
      return 0;
    }
  }
}
