// Frames byte by byte: the golden files in testdata/ are encoded and decoded, and malformed heads are refused.
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StoreCommand } from './command.ts';
import {
  decodeHandshake,
  decodeHead,
  decodeReply,
  encodeHandshake,
  encodeHead,
  encodeReply,
  kindOf,
  payloadBytesFromStore,
  payloadBytesToStore,
  KIND_CLIENT,
  KIND_LEGACY,
  KIND_REPLICATION,
  type ConnectionKind,
  type Handshake,
  type ReplyFrame,
} from './frame-codec.ts';
import {
  FLAG_CRC,
  HEAD_BYTES,
  HANDSHAKE_BYTES,
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
  REPLY_BYTES,
  SNAPSHOT_HEAD,
} from './messages.ts';
import { ServerCommand } from './server-command.ts';
import { STATUS_INVALID_FIELD, STATUS_INVALID_OPCODE, STATUS_OK, STATUS_OUT_OF_RANGE } from './status.ts';
import { bytesOfHex, hexOfBytes } from './testing/hex.ts';

const VOLUME = 66 * 2 ** 24;
const TOKEN = 0x1f_2e3d_4c5b_6a79;
const FOLDER = new URL('testdata/', import.meta.url);
const seenFiles = new Set<string>();

function golden(name: string): Uint8Array {
  seenFiles.add(`${name}.hex`);
  return bytesOfHex(readFileSync(new URL(`${name}.hex`, FOLDER), 'utf8'));
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

const HANDSHAKES: Readonly<Record<string, Handshake>> = {
  'v1-handshake': { depth: 120, volumeId: VOLUME, clientId: 0, versionOrResult: 1, grantedVersion: 0, token: 0 },
  'v1-handshake-granted': { depth: 120, volumeId: VOLUME, clientId: 0, versionOrResult: 0, grantedVersion: 0, token: 0 },
  'v1-handshake-refused': { depth: 120, volumeId: VOLUME, clientId: 0, versionOrResult: 22, grantedVersion: 0, token: 0 },
  'v2-handshake': { depth: 128, volumeId: VOLUME, clientId: 0xc11e4701, versionOrResult: 2, grantedVersion: 0, token: TOKEN },
  'v2-handshake-granted': { depth: 64, volumeId: VOLUME, clientId: 0xc11e4701, versionOrResult: 0, grantedVersion: 2, token: 0 },
  'v2-handshake-replication': { depth: 255, volumeId: 0, clientId: 0x51, versionOrResult: 2, grantedVersion: 0, token: TOKEN },
};

type Fields = Partial<Omit<StoreCommand, 'owner' | 'finish'>> & { readonly commandId: number; readonly kind: ConnectionKind };
const CLIENT = { kind: KIND_CLIENT, volumeId: VOLUME, metaVersion: 3, attachEpoch: 9, token: TOKEN } as const;
const REPLICATION = { kind: KIND_REPLICATION, volumeId: VOLUME, metaVersion: 3, attachEpoch: 9 } as const;
const LEGACY = { kind: KIND_LEGACY, volumeId: VOLUME, metaVersion: 0x0102 } as const;

const HEADS: Readonly<Record<string, Fields>> = {
  'v1-write': { ...LEGACY, opcode: OP_WRITE, commandId: 7, offset: 0x12345678000, length: 4096, commandSequence: 1 },
  'v1-read': { ...LEGACY, opcode: OP_READ, commandId: 255, snapshotSequence: 5, offset: 0, length: 131072 },
  'v2-write': {
    ...CLIENT,
    opcode: OP_WRITE,
    flags: 3,
    commandId: 1,
    offset: 70368744173568,
    length: 4096,
    payloadCrc: 0x8a9136aa,
  },
  'v2-read': { ...CLIENT, opcode: OP_READ, commandId: 2, offset: 68719476736, length: 1048576 },
  'v2-heartbeat': { ...CLIENT, opcode: OP_HEARTBEAT, commandId: 0xffff, metaVersion: 0, attachEpoch: 0 },
  'v2-flush': { ...CLIENT, opcode: OP_FLUSH, commandId: 3 },
  'v2-trim': { ...CLIENT, opcode: OP_TRIM, commandId: 4, offset: 1073741824, length: 1073741824 },
  'v2-write-zeroes': { ...CLIENT, opcode: OP_WRITE_ZEROES, flags: 8, commandId: 5, offset: 8192, length: 4096 },
  'v2-query-written': { ...CLIENT, opcode: OP_QUERY_WRITTEN, commandId: 6, offset: 0, length: 262144 },
  'v2-replicate-write': {
    ...REPLICATION,
    opcode: OP_REPLICATE_WRITE,
    flags: 2,
    commandId: 8,
    offset: 4096,
    length: 4096,
    payloadCrc: 0x8a9136aa,
    sequence: 1099511627781,
    commitMark: 1099511627778,
  },
  'v2-replicate-trim': {
    ...REPLICATION,
    opcode: OP_REPLICATE_TRIM,
    flags: 4,
    commandId: 9,
    offset: 0,
    length: 65536,
    sequence: 70000,
  },
  'v2-read-replica': { ...REPLICATION, opcode: OP_READ_REPLICA, commandId: 10, offset: 65536, length: 65536 },
  'v2-replication-heartbeat': {
    ...REPLICATION,
    opcode: OP_HEARTBEAT,
    commandId: 11,
    offset: 68719476736,
    sequence: 12,
    commitMark: 12,
  },
};

const REPLIES: Readonly<Record<string, ReplyFrame & { readonly kind: ConnectionKind }>> = {
  'v1-reply': { kind: KIND_LEGACY, status: 0, metaVersion: 0, commandId: 7, flags: 0, commandSequence: 1, payloadCrc: 0 },
  'v1-reply-reopen': {
    kind: KIND_LEGACY,
    status: 0x4000,
    metaVersion: 0x0103,
    commandId: 7,
    flags: 0,
    commandSequence: 1,
    payloadCrc: 0,
  },
  'v2-reply-read': {
    kind: KIND_CLIENT,
    status: 0,
    metaVersion: 3,
    commandId: 2,
    flags: 2,
    commandSequence: 0,
    payloadCrc: 0x8a9136aa,
  },
  'v2-reply-fenced': {
    kind: KIND_CLIENT,
    status: 0xd1,
    metaVersion: 3,
    commandId: 1,
    flags: 0,
    commandSequence: 2,
    payloadCrc: 0,
  },
  'v2-sign-of-life': {
    kind: KIND_CLIENT,
    status: 0,
    metaVersion: 0,
    commandId: 0xffff,
    flags: 0,
    commandSequence: 0,
    payloadCrc: 0,
  },
};

test('handshakes have their golden bytes', () => {
  for (const [name, handshake] of Object.entries(HANDSHAKES)) {
    const bytes = new Uint8Array(HANDSHAKE_BYTES).fill(0xee);
    encodeHandshake(viewOf(bytes), 0, handshake);
    assert.is(hexOfBytes(bytes), hexOfBytes(golden(name)), name);
    assert.equal(decodeHandshake(viewOf(golden(name)), 0), handshake, name);
  }
});

test('request heads have their golden bytes', () => {
  for (const [name, fields] of Object.entries(HEADS)) {
    const { kind, commandId, ...rest } = fields;
    const command = Object.assign(new StoreCommand({ commandDone: () => {} }), rest);
    const bytes = new Uint8Array(HEAD_BYTES + 8).fill(0xee);
    encodeHead(viewOf(bytes), 8, command, kind, commandId, command.flags, command.payloadCrc);
    assert.is(hexOfBytes(bytes.subarray(8)), hexOfBytes(golden(name)), name);

    const decoded = freshCommand();
    assert.is(decodeHead(viewOf(golden(name)), 0, decoded, kind), STATUS_OK, name);
    const got = Object.fromEntries(Object.keys(rest).map((key) => [key, decoded[key as keyof StoreCommand]]));
    assert.equal(got, rest, name);
    assert.is(decoded.commandId, commandId);
  }
});

test('replies have their golden bytes', () => {
  for (const [name, { kind, ...reply }] of Object.entries(REPLIES)) {
    const bytes = new Uint8Array(REPLY_BYTES).fill(0xee);
    encodeReply(viewOf(bytes), 0, reply);
    assert.is(hexOfBytes(bytes), hexOfBytes(golden(name)), name);
    const decoded: ReplyFrame = { status: 9, metaVersion: 9, commandId: 9, flags: 9, commandSequence: 9, payloadCrc: 9 };
    decodeReply(viewOf(golden(name)), 0, decoded, kind);
    assert.equal(decoded, reply, name);
  }
});

test('every golden file is used', () => {
  assert.equal(readdirSync(FOLDER).sort(), [...seenFiles].sort());
});

test('a version 1 head means nothing in the bytes that version 2 added', () => {
  const bytes = golden('v2-write');
  const command = freshCommand();
  assert.is(decodeHead(viewOf(bytes), 0, command, KIND_LEGACY), STATUS_OK);
  assert.equal([command.flags, command.attachEpoch, command.payloadCrc, command.token, command.sequence], [0, 0, 0, 0, 0]);
});

test('FLAG_CRC on a request without a payload means nothing: on reads it is the answer of the store', () => {
  const bytes = golden('v2-read');
  bytes[1] = FLAG_CRC;
  const command = freshCommand();
  assert.is(decodeHead(viewOf(bytes), 0, command, KIND_CLIENT), STATUS_OK);
  assert.is(command.flags, 0);
});

test('a pooled command keeps nothing of the request before', () => {
  const command = freshCommand();
  decodeHead(viewOf(golden('v2-replicate-write')), 0, command, KIND_REPLICATION);
  decodeHead(viewOf(golden('v2-flush')), 0, command, KIND_CLIENT);
  assert.equal([command.sequence, command.commitMark, command.flags, command.payloadCrc], [0, 0, 0, 0]);
});

test('opcodes are refused on connections that may not carry them', () => {
  const refused: readonly (readonly [number, ConnectionKind])[] = [
    [OP_REPLICATE_WRITE, KIND_CLIENT],
    [OP_REPLICATE_TRIM, KIND_CLIENT],
    [OP_READ_REPLICA, KIND_CLIENT],
    [OP_WRITE, KIND_REPLICATION],
    [OP_READ, KIND_REPLICATION],
    [OP_FLUSH, KIND_LEGACY],
    [OP_TRIM, KIND_LEGACY],
    [OP_REPLICATE_WRITE, KIND_LEGACY],
    [14, KIND_LEGACY],
    [0, KIND_CLIENT],
    [255, KIND_CLIENT],
  ];
  for (const [opcode, kind] of refused)
    assert.is(decodeWith({ opcode, kind, length: 4096 }), STATUS_INVALID_OPCODE, `opcode ${opcode} kind ${kind}`);
});

test('lengths, alignment and offsets have limits', () => {
  const cases: readonly (readonly [number, number, number, ConnectionKind, number])[] = [
    [OP_READ, 0, MAX_IO_BYTES, KIND_CLIENT, STATUS_OK],
    [OP_READ, 0, MAX_IO_BYTES + 512, KIND_CLIENT, STATUS_INVALID_FIELD],
    [OP_READ, 0, MAX_IO_V1_BYTES, KIND_LEGACY, STATUS_OK],
    [OP_READ, 0, MAX_IO_V1_BYTES + 512, KIND_LEGACY, STATUS_INVALID_FIELD],
    [OP_WRITE, 512, 511, KIND_CLIENT, STATUS_INVALID_FIELD],
    [OP_WRITE, 511, 512, KIND_CLIENT, STATUS_INVALID_FIELD],
    [OP_WRITE, 0, 0, KIND_CLIENT, STATUS_INVALID_FIELD],
    [OP_TRIM, 512, MAX_TRIM_BYTES, KIND_CLIENT, STATUS_OK],
    [OP_TRIM, 0, MAX_TRIM_BYTES + 512, KIND_CLIENT, STATUS_INVALID_FIELD],
    [OP_QUERY_WRITTEN, 4096, MAX_TRIM_BYTES, KIND_CLIENT, STATUS_OK],
    [OP_QUERY_WRITTEN, 512, 4096, KIND_CLIENT, STATUS_INVALID_FIELD],
    [OP_READ, Number.MAX_SAFE_INTEGER - 511, 512, KIND_CLIENT, STATUS_OUT_OF_RANGE],
    [OP_READ, Number.MAX_SAFE_INTEGER - 1023, 512, KIND_CLIENT, STATUS_OK],
    [OP_FLUSH, 77, 3, KIND_CLIENT, STATUS_OK],
  ];
  for (const [opcode, offset, length, kind, wanted] of cases) {
    assert.is(decodeWith({ opcode, offset, length, kind }), wanted, `opcode ${opcode} at ${offset} length ${length}`);
  }
});

test('64-bit fields from 2^53 on are malformed, not rounded', () => {
  for (const at of [8, 32, 56]) {
    const bytes = golden('v2-write');
    viewOf(bytes).setUint32(at + 4, 0x200000, true);
    assert.is.not(decodeHead(viewOf(bytes), 0, freshCommand(), KIND_CLIENT), STATUS_OK, `field at ${at}`);
  }
  const handshake = golden('v2-handshake');
  viewOf(handshake).setUint32(12, 0xffffffff, true);
  viewOf(handshake).setUint32(28, 0xffffffff, true);
  const decoded = decodeHandshake(viewOf(handshake), 0);
  assert.equal([decoded.volumeId, decoded.token], [-1, -1]);
});

test('the commit mark is known only when it is less than 65535 behind', () => {
  for (const [sequence, commitMark, wanted] of [
    [70000, 70000, 70000],
    [70000, 4466, 4466],
    [70000, 4465, 0],
    [5, 9, 0],
  ] as const) {
    const bytes = new Uint8Array(HEAD_BYTES);
    const command = Object.assign(new StoreCommand({ commandDone: () => {} }), {
      opcode: OP_REPLICATE_TRIM,
      length: 512,
      sequence,
      commitMark,
    });
    encodeHead(viewOf(bytes), 0, command, KIND_REPLICATION, 0, 0, 0);
    const decoded = freshCommand();
    decodeHead(viewOf(bytes), 0, decoded, KIND_REPLICATION);
    assert.equal([decoded.sequence, decoded.commitMark], [sequence, wanted]);
  }
});

test('payload lengths follow from opcode and length', () => {
  assert.equal([payloadBytesToStore(OP_WRITE, 4096), payloadBytesFromStore(OP_WRITE, 4096)], [4096, 0]);
  assert.equal([payloadBytesToStore(OP_READ, 4096), payloadBytesFromStore(OP_READ, 4096)], [0, 4096]);
  assert.equal([payloadBytesToStore(OP_TRIM, 4096), payloadBytesFromStore(OP_TRIM, 4096)], [0, 0]);
  assert.equal(
    [4096, 32768, 36864, MAX_TRIM_BYTES].map((length) => payloadBytesFromStore(OP_QUERY_WRITTEN, length)),
    [1, 1, 2, 32768],
  );
});

test('the kind of a connection follows from version and volume', () => {
  assert.equal(
    [kindOf(1, 0), kindOf(1, VOLUME), kindOf(2, VOLUME), kindOf(2, 0)],
    [KIND_LEGACY, KIND_LEGACY, KIND_CLIENT, KIND_REPLICATION],
  );
});

function freshCommand(): ServerCommand {
  return new ServerCommand({ commandDone: () => {}, commandFree: () => {} });
}

function decodeWith(fields: { opcode: number; offset?: number; length?: number; kind: ConnectionKind }): number {
  const bytes = new Uint8Array(HEAD_BYTES);
  const { kind, ...rest } = fields;
  const command = Object.assign(new StoreCommand({ commandDone: () => {} }), {
    volumeId: VOLUME,
    snapshotSequence: SNAPSHOT_HEAD,
    ...rest,
  });
  encodeHead(viewOf(bytes), 0, command, kind, 1, FLAG_CRC, 0);
  return decodeHead(viewOf(bytes), 0, freshCommand(), kind);
}

test.run();
