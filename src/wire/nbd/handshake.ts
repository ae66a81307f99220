import {
  BLOCK_BYTES_PREFERRED,
  EXPORT_FLAG,
  HANDSHAKE,
  INFO,
  MAGIC_HIGH,
  MAGIC_LOW,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  OPTION_REPLY_MAGIC_HIGH,
  OPTION_REPLY_MAGIC_LOW,
  REQUEST_BYTES_MAX,
  STRING_BYTES_MAX,
} from './constants.ts';

export const CLIENT_FLAGS_BYTES = 4;
/** Magic, option number, length of the option's data. */
export const OPTION_HEADER_BYTES = 16;
const OPTION_REPLY_HEADER_BYTES = 20;
const RESERVED_ZEROES_BYTES = 124;

export interface ClientFlags {
  readonly fixedNewstyle: boolean;
  readonly noZeroes: boolean;
}

export interface OptionHeader {
  readonly option: number;
  readonly dataBytes: number;
}

export interface InfoRequest {
  readonly name: string;
  readonly infos: readonly number[];
}

export interface MetaContextRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

/** The first 18 bytes of a newstyle server. */
export function encodeHello(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeUInt32BE(MAGIC_HIGH, 0);
  bytes.writeUInt32BE(MAGIC_LOW, 4);
  bytes.writeUInt32BE(OPTION_MAGIC_HIGH, 8);
  bytes.writeUInt32BE(OPTION_MAGIC_LOW, 12);
  bytes.writeUInt16BE(HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes, 16);
  return bytes;
}

/** Null when the client sets a flag that was not offered; the connection must be closed then. */
export function decodeClientFlags(bytes: Buffer, at: number): ClientFlags | null {
  const flags = bytes.readUInt32BE(at);
  if (flags > (HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes)) return null;
  return {
    fixedNewstyle: (flags & HANDSHAKE.fixedNewstyle) !== 0,
    noZeroes: (flags & HANDSHAKE.noZeroes) !== 0,
  };
}

/** Null when the magic is wrong. */
export function decodeOptionHeader(bytes: Buffer, at: number): OptionHeader | null {
  if (bytes.readUInt32BE(at) !== OPTION_MAGIC_HIGH || bytes.readUInt32BE(at + 4) !== OPTION_MAGIC_LOW) return null;
  return { option: bytes.readUInt32BE(at + 8), dataBytes: bytes.readUInt32BE(at + 12) };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A protocol string: UTF-8 without NUL, at most 4096 bytes. Null when it is not one. */
export function decodeName(bytes: Uint8Array): string | null {
  if (bytes.length > STRING_BYTES_MAX || bytes.includes(0)) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    return null; // Not UTF-8: no name that we could have.
  }
}

/** Data of `OPT_INFO` and `OPT_GO`. Null when it is malformed. */
export function decodeInfoRequest(data: Buffer): InfoRequest | null {
  const reader = new DataReader(data);
  const name = reader.string();
  const count = reader.uint16();
  if (name === null || count === null) return null;
  const infos: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const info = reader.uint16();
    if (info === null) return null;
    infos.push(info);
  }
  return reader.atEnd() ? { name, infos } : null;
}

/** Data of `OPT_LIST_META_CONTEXT` and `OPT_SET_META_CONTEXT`. Null when it is malformed. */
export function decodeMetaContextRequest(data: Buffer): MetaContextRequest | null {
  const reader = new DataReader(data);
  const name = reader.string();
  const count = reader.uint32();
  if (name === null || count === null) return null;
  const queries: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const query = reader.string();
    if (query === null) return null;
    queries.push(query);
  }
  return reader.atEnd() ? { name, queries } : null;
}

export function encodeOptionReply(option: number, reply: number, data: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(OPTION_REPLY_HEADER_BYTES + data.length);
  bytes.writeUInt32BE(OPTION_REPLY_MAGIC_HIGH, 0);
  bytes.writeUInt32BE(OPTION_REPLY_MAGIC_LOW, 4);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(reply, 12);
  bytes.writeUInt32BE(data.length, 16);
  bytes.set(data, OPTION_REPLY_HEADER_BYTES);
  return bytes;
}

/** Data of `REP_SERVER`: one export of a list. */
export function encodeListed(name: string, description: string): Buffer {
  const nameBytes = Buffer.from(name, 'utf8');
  return Buffer.concat([uint32(nameBytes.length), nameBytes, Buffer.from(description, 'utf8')]);
}

/** Data of `REP_META_CONTEXT`. */
export function encodeMetaContext(id: number, name: string): Buffer {
  return Buffer.concat([uint32(id), Buffer.from(name, 'utf8')]);
}

/** Data of `REP_INFO` with `INFO_EXPORT`. */
export function encodeInfoExport(sizeBytes: number, flags: number): Buffer {
  return Buffer.concat([uint16(INFO.export), sizeAndFlags(sizeBytes, flags)]);
}

/** Data of `REP_INFO` with `INFO_NAME` or `INFO_DESCRIPTION`. */
export function encodeInfoText(info: number, text: string): Buffer {
  return Buffer.concat([uint16(info), Buffer.from(text, 'utf8')]);
}

/** Data of `REP_INFO` with `INFO_BLOCK_SIZE`: any alignment is taken, pages are liked best. */
export function encodeInfoBlockSize(): Buffer {
  return Buffer.concat([uint16(INFO.blockSize), uint32(1), uint32(BLOCK_BYTES_PREFERRED), uint32(REQUEST_BYTES_MAX)]);
}

/** The answer to `OPT_EXPORT_NAME`. */
export function encodeExportNameReply(sizeBytes: number, flags: number, noZeroes: boolean): Buffer {
  return Buffer.concat([sizeAndFlags(sizeBytes, flags), Buffer.alloc(noZeroes ? 0 : RESERVED_ZEROES_BYTES)]);
}

/** Transmission flags of an export. Several connections see one cache, so a flush on any of them covers all. */
export function exportFlags(terms: { readonly readOnly: boolean; readonly structured: boolean }): number {
  const always = EXPORT_FLAG.hasFlags | EXPORT_FLAG.sendFlush | EXPORT_FLAG.sendFua;
  const shared = EXPORT_FLAG.canMultiConn | EXPORT_FLAG.sendCache | (terms.structured ? EXPORT_FLAG.sendDf : 0);
  const writing = EXPORT_FLAG.sendTrim | EXPORT_FLAG.sendWriteZeroes | EXPORT_FLAG.sendFastZero;
  return always | shared | (terms.readOnly ? EXPORT_FLAG.readOnly : writing);
}

function sizeAndFlags(sizeBytes: number, flags: number): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 0);
  bytes.writeUInt16BE(flags, 8);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Reads fields one after another; null once the data are too short, so a length that lies reads nothing. */
class DataReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  uint16(): number | null {
    if (this.#data.length - this.#at < 2) return null;
    this.#at += 2;
    return this.#data.readUInt16BE(this.#at - 2);
  }

  uint32(): number | null {
    if (this.#data.length - this.#at < 4) return null;
    this.#at += 4;
    return this.#data.readUInt32BE(this.#at - 4);
  }

  string(): string | null {
    const length = this.uint32();
    if (length === null || length > this.#data.length - this.#at) return null;
    this.#at += length;
    return decodeName(this.#data.subarray(this.#at - length, this.#at));
  }

  atEnd(): boolean {
    return this.#at === this.#data.length;
  }
}
