import { assert } from '#base/assert.ts';

/** A file of an initramfs. `content` of a directory is empty; of a link it is where it leads. */
export interface CpioEntry {
  /** Without a slash at its beginning: `bin/busybox`. Parents come first. */
  readonly path: string;
  /** Kind and permissions, as stat(2) has them: 0o100755. */
  readonly mode: number;
  readonly content: Uint8Array;
}

export const DIRECTORY = 0o040755;
export const PROGRAM = 0o100755;
export const FILE = 0o100644;
export const LINK = 0o120777;

/** An archive in cpio's `newc` form, as the kernel unpacks it (its documentation: driver-api/early-userspace/buffer-format). All belongs to root, and has no time. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const pieces = entries.map((entry, index) => member(entry, index + 1));
  pieces.push(member({ path: 'TRAILER!!!', mode: 0, content: Buffer.alloc(0) }, 0));
  return Buffer.concat(pieces);
}

function member({ path, mode, content }: CpioEntry, inode: number): Buffer {
  assert(!path.startsWith('/'), 'a path in an archive begins at its root');
  const name = Buffer.from(`${path}\0`);
  const links = mode === DIRECTORY ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([padded(Buffer.concat([head, name])), padded(content)]);
}

function padded(bytes: Uint8Array): Uint8Array {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}
