import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';

import { present } from '#base/assert.ts';

import { scatterBlocks } from './block-set.ts';
import { DamageError } from './errors.ts';
import { expandPayload, isCompressed } from './payload.ts';
import {
  checkAddress,
  checkContent,
  checkIdentity,
  checkRecord,
  decryptRecord,
  openRecord,
  parseRecordHeader,
  RECORD_HEADER_BYTES,
  type AccountKeys,
} from './seal.ts';

const decompress = promisify(zstdDecompress);

/** What is in a record of at most this many bytes is decompressed on the event loop: that takes less than to hand it over. */
const INLINE_BYTES_MAX = 64 * 1024;

/** One record of a chain: of a chunk, each stored as the blocks in which it differs from the next, the last one whole. */
export interface ChainLink {
  readonly key: Uint8Array;
  readonly record: Buffer;
}

/** A link of a chain that is damaged. */
export class LinkDamageError extends DamageError {
  readonly link: number;

  constructor(link: number, cause: DamageError) {
    super(cause.message, { cause });
    this.link = link;
  }
}

/**
 * The plaintext of the chain's first link, its address verified, and every record on the way by its tag. The longest step,
 * decompressing, is done in the process's own thread pool: a reader of a chunk waits behind no sealing, and the event loop is
 * not held for longer than an HMAC of 512 KiB, a third of a millisecond. (The pool could do the others too, but to hand them
 * over costs the event loop as much as doing them: their input is copied.)
 * Throws LinkDamageError; a chunk that does not have its address is told of as the first link's. The records must not change
 * meanwhile.
 */
export async function unsealChain(keys: AccountKeys, chain: readonly ChainLink[]): Promise<Buffer> {
  const opened = await Promise.all(
    chain.map(async (link, at) => {
      try {
        return await openLink(keys, link, chain[at + 1]?.key ?? null);
      } catch (error) {
        throw error instanceof DamageError ? new LinkDamageError(at, error) : error;
      }
    }),
  );
  const plain = assemble(opened);
  try {
    checkAddress(keys, 'chunk', present(chain[0], 'a chain has a link').key, plain);
  } catch (error) {
    throw error instanceof DamageError ? new LinkDamageError(0, error) : error;
  }
  return plain;
}

/** The chunk that a chain gives, in the calling thread; each record is verified by its tag, and the address is not. Throws LinkDamageError. */
export function openChain(keys: AccountKeys, chain: readonly ChainLink[]): Buffer {
  const opened = chain.map((link, at) => {
    try {
      const header = headerOf(link, chain[at + 1]?.key ?? null);
      return { header, content: openRecord(keys, link.record, header) };
    } catch (error) {
      throw error instanceof DamageError ? new LinkDamageError(at, error) : error;
    }
  });
  return assemble(opened);
}

/** Whether what the chain gives opens with a data key only; of damage, no. */
export function isUnderDataKey(chain: readonly ChainLink[]): boolean {
  const record = chain[0]?.record;
  return record !== undefined && record.length > RECORD_HEADER_BYTES && record.readUInt16LE(2) !== 0;
}

/** Verifies what can be without the data key: that each link is the record that the one above names, by its tag. Throws LinkDamageError. */
export function checkChain(keys: AccountKeys, chain: readonly ChainLink[]): void {
  for (const [at, link] of chain.entries()) {
    try {
      headerOf(link, chain[at + 1]?.key ?? null);
      checkRecord(keys, link.record);
    } catch (error) {
      throw error instanceof DamageError ? new LinkDamageError(at, error) : error;
    }
  }
}

/** The chunk of one record that is no delta. Throws DamageError. */
export function unsealChunk(keys: AccountKeys, key: Uint8Array, record: Buffer): Promise<Buffer> {
  return unsealChain(keys, [{ key, record }]);
}

interface OpenedLink {
  readonly header: ReturnType<typeof parseRecordHeader>;
  readonly content: Buffer;
}

async function openLink(keys: AccountKeys, link: ChainLink, base: Uint8Array | null): Promise<OpenedLink> {
  const header = headerOf(link, base);
  if (!isCompressed(header.codec) || header.contentBytes <= INLINE_BYTES_MAX) {
    return { header, content: openRecord(keys, link.record, header) };
  }
  const inflated = await inflate(decryptRecord(keys, link.record, header), header.contentBytes);
  const content = expandPayload(header.codec, inflated);
  checkContent(header, content);
  return { header, content };
}

function headerOf({ key, record }: ChainLink, base: Uint8Array | null): ReturnType<typeof parseRecordHeader> {
  const header = parseRecordHeader(record);
  checkIdentity(header, base === null ? 'chunk' : 'delta', key);
  if (base !== null && header.delta?.base.equals(base) !== true) throw new DamageError('the delta has another base');
  return header;
}

function assemble(opened: readonly OpenedLink[]): Buffer {
  const plain = present(opened.at(-1), 'a chain has a link').content;
  for (const { header, content } of opened.slice(0, -1).toReversed()) {
    if (header.delta === null || plain.length !== header.plainBytes) {
      throw new LinkDamageError(0, new DamageError('the delta does not fit its base'));
    }
    scatterBlocks(plain, header.delta.changed, content);
  }
  return plain;
}

async function inflate(payload: Buffer, plainBytes: number): Promise<Buffer> {
  try {
    return await decompress(payload, { chunkSize: Math.max(64, plainBytes), maxOutputLength: plainBytes });
  } catch (error) {
    throw new DamageError('the payload does not decompress', { cause: error });
  }
}
