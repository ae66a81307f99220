import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { elfNeeds } from './elf.ts';
import { BlueprintError } from './tool.ts';

/** Where Debian's loader looks, beneath the root. */
const PLACES = ['usr/lib/x86_64-linux-gnu', 'usr/lib'];

/**
 * All files that programs of a tree need to run, as [path in the guest, path of the file]: shared libraries, theirs, and the
 * loader. Throws BlueprintError for one that the tree does not have.
 */
export async function sharedLibraries(tree: string, programs: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const waiting = [...programs];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    const needs = elfNeeds(await readFile(file));
    if (needs === null) continue;
    // Links in the tree lead to paths of the guest, not of this machine: the loader's is followed by hand.
    if (needs.loader !== null) found.set(needs.loader.slice(1), located(tree, needs.loader.split('/').at(-1) ?? ''));
    for (const name of needs.libraries) {
      const target = `usr/lib/x86_64-linux-gnu/${name}`;
      if (found.has(target)) continue;
      const source = located(tree, name);
      found.set(target, source);
      waiting.push(source);
    }
  }
  return found;
}

function located(tree: string, name: string): string {
  const path = PLACES.map((place) => join(tree, place, name)).find((one) => existsSync(one));
  if (path === undefined) throw new BlueprintError(`no package brings the library ${name}`);
  return path;
}
