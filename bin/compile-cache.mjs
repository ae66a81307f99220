// Keeps what Node compiles of the sources beside node_modules. Without it every process strips all types again at its
// start, which costs twice the time and some 40 MB of memory each. Plain JavaScript, see node24.mjs.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import module from 'node:module';
import { join } from 'node:path';
import { root } from './install.mjs';
import { node24 } from './node24.mjs';
import { programPath } from './program.mjs';

/** For this process and all that it starts; fills the cache first where there is none. A cache that cannot be written is done without. */
export function useCompileCache() {
  process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules', '.cache', 'varve');
  const node = node24();
  if (node === null) return;
  if (!existsSync(process.env.NODE_COMPILE_CACHE)) {
    try {
      mkdirSync(process.env.NODE_COMPILE_CACHE, { recursive: true });
    } catch {
      return; // Another's directory: a package that the administrator installed.
    }
    spawnSync(node, [programPath('warm')], { stdio: 'ignore' });
  }
  if (node === process.execPath) module.enableCompileCache(process.env.NODE_COMPILE_CACHE);
}
