/** Brings the pages of docs/manual to what the program prints: `npm run manual`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANUAL, manualPages } from './pages.ts';

await mkdir(MANUAL, { recursive: true });
for (const [file, text] of await manualPages()) await writeFile(join(MANUAL, file), text);
