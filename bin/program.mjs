// Where the programs of the two processes are: the sources of a checkout, or what `npm pack` made of them (build.mjs).
// Node strips no types below node_modules. Plain JavaScript, see node24.mjs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './install.mjs';

const hasSources = existsSync(join(root, 'src', 'cli.ts'));

/** The path of the module `name` of `src`. */
export function programPath(name) {
  return hasSources ? join(root, 'src', `${name}.ts`) : join(root, 'dist', 'src', `${name}.js`);
}
