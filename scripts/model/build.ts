/** Writes the generated models: `npm run model`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generate } from './generate.ts';

const root = join(import.meta.dirname, '..', '..');
for (const [path, text] of await generate()) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  process.stdout.write(`${path}: ${text.length} characters\n`);
}
