/** Writes a manual page for each command, service, operation and waiter: `npm run man -- DIR` (default: man). For packages. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { manualPages } from './manual-pages.ts';

const directory = resolve(process.argv[2] ?? 'man', 'man1');
mkdirSync(directory, { recursive: true });
let count = 0;
for (const [name, text] of await manualPages()) {
  writeFileSync(join(directory, `${name}.1`), text);
  count += 1;
}
process.stdout.write(`${count} manual pages in ${directory}\n`);
