// Frames to records and back: handshake, request head, reply, between a DataView at an offset and preallocated records.
// Called by the sessions on both ends, and by nobody else. Allocates nothing.
// decodeHead() refuses what no honest peer sends and says so as a wire status; what it accepted, a handler may rely on.
// 64-bit fields are safe integers: a field of 2^53 or more is malformed.
import { SECTOR_BYTES, BLOCK_BYTES } from '../base/sizes.ts';
import type { StoreCommand } from './command.ts';
import {
  FLAG_CRC,
  FLAG_FUA,
  FLAG_NO_HOLE,
  FLAG_RECOVERY,
  HANDSHAKE,
  HANDSHAKE_BYTES,
  HEAD,
  HEAD_BYTES,
  MAX_IO_BYTES,
  MAX_IO_V1_BYTES,
  MAX_TRIM_BYTES,
  OP_FLUSH,
  OP_HEARTBEAT,
  OP_QUERY_WRITTEN,
  OP_READ,
  OP_READ_REPLICA,
  OP_REPLICATE_TRIM,
  OP_REPLICATE_WRITE,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PROTOCOL_V1,
  REPLY,
  REPLY_BYTES,
  directionOf,
} from './messages.ts';
import type { ServerCommand } from './server-command.ts';
import { STATUS_INVALID_FIELD, STATUS_INVALID_OPCODE, STATUS_OK, STATUS_OUT_OF_RANGE } from './status.ts';

/** What a connection is for; decides which opcodes it carries and how bytes 30 and 56 of a head are read. */
export type ConnectionKind = typeof KIND_LEGACY | typeof KIND_CLIENT | typeof KIND_REPLICATION;
/** Protocol version 1. */
export const KIND_LEGACY = 1;
export const KIND_CLIENT = 2;
export const KIND_REPLICATION = 4;

export interface Handshake {
  depth: number;
  /** -1 when the field holds 2^53 or more. */
  volumeId: number;
  clientId: number;
  versionOrResult: number;
  grantedVersion: number;
  /** -1 when the field holds 2^53 or more. */
  token: number;
}

export interface ReplyFrame {
  status: number;
  metaVersion: number;
  commandId: number;
  flags: number;
  commandSequence: number;
  payloadCrc: number;
}

export const COMMIT_LAG_UNKNOWN = 0xffff;
const TWO_32 = 2 ** 32;
const MALFORMED = -1;

const ALLOWED = allowedKinds();
const KNOWN_FLAGS = FLAG_FUA | FLAG_CRC | FLAG_RECOVERY | FLAG_NO_HOLE;

/** Bytes that follow a request's head. */
export const payloadBytesToStore = (opcode: number, length: number): number => (directionOf(opcode) === 1 ? length : 0);

/** Bytes that follow a successful reply. */
export function payloadBytesFromStore(opcode: number, length: number): number {
  if (opcode === OP_QUERY_WRITTEN) return Math.ceil(length / BLOCK_BYTES / 8);
  return directionOf(opcode) === 2 ? length : 0;
}

export function encodeHandshake(view: DataView, at: number, handshake: Readonly<Handshake>): void {
  clear(view, at, HANDSHAKE_BYTES);
  view.setInt16(at + HANDSHAKE.depth, handshake.depth, true);
  writeU64(view, at + HANDSHAKE.volumeId, handshake.volumeId);
  view.setUint32(at + HANDSHAKE.clientId, handshake.clientId, true);
  view.setInt16(at + HANDSHAKE.versionOrResult, handshake.versionOrResult, true);
  view.setUint16(at + HANDSHAKE.grantedVersion, handshake.grantedVersion, true);
  writeU64(view, at + HANDSHAKE.token, handshake.token);
}

export function decodeHandshake(view: DataView, at: number): Handshake {
  return {
    depth: view.getInt16(at + HANDSHAKE.depth, true),
    volumeId: readU64(view, at + HANDSHAKE.volumeId),
    clientId: view.getUint32(at + HANDSHAKE.clientId, true),
    versionOrResult: view.getInt16(at + HANDSHAKE.versionOrResult, true),
    grantedVersion: view.getUint16(at + HANDSHAKE.grantedVersion, true),
    token: readU64(view, at + HANDSHAKE.token),
  };
}

