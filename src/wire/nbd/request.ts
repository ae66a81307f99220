import { COMMAND, COMMAND_FLAG, ERRNO, REQUEST_BYTES_MAX, REQUEST_MAGIC, type Errno } from './constants.ts';

export const REQUEST_HEADER_BYTES = 28;

/**
 * One request's header. Made once a connection and filled again for every request, so that the hot path allocates
 * nothing; the cookie is kept as two signed halves, which the engine stores without a heap number.
 */
export interface Request {
  flags: number;
  command: number;
  cookieHigh: number;
  cookieLow: number;
  /** Bytes; may be imprecise above 2^53, which is beyond every export. */
  offset: number;
  length: number;
}

export function blankRequest(): Request {
  return { flags: 0, command: 0, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 };
}

/** Fills `request` from the 28 bytes at `at`. False when the magic is wrong. */
export function decodeRequest(bytes: Buffer, at: number, request: Request): boolean {
  if (bytes.readUInt32BE(at) !== REQUEST_MAGIC) return false;
  request.flags = bytes.readUInt16BE(at + 4);
  request.command = bytes.readUInt16BE(at + 6);
  request.cookieHigh = bytes.readInt32BE(at + 8);
  request.cookieLow = bytes.readInt32BE(at + 12);
  request.offset = bytes.readUInt32BE(at + 16) * 0x1_0000_0000 + bytes.readUInt32BE(at + 20);
  request.length = bytes.readUInt32BE(at + 24);
  return true;
}

/** The client's side of the same, for tests and tools. */
export function encodeRequest(request: {
  readonly flags?: number;
  readonly command: number;
  readonly cookie: bigint;
  readonly offset?: number | bigint;
  readonly length?: number;
}): Buffer {
  const bytes = Buffer.alloc(REQUEST_HEADER_BYTES);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(request.flags ?? 0, 4);
  bytes.writeUInt16BE(request.command, 6);
  bytes.writeBigUInt64BE(request.cookie, 8);
  bytes.writeBigUInt64BE(BigInt(request.offset ?? 0), 16);
  bytes.writeUInt32BE(request.length ?? 0, 24);
  return bytes;
}

/** What was agreed on with the client, as far as a request's validity depends on it. */
export interface Terms {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly structured: boolean;
  /** `base:allocation` was selected. */
  readonly blockStatus: boolean;
}

/** Flags that each command takes beside FUA, which the protocol allows on every command. */
const FLAGS_BY_COMMAND: readonly number[] = flagsByCommand();

function flagsByCommand(): number[] {
  const flags = [0, 0, 0, 0, 0, 0, 0, 0];
  flags[COMMAND.read] = COMMAND_FLAG.df;
  flags[COMMAND.writeZeroes] = COMMAND_FLAG.noHole | COMMAND_FLAG.fastZero;
  flags[COMMAND.blockStatus] = COMMAND_FLAG.reqOne;
  return flags.map((own) => own | COMMAND_FLAG.fua);
}

/**
 * The one place that decides whether a request may be carried out: 0, or the error that the client is told. A request
 * that passes lies inside the export, is of a known command with flags of that command, changes nothing on a read-only
 * export, and is within the size limit if it carries data.
 *
 * Where the document leaves the error open ("Error values"): an empty range is EINVAL; a READ over the limit is EINVAL,
 * with DF EOVERFLOW.
 */
export function requestErrno(request: Request, terms: Terms): Errno {
  const { command, flags, offset, length } = request;
  const allowed = FLAGS_BY_COMMAND[command];
  if (allowed === undefined || (flags & ~allowed) !== 0) return ERRNO.EINVAL;
  switch (command) {
    case COMMAND.read:
      if ((flags & COMMAND_FLAG.df) !== 0 && !terms.structured) return ERRNO.EINVAL;
      if (length > REQUEST_BYTES_MAX) return (flags & COMMAND_FLAG.df) !== 0 ? ERRNO.EOVERFLOW : ERRNO.EINVAL;
      return rangeErrno(request, terms, ERRNO.EINVAL);
    case COMMAND.write:
      if (terms.readOnly) return ERRNO.EPERM;
      return length > REQUEST_BYTES_MAX ? ERRNO.EINVAL : rangeErrno(request, terms, ERRNO.ENOSPC);
    case COMMAND.writeZeroes:
      return terms.readOnly ? ERRNO.EPERM : rangeErrno(request, terms, ERRNO.ENOSPC);
    case COMMAND.trim:
      return terms.readOnly ? ERRNO.EPERM : rangeErrno(request, terms, ERRNO.EINVAL);
    case COMMAND.cache:
      return rangeErrno(request, terms, ERRNO.EINVAL);
    case COMMAND.blockStatus:
      return terms.blockStatus ? rangeErrno(request, terms, ERRNO.EINVAL) : ERRNO.EINVAL;
    case COMMAND.flush:
      return offset === 0 && length === 0 ? ERRNO.none : ERRNO.EINVAL;
    default:
      return ERRNO.none; // Disconnect: whatever else it says, the client wants to go.
  }
}

function rangeErrno(request: Request, terms: Terms, beyond: Errno): Errno {
  if (request.offset + request.length > terms.sizeBytes) return beyond;
  return request.length === 0 ? ERRNO.EINVAL : ERRNO.none;
}
