/**
 * Numbers of the Network Block Device protocol, as the protocol document gives them
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, "Values"). Every number on the wire is big-endian.
 */

/** `NBDMAGIC`, the first eight bytes of a connection, as two 32-bit halves. */
export const MAGIC_HIGH = 0x4e42444d;
export const MAGIC_LOW = 0x41474943;
/** `IHAVEOPT`, before the handshake flags and before every option. */
export const OPTION_MAGIC_HIGH = 0x49484156;
export const OPTION_MAGIC_LOW = 0x454f5054;
export const OPTION_REPLY_MAGIC_HIGH = 0x0003e889;
export const OPTION_REPLY_MAGIC_LOW = 0x045565a9;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Handshake flags of the server and, with the same bits, of the client. */
export const HANDSHAKE = { fixedNewstyle: 1 << 0, noZeroes: 1 << 1 } as const;

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

const ERROR_REPLY = 0x8000_0000;

export const OPTION_REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: ERROR_REPLY + 1,
  policy: ERROR_REPLY + 2,
  invalid: ERROR_REPLY + 3,
  tlsRequired: ERROR_REPLY + 5,
  unknownExport: ERROR_REPLY + 6,
  shutdown: ERROR_REPLY + 7,
  tooBig: ERROR_REPLY + 9,
} as const;

/** What `OPT_INFO` and `OPT_GO` tell. */
export const INFO = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** Transmission flags: what an export can do. */
export const EXPORT_FLAG = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
} as const;

export const COMMAND = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export const COMMAND_FLAG = {
  fua: 1 << 0,
  noHole: 1 << 1,
  df: 1 << 2,
  reqOne: 1 << 3,
  fastZero: 1 << 4,
} as const;

export const CHUNK_FLAG_DONE = 1;

/** Types of structured reply chunks. */
export const CHUNK = { none: 0, offsetData: 1, offsetHole: 2, blockStatus: 5, error: 0x8001 } as const;

/** Error values of replies. They equal Linux's, and are fixed by the protocol. */
export const ERRNO = {
  none: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

export type Errno = (typeof ERRNO)[keyof typeof ERRNO];

/** The one metadata context that the protocol document defines. */
export const BASE_ALLOCATION = 'base:allocation';
export const STATE = { hole: 1 << 0, zero: 1 << 1 } as const;

/** The longest string of the protocol: names, descriptions, queries. */
export const STRING_BYTES_MAX = 4096;
/** The largest READ and WRITE that we take; what clients assume when nothing is said, and what we say. */
export const REQUEST_BYTES_MAX = 32 * 1024 * 1024;
export const BLOCK_BYTES_PREFERRED = 4096;
