import { damaged } from './file-system-error.ts';

/** A name in a directory, and the inode that it is of. */
export interface ExtName {
  readonly inode: number;
  readonly name: Buffer;
}

const HEAD_BYTES = 8;

/**
 * The names in one block of a directory (https://docs.kernel.org/filesystems/ext4/dynamic.html#directory-entries). The nodes
 * of a hash tree and the tails with checksums look like unused entries, so all blocks read alike. Throws FileSystemError.
 */
export function* namesIn(
  block: Buffer,
  options: { readonly inode: number; readonly blockBytes: number },
): Generator<ExtName> {
  for (let at = 0; at < block.length;) {
    const bad = (what: string): Error => damaged(`the directory with inode ${options.inode} has an entry ${what}`);
    if (at + HEAD_BYTES > block.length) throw bad('that is cut');
    const inode = block.readUInt32LE(at);
    const entryBytes = recordBytes(block.readUInt16LE(at + 4), options.blockBytes);
    const nameBytes = block.readUInt8(at + 6); // The byte behind it is the type, or unused.
    if (entryBytes < HEAD_BYTES + 4 || entryBytes % 4 !== 0 || at + entryBytes > block.length) {
      throw bad('of a wrong length');
    }
    if (HEAD_BYTES + nameBytes > entryBytes) throw bad('with a name that is too long');
    if (inode !== 0) yield { inode, name: Buffer.from(block.subarray(at + HEAD_BYTES, at + HEAD_BYTES + nameBytes)) };
    at += entryBytes;
  }
}

/** A length of 64 KiB does not fit into 16 bits. */
function recordBytes(stored: number, blockBytes: number): number {
  if (blockBytes < 65_536) return stored;
  if (stored === 65_535 || stored === 0) return blockBytes;
  return (stored & 0xfffc) | ((stored & 3) << 16);
}
