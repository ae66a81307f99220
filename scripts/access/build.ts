/** Writes the table of actions and their resources: `node bin/node24.mjs scripts/access/build.ts`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateActions } from './generate.ts';

const path = join(import.meta.dirname, '..', '..', 'src', 'api', 'access', 'actions.json');
const text = await generateActions();
writeFileSync(path, text);
process.stdout.write(`${path}: ${text.length} characters\n`);
