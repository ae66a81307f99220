import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a directory for its owner only, and what is missing above it. Throws an error whose message names the path.
 *
 * Node's own recursive `mkdir` never returns where a directory is there and takes nothing (as /proc does).
 */
export async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = [];
  for (let part = path; ; part = dirname(part)) {
    const found = await stat(part).catch(() => null);
    if (found?.isDirectory() === true) break;
    if (found !== null) throw new Error(`${part} is no directory`);
    missing.unshift(part);
    if (dirname(part) === part) break;
  }
  for (const part of missing) {
    try {
      await mkdir(part, { mode: 0o700 });
    } catch (error) {
      const found = await stat(part).catch(() => null);
      if (found?.isDirectory() === true) continue; // Somebody else was quicker.
      throw new Error(`the directory ${part} cannot be made`, { cause: error });
    }
  }
}
