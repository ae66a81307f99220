import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A new directory for the tests of one file, gone when their process ends. The runner's own `after` at the top of a file
 * is no place to remove it: in a file that awaits between its tests it runs as soon as those known so far have ended.
 */
export function scratchDirectory(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `varve-${name}-`));
  process.once('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}
