import { once } from 'node:events';
import { stat } from 'node:fs/promises';

import { piecesOf } from '#files/content.ts';
import type { FileNode } from '#files/file-system.ts';
import { FileSystemError } from '#files/file-system-error.ts';
import { nodeAt } from '#files/paths.ts';

import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import { TreeCopy } from './files-copy.ts';
import { type FilesSource, openFiles, partitionOf, type Place, placeOf } from './files-source.ts';
import { Interrupt } from './image-interrupt.ts';
import { formatBytes } from './image-progress.ts';
import { Words } from './words.ts';

export const CP_USAGE = `Copies files out of a snapshot, disk or volume: from ext2, ext3, ext4 and FAT, without mounting anything.

usage: varve cp NAME|ID:PATH... DEST [options]

  DEST               a directory to copy into, a new name for one file or directory, or - for standard output
  -r                 directories, with all that is in them
  --force            replace files that are there already
  --owner            keep owners and groups, setuid and setgid, too (needs root)
  --partition N      of a disk with several file systems: which
  --json             what was copied, as JSON
  --data DIR         the server's data directory

Modes, times, symlinks, hard links and holes are kept; devices, fifos and sockets are left out. NAME:/ copies what is in the
root directory. Whatever the names inside are, nothing is written outside of DEST.
`;

/** `varve cp …`. Throws ConfigError for a wrong command line. */
export async function cpCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('cp', rest, {
    r: { type: 'boolean' },
    force: { type: 'boolean' },
    owner: { type: 'boolean' },
    json: { type: 'boolean' },
    partition: { type: 'string' },
    data: { type: 'string' },
  });
  const destination = words.positionals.at(-1);
  const places = words.positionals.slice(0, -1).map(placeOf);
  const [first] = places;
  if (first === undefined || destination === undefined) throw words.wrong('what, and where to? Give NAME:PATH DEST');
  if (words.positionals.slice(0, -1).some((word) => !word.includes(':')))
    throw words.wrong('which files? Give NAME:PATH');
  if (places.some(({ name }) => name !== first.name)) throw words.wrong('all files must be of one snapshot or disk');
  const partition = partitionOf(words);
  using interrupt = new Interrupt();
  await using source = await openFiles(words.text('data'), first.name, partition);
  try {
    if (destination === '-') await toStandardOutput(source, places, interrupt.signal);
    else {
      const copy = new TreeCopy(source.files, {
        recursive: words.flag('r'),
        force: words.flag('force'),
        owner: words.flag('owner'),
        signal: interrupt.signal,
      });
      await toFiles(source, copy, places, destination);
      report(copy, words.flag('json'));
    }
  } catch (error) {
    if (error instanceof FileSystemError) throw new CommandError(`${source.name}: ${error.message}`);
    throw error;
  }
}

async function toFiles(
  source: FilesSource,
  copy: TreeCopy,
  places: readonly Place[],
  destination: string,
): Promise<void> {
  const isInto = await isDirectory(destination);
  if (places.length > 1 && !isInto)
    throw new CommandError(`${destination} is not a directory, and several files need one`);
  // All are found before anything is written.
  const found: { readonly node: FileNode; readonly path: string }[] = [];
  for (const { path } of places) {
    const name = /([^/]*)\/*$/.exec(path)?.[1] ?? '';
    const isNamed = name !== '' && name !== '.' && name !== '..';
    const node = await nodeAt(source.files, path, { follow: false });
    found.push({ node, path: isInto && isNamed ? `${destination.replace(/\/+$/, '')}/${name}` : destination });
  }
  for (const { node, path } of found) await copy.copy(node, Buffer.from(path));
  await copy.finish();
}

function report({ counts, troubles }: TreeCopy, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify({ ...counts, troubles }, null, 2)}\n`);
  else {
    for (const trouble of troubles) process.stderr.write(`varve: ${trouble}\n`);
    const { fileCount, directoryCount, symlinkCount, bytes } = counts;
    const words = [counted(fileCount, 'file')];
    if (directoryCount > 0) words.push(directoryCount === 1 ? '1 directory' : `${directoryCount} directories`);
    if (symlinkCount > 0) words.push(counted(symlinkCount, 'symlink'));
    process.stderr.write(`${words.join(', ')} copied (${formatBytes(bytes)})\n`);
  }
  if (troubles.length > 0) throw new CommandError(`${counted(troubles.length, 'file')} could not be copied`);
}

async function toStandardOutput(source: FilesSource, places: readonly Place[], signal: AbortSignal): Promise<void> {
  for (const { path } of places) {
    const node = await nodeAt(source.files, path, { follow: true });
    if (node.kind !== 'file') throw new CommandError(`${path} is a ${node.kind}; only files go to standard output`);
    let offset = 0;
    for await (const piece of piecesOf(source.files, node)) {
      await writeZeros(piece.offset - offset, signal);
      await writeOut(piece.bytes, signal);
      offset = piece.offset + piece.bytes.length;
    }
    await writeZeros(node.sizeBytes - offset, signal);
  }
}

const ZEROS = Buffer.alloc(64 * 1024);

async function writeZeros(length: number, signal: AbortSignal): Promise<void> {
  for (let left = length; left > 0; left -= ZEROS.length)
    await writeOut(ZEROS.subarray(0, Math.min(left, ZEROS.length)), signal);
}

async function writeOut(bytes: Buffer, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain', { signal });
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
