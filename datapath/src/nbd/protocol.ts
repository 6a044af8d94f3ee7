// The numbers of the NBD protocol (NetworkBlockDevice/nbd, doc/proto.md): fixed newstyle negotiation, simple and
// structured replies, base:allocation. 64-bit magics are given as two halves, as the codecs read and write them.

export const NBD_PORT = 10809;

// Handshake.
export const NBDMAGIC_HIGH = 0x4e42444d;
export const NBDMAGIC_LOW = 0x41474943;
export const IHAVEOPT_HIGH = 0x49484156;
export const IHAVEOPT_LOW = 0x454f5054;
export const OPTION_REPLY_HIGH = 0x0003e889;
export const OPTION_REPLY_LOW = 0x045565a9;

export const FIXED_NEWSTYLE = 1;
export const NO_ZEROES = 2;

export const OPT_EXPORT_NAME = 1;
export const OPT_ABORT = 2;
export const OPT_LIST = 3;
export const OPT_STARTTLS = 5;
export const OPT_INFO = 6;
export const OPT_GO = 7;
export const OPT_STRUCTURED_REPLY = 8;
export const OPT_LIST_META_CONTEXT = 9;
export const OPT_SET_META_CONTEXT = 10;

export const REP_ACK = 1;
export const REP_SERVER = 2;
export const REP_INFO = 3;
export const REP_META_CONTEXT = 4;
const ERROR_BIT = 0x80000000;
export const REP_ERR_UNSUP = ERROR_BIT + 1;
export const REP_ERR_POLICY = ERROR_BIT + 2;
export const REP_ERR_INVALID = ERROR_BIT + 3;
export const REP_ERR_PLATFORM = ERROR_BIT + 4;
export const REP_ERR_UNKNOWN = ERROR_BIT + 6;
export const REP_ERR_SHUTDOWN = ERROR_BIT + 7;
export const REP_ERR_TOO_BIG = ERROR_BIT + 9;

export const INFO_EXPORT = 0;
export const INFO_NAME = 1;
export const INFO_DESCRIPTION = 2;
export const INFO_BLOCK_SIZE = 3;

export const BASE_ALLOCATION = 'base:allocation';
/** Our id for base:allocation once a client has selected it. */
export const BASE_ALLOCATION_ID = 1;
export const STATE_HOLE = 1;
export const STATE_ZERO = 2;

/** Strings of the protocol: export names, descriptions, meta context queries. */
export const MAX_STRING_BYTES = 4096;

// Transmission flags of an export.
export const HAS_FLAGS = 1;
export const READ_ONLY = 2;
export const SEND_FLUSH = 4;
export const SEND_FUA = 8;
export const SEND_TRIM = 32;
export const SEND_WRITE_ZEROES = 64;
export const SEND_DF = 128;
export const CAN_MULTI_CONN = 256;
export const SEND_CACHE = 1024;
export const SEND_FAST_ZERO = 2048;

// Transmission.
export const REQUEST_MAGIC = 0x25609513;
export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_MAGIC = 0x668e33ef;
export const CHUNK_HEAD_BYTES = 20;

export const CMD_READ = 0;
export const CMD_WRITE = 1;
export const CMD_DISC = 2;
export const CMD_FLUSH = 3;
export const CMD_TRIM = 4;
export const CMD_CACHE = 5;
export const CMD_WRITE_ZEROES = 6;
export const CMD_BLOCK_STATUS = 7;

export const CMD_FLAG_FUA = 1;
export const CMD_FLAG_NO_HOLE = 2;
export const CMD_FLAG_DF = 4;
export const CMD_FLAG_REQ_ONE = 8;
export const CMD_FLAG_FAST_ZERO = 16;

export const CHUNK_FLAG_DONE = 1;
export const CHUNK_NONE = 0;
export const CHUNK_OFFSET_DATA = 1;
export const CHUNK_BLOCK_STATUS = 5;
export const CHUNK_ERROR = 0x8001;
export const CHUNK_ERROR_OFFSET = 0x8002;

/** The largest payload that every server must take; larger requests are consumed and answered EINVAL. */
export const MAX_PAYLOAD_BYTES = 32 * 1024 * 1024;

// Errors on the wire: Linux's numbers, but only these.
export const NBD_EPERM = 1;
export const NBD_EIO = 5;
export const NBD_ENOMEM = 12;
export const NBD_EINVAL = 22;
export const NBD_ENOSPC = 28;
export const NBD_EOVERFLOW = 75;
export const NBD_ENOTSUP = 95;
export const NBD_ESHUTDOWN = 108;
