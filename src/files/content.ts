import type { FileNode, FileSystem } from './file-system.ts';

/** A piece of a content that is stored; what is between is zeros. */
export interface ContentPiece {
  readonly offset: number;
  readonly bytes: Buffer;
}

const PIECE_BYTES = 1024 * 1024;
/** Reads that are under way while one piece is taken. */
const READS_MAX = 4;

/** What a file holds, in order, in pieces of at most a MiB and without its holes; reads a little ahead. Throws FileSystemError. */
export async function* piecesOf(files: FileSystem, node: FileNode): AsyncGenerator<ContentPiece> {
  const reading: { readonly offset: number; readonly bytes: Promise<Buffer> }[] = [];
  try {
    for await (const { offset, length, source } of node.content()) {
      if (source.kind === 'hole') continue;
      for (let at = 0; at < length; at += PIECE_BYTES) {
        const count = Math.min(PIECE_BYTES, length - at);
        const bytes =
          source.kind === 'bytes'
            ? Promise.resolve(source.bytes.subarray(at, at + count))
            : files.read(source.at + at, count);
        bytes.catch(() => {}); // Heard of in its turn, or not at all when an earlier one failed.
        reading.push({ offset: offset + at, bytes });
        const first = reading.length >= READS_MAX ? reading.shift() : undefined;
        if (first !== undefined) yield { offset: first.offset, bytes: await first.bytes };
      }
    }
    for (let first = reading.shift(); first !== undefined; first = reading.shift()) {
      yield { offset: first.offset, bytes: await first.bytes };
    }
  } finally {
    // Whoever closes the disk does so after the last read of it.
    await Promise.allSettled(reading.map(({ bytes }) => bytes));
  }
}