/** `flags` and `payloadCrc` are the frame's: the session adds FLAG_CRC where the submitter left the sum to it. */
export function encodeHead(
  view: DataView,
  at: number,
  command: Readonly<StoreCommand>,
  kind: ConnectionKind,
  commandId: number,
  flags: number,
  payloadCrc: number,
): void {
  clear(view, at, HEAD_BYTES);
  view.setUint8(at + HEAD.opcode, command.opcode);
  view.setUint16(at + HEAD.commandId, commandId, true);
  view.setUint32(at + HEAD.snapshotSequence, command.snapshotSequence, true);
  writeU64(view, at + HEAD.volumeId, command.volumeId);
  view.setUint16(at + HEAD.metaVersion, command.metaVersion & 0xffff, true);
  writeU64(view, at + HEAD.offset, command.offset);
  view.setUint32(at + HEAD.length, command.length, true);
  view.setUint32(at + HEAD.commandSequence, command.commandSequence, true);
  if (kind === KIND_LEGACY) return;
  view.setUint8(at + HEAD.flags, flags);
  view.setUint32(at + HEAD.attachEpoch, command.attachEpoch, true);
  view.setUint32(at + HEAD.payloadCrc, payloadCrc, true);
  if (kind === KIND_CLIENT) {
    writeU64(view, at + HEAD.tokenOrSequence, command.token);
  } else {
    const lag = command.sequence - command.commitMark;
    view.setUint16(at + HEAD.commitLag, lag >= 0 && lag < COMMIT_LAG_UNKNOWN ? lag : COMMIT_LAG_UNKNOWN, true);
    writeU64(view, at + HEAD.tokenOrSequence, command.sequence);
  }
}

/**
 * Fills every wire field of `command` (FLAG_CRC only where a payload follows, for on reads it is the answer's); STATUS_OK, or why the request must be refused  (opcode, length and commandId are set then too).
 */
export function decodeHead(view: DataView, at: number, command: ServerCommand, kind: ConnectionKind): number {
  const opcode = view.getUint8(at + HEAD.opcode);
  const isLegacy = kind === KIND_LEGACY;
  const flags = isLegacy ? 0 : view.getUint8(at + HEAD.flags);
  command.opcode = opcode;
  command.flags = directionOf(opcode) === 1 ? flags : flags & ~FLAG_CRC;
  command.commandId = view.getUint16(at + HEAD.commandId, true);
  command.snapshotSequence = view.getUint32(at + HEAD.snapshotSequence, true);
  command.volumeId = readU64(view, at + HEAD.volumeId);
  command.metaVersion = view.getUint16(at + HEAD.metaVersion, true);
  command.offset = readU64(view, at + HEAD.offset);
  command.length = view.getUint32(at + HEAD.length, true);
  command.commandSequence = view.getUint32(at + HEAD.commandSequence, true);
  command.attachEpoch = isLegacy ? 0 : view.getUint32(at + HEAD.attachEpoch, true);
  command.payloadCrc = isLegacy ? 0 : view.getUint32(at + HEAD.payloadCrc, true);
  const last = isLegacy ? 0 : readU64(view, at + HEAD.tokenOrSequence);
  command.token = kind === KIND_CLIENT ? last : 0;
  command.sequence = kind === KIND_REPLICATION ? last : 0;
  const lag = view.getUint16(at + HEAD.commitLag, true);
  command.commitMark = kind === KIND_REPLICATION && lag !== COMMIT_LAG_UNKNOWN && lag <= last ? last - lag : 0;
  command.status = STATUS_OK;
  command.replyMetaVersion = 0;
  command.memory = 0;
  if ((ALLOWED[opcode]! & kind) === 0) return STATUS_INVALID_OPCODE;
  if ((flags & ~KNOWN_FLAGS) !== 0 || command.volumeId < 0 || last === MALFORMED) return STATUS_INVALID_FIELD;
  return checkRange(opcode, command.offset, command.length, isLegacy);
}

