import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes a directory's entries (creations, renames, deletions) durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Replaces a file whole: a reader, now or after a crash, sees the old bytes or the new ones, never a mixture. Durable when it resolves. */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | Iterable<Uint8Array> | string,
  options: { readonly mode?: number } = {},
): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}-${(sequence += 1)}`;
  const file = await open(temporary, 'wx', options.mode ?? 0o600);
  try {
    try {
      const pieces = typeof content === 'string' || content instanceof Uint8Array ? [content] : content;
      for (const piece of pieces) await file.writeFile(piece); // From where the last one ended.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {}); // The first error says more than this one.
    throw error;
  }
  await syncDirectory(dirname(path));
}

let sequence = 0;
