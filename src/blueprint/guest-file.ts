import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A file that a guest gets as it stands in the folder `guest`. */
export async function guestFile(name: string): Promise<Buffer> {
  return await readFile(join(import.meta.dirname, 'guest', name));
}