export function encodeReply(view: DataView, at: number, reply: Readonly<ReplyFrame>): void {
  clear(view, at, REPLY_BYTES);
  view.setUint16(at + REPLY.status, reply.status, true);
  view.setUint16(at + REPLY.metaVersion, reply.metaVersion, true);
  view.setUint16(at + REPLY.commandId, reply.commandId, true);
  view.setUint16(at + REPLY.flags, reply.flags, true);
  view.setUint32(at + REPLY.commandSequence, reply.commandSequence, true);
  view.setUint32(at + REPLY.payloadCrc, reply.payloadCrc, true);
}

export function decodeReply(view: DataView, at: number, into: ReplyFrame, kind: ConnectionKind): void {
  const isLegacy = kind === KIND_LEGACY;
  into.status = view.getUint16(at + REPLY.status, true);
  into.metaVersion = view.getUint16(at + REPLY.metaVersion, true);
  into.commandId = view.getUint16(at + REPLY.commandId, true);
  into.flags = isLegacy ? 0 : view.getUint16(at + REPLY.flags, true);
  into.commandSequence = view.getUint32(at + REPLY.commandSequence, true);
  into.payloadCrc = isLegacy ? 0 : view.getUint32(at + REPLY.payloadCrc, true);
}

function checkRange(opcode: number, offset: number, length: number, isLegacy: boolean): number {
  if (offset < 0 || offset + length > Number.MAX_SAFE_INTEGER) return STATUS_OUT_OF_RANGE;
  if (opcode === OP_HEARTBEAT || opcode === OP_FLUSH) return STATUS_OK;
  const unit = opcode === OP_QUERY_WRITTEN ? BLOCK_BYTES : SECTOR_BYTES;
  if (length === 0 || length % unit !== 0 || offset % unit !== 0) return STATUS_INVALID_FIELD;
  const hasLongPayload = directionOf(opcode) !== 0 && opcode !== OP_QUERY_WRITTEN;
  const limit = !hasLongPayload ? MAX_TRIM_BYTES : isLegacy ? MAX_IO_V1_BYTES : MAX_IO_BYTES;
  return length > limit ? STATUS_INVALID_FIELD : STATUS_OK;
}

function allowedKinds(): Uint8Array {
  const allowed = new Uint8Array(256);
  for (const opcode of [OP_WRITE, OP_READ]) allowed[opcode] = KIND_LEGACY | KIND_CLIENT;
  for (const opcode of [OP_FLUSH, OP_TRIM, OP_WRITE_ZEROES, OP_QUERY_WRITTEN]) allowed[opcode] = KIND_CLIENT;
  for (const opcode of [OP_REPLICATE_WRITE, OP_REPLICATE_TRIM, OP_READ_REPLICA]) allowed[opcode] = KIND_REPLICATION;
  allowed[OP_HEARTBEAT] = KIND_LEGACY | KIND_CLIENT | KIND_REPLICATION;
  return allowed;
}

/** Whether a connection of this version and kind may carry the opcode. */
export const isAllowed = (opcode: number, kind: ConnectionKind): boolean => (ALLOWED[opcode]! & kind) !== 0;

export function kindOf(protocolVersion: number, volumeId: number): ConnectionKind {
  if (protocolVersion <= PROTOCOL_V1) return KIND_LEGACY;
  return volumeId === 0 ? KIND_REPLICATION : KIND_CLIENT;
}

function readU64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  return high < 0x200000 ? high * TWO_32 + view.getUint32(at, true) : MALFORMED;
}

function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, (value / TWO_32) >>> 0, true);
}

function clear(view: DataView, at: number, length: number): void {
  for (let offset = 0; offset < length; offset += 8) {
    view.setUint32(at + offset, 0, true);
    view.setUint32(at + offset + 4, 0, true);
  }
}
