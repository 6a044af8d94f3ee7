// The data plane's frames: PureFlash's handshake (32 bytes), request head (64) and reply (32), little-endian, at
// protocol version 1, and what version 2 puts into the bytes that version 1 leaves reserved.
// Called by the sessions on both ends; layouts are asserted by golden frames in testdata/.
//
// Version history: 1 PureFlash as of 2025 (no checks). 2 adds flush, FUA, trim, write-zeroes, heartbeat, payload CRC32C,
// attach epoch, tokens, replication stamps, 32-bit epochs.

export const PROTOCOL_V1 = 1;
export const PROTOCOL_V2 = 2;

export const HANDSHAKE_BYTES = 32;
export const HEAD_BYTES = 64;
export const REPLY_BYTES = 32;

export const DATA_TCP_PORT = 49162;
export const DATA_RDMA_PORT = 49160;

/** Largest payload of a version 2 request; version 1 allows MAX_IO_V1_BYTES. */
export const MAX_IO_BYTES = 1024 * 1024;
export const MAX_IO_V1_BYTES = 128 * 1024;
export const MAX_IO_DEPTH = 255;
/** Trim and write-zeroes carry no payload and may be longer, within one shard. */
export const MAX_TRIM_BYTES = 1024 * 1024 * 1024;

/**
 * Handshake, both directions.
 *  0 i16 io timeout (unused)      2 i16 queue depth wanted / granted       4 i16, 6 i16 reserved
 *  8 u64 volume id, 0 = a store's replication connection
 * 16 u32 v2: client id (random per volume client and connection index; a new connection supersedes the old one of the same id)
 * 20 i16 protocol version (client) / result errno (store)
 * 22 u16 v2, store's answer: protocol version granted (a version 1 store leaves 0)
 * 24 u64 v2: token: the volume's token, or the cluster's for a replication connection
 */
export const HANDSHAKE = {
  ioTimeout: 0,
  depth: 2,
  volumeId: 8,
  clientId: 16,
  versionOrResult: 20,
  grantedVersion: 22,
  token: 24,
} as const;

/**
 * Request head.
 *  0 u8 opcode     1 u8 v2 flags        2 u16 command id       4 u32 snapshot sequence, 0xFFFFFFFF = head
 *  8 u64 volume id                     16 u64 buffer address (RDMA)   24 u32 rkey (RDMA)
 * 28 u16 meta version (low 16 bits)    30 u16 v2, replication: commit lag = sequence - commit mark, 65535 = unknown
 * 32 u64 offset in the volume          40 u32 length           44 u32 command sequence (re-sends); v2, replication: the generation of the stamp
 * 48 u32 v2 attach epoch               52 u32 v2 CRC32C of the payload (FLAG_CRC)
 * 56 u64 v2: client requests: the volume's token; replication: the sequence of the write's stamp
 */
export const HEAD = {
  opcode: 0,
  flags: 1,
  commandId: 2,
  snapshotSequence: 4,
  volumeId: 8,
  bufferAddress: 16,
  rkey: 24,
  metaVersion: 28,
  commitLag: 30,
  offset: 32,
  length: 40,
  commandSequence: 44,
  attachEpoch: 48,
  payloadCrc: 52,
  tokenOrSequence: 56,
} as const;

/**
 * Reply.
 *  0 u16 status    2 u16 meta version (low 16 bits; with REOPEN: the store's)    4 u16 command id    6 u16 v2 flags
 *  8 u32 command sequence     12 u32 v2 CRC32C of the payload (FLAG_CRC)        16 u64, 24 u64 reserved
 */
export const REPLY = { status: 0, metaVersion: 2, commandId: 4, flags: 6, commandSequence: 8, payloadCrc: 12 } as const;

export const SNAPSHOT_HEAD = 0xffffffff;

/**
 * Version 2: command id of a client session's own heartbeats. A store may send a reply with it unasked, as a sign of life
 * while it takes no requests for want of memory.
 */
export const SESSION_COMMAND_ID = 0xffff;

/** Request flags (version 2). */
export const FLAG_FUA = 1;
/** The payloadCrc field holds the payload's CRC32C (requests: of the write; replies: of the data read). */
export const FLAG_CRC = 2;
/** On REPLICATE_WRITE and REPLICATE_TRIM: part of a recovery or promotion: sets the extents' stamps exactly. */
export const FLAG_RECOVERY = 4;
/** On WRITE_ZEROES: do not punch a hole. */
export const FLAG_NO_HOLE = 8;

// Opcodes: (n << 2) | direction; direction 1 = payload to the store, 2 = payload from the store, 0 = none.
export const OP_WRITE = 1;
export const OP_READ = 2;
export const OP_HEARTBEAT = 4;
export const OP_REPLICATE_WRITE = 5;
/** Version 2 from here on. */
export const OP_FLUSH = 32;
export const OP_TRIM = 36;
export const OP_WRITE_ZEROES = 40;
export const OP_REPLICATE_TRIM = 44;
/** Payload of the reply: one bit per 4 KiB block of [offset, offset + length), 1 = written; length a multiple of 4096. */
export const OP_QUERY_WRITTEN = 50;
/** Reads a secondary's own copy (repair, comparison); the replication connection only. */
export const OP_READ_REPLICA = 54;

export const directionOf = (opcode: number): number => opcode & 3;
