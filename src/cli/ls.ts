import type { FileNode } from '#files/file-system.ts';
import { FileSystemError } from '#files/file-system-error.ts';
import { EnteredOnce, type Listed, listDirectory, nodeAt } from '#files/paths.ts';

import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import { type FilesSource, openFiles, partitionOf, placeOf } from './files-source.ts';
import { modeWords, nameWords, nodeView, TextOutput, timeWords } from './files-words.ts';
import { Interrupt } from './image-interrupt.ts';
import { type Column, tableLines } from './table.ts';
import { Words } from './words.ts';

export const LS_USAGE = `Lists files inside a snapshot, disk or volume: ext2, ext3, ext4 and FAT, without mounting anything.

usage: varve ls NAME|ID[:PATH] [options]

  -l                 kind and mode, links, owner, group, size, time of the last change (UTC), name
  -R                 also what is in the directories below
  --partition N      of a disk with several file systems: which (default: the only ext one, else the only FAT one)
  --json             all that is known of each
  --data DIR         the server's data directory

Only the blocks that are needed are fetched, so a snapshot can be looked into as soon as it is made. A file system that was
in use is shown as it is once its journal is replayed, which happens in memory.
`;

/** What was listed, in what way. */
interface Listing {
  readonly source: FilesSource;
  readonly output: TextOutput;
  readonly long: boolean;
  readonly recursive: boolean;
  readonly json: boolean;
  readonly signal: AbortSignal;
  /** What could not be read. */
  readonly troubles: string[];
}

/** `varve ls …`. Throws ConfigError for a wrong command line. */
export async function lsCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('ls', rest, {
    l: { type: 'boolean' },
    R: { type: 'boolean' },
    json: { type: 'boolean' },
    partition: { type: 'string' },
    data: { type: 'string' },
  });
  const [what] = words.take('of which snapshot or disk? Give NAME:PATH');
  const { name, path } = placeOf(what);
  const partition = partitionOf(words);
  using interrupt = new Interrupt();
  await using source = await openFiles(words.text('data'), name, partition);
  const listing: Listing = {
    source,
    output: new TextOutput(),
    long: words.flag('l'),
    recursive: words.flag('R'),
    json: words.flag('json'),
    signal: interrupt.signal,
    troubles: [],
  };
  try {
    await list(listing, path);
  } catch (error) {
    if (error instanceof FileSystemError) throw new CommandError(`${name}: ${error.message}`);
    throw error;
  } finally {
    await listing.output.flush();
  }
  if (listing.troubles.length > 0) {
    for (const trouble of listing.troubles) process.stderr.write(`varve: ${trouble}\n`);
    throw new CommandError(`${counted(listing.troubles.length, 'file')} could not be read`);
  }
}

async function list(listing: Listing, path: string): Promise<void> {
  const { output, json, recursive } = listing;
  const { files, part } = listing.source;
  const node = await nodeAt(files, path, { follow: path.endsWith('/') || !listing.long });
  const entries = new Separated(output, ',\n');
  if (json) {
    const about = { partition: part.partition?.number ?? null, fileSystem: files.kind, label: files.label };
    await output.write(`${JSON.stringify({ ...about, notes: files.notes }, null, 2).slice(0, -2)},\n  "entries": [\n`);
  }
  if (node.kind !== 'directory') {
    await show(listing, entries, '', [{ name: Buffer.from(path), node }]);
  } else {
    await walk(listing, entries, { path: path.replace(/\/+$/, ''), node }, recursive);
  }
  if (json) await output.write('\n  ]\n}\n');
}

/** The directory, and with `recursive` all below it, each before what is in it. */
async function walk(
  listing: Listing,
  entries: Separated,
  top: { readonly path: string; readonly node: FileNode },
  recursive: boolean,
): Promise<void> {
  const once = new EnteredOnce();
  const pending = [{ ...top, depth: 0 }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    listing.signal.throwIfAborted();
    const { path, node, depth } = next;
    try {
      once.enter(node, depth);
      const listed = await listDirectory(node);
      if (recursive && !listing.json) {
        await listing.output.write(
          `${depth === 0 && entries.isEmpty ? '' : '\n'}${nameWords(Buffer.from(path || '/'))}:\n`,
        );
        entries.mark();
      }
      await show(listing, entries, path, listed);
      if (!recursive) return;
      for (const one of listed.toReversed()) {
        if (one.node?.kind !== 'directory') continue;
        pending.push({ path: `${path}/${one.name.toString()}`, node: one.node, depth: depth + 1 });
      }
    } catch (error) {
      if (!(error instanceof FileSystemError) || depth === 0) throw error;
      listing.troubles.push(`${nameWords(Buffer.from(path))}: ${error.message}`);
    }
  }
}

interface Row {
  readonly name: string;
  readonly node: FileNode;
}

const COLUMNS: readonly Column<Row>[] = [
  { heading: '', cell: ({ node }) => modeWords(node.kind, node.mode) },
  { heading: '', cell: ({ node }) => String(node.linkCount), isNumber: true },
  { heading: '', cell: ({ node }) => String(node.uid), isNumber: true },
  { heading: '', cell: ({ node }) => String(node.gid), isNumber: true },
  {
    heading: '',
    cell: ({ node }) => (node.device === null ? String(node.sizeBytes) : `${node.device.major}, ${node.device.minor}`),
    isNumber: true,
  },
  { heading: '', cell: ({ node }) => timeWords(node.modified) },
  { heading: '', cell: ({ name }) => name },
];

async function show(listing: Listing, entries: Separated, directory: string, listed: readonly Listed[]): Promise<void> {
  const rows: Row[] = [];
  for (const one of listed) {
    const name = nameWords(one.name);
    if (one.node === null) {
      listing.troubles.push(`${directory}/${name}: ${one.error.message}`);
      continue;
    }
    const target = await targetOf(listing, one.node, `${directory}/${name}`);
    if (listing.json) {
      const path = one.name[0] === 0x2f ? one.name.toString() : `${directory}/${one.name.toString()}`;
      await entries.write(
        `    ${JSON.stringify({ ...nodeView(path, one.node), ...(target === null ? {} : { target }) })}`,
      );
    } else if (listing.long) rows.push({ name: target === null ? name : `${name} -> ${target}`, node: one.node });
    else await listing.output.write(`${name}${one.node.kind === 'directory' ? '/' : ''}\n`);
  }
  if (rows.length > 0) await listing.output.write(`${tableLines(COLUMNS, rows).slice(1).join('\n')}\n`);
}

/** Where a symlink leads; null for anything else, and for one that cannot be read. */
async function targetOf(listing: Listing, node: FileNode, path: string): Promise<string | null> {
  if (node.kind !== 'symlink' || !(listing.long || listing.json)) return null;
  try {
    return nameWords(await node.linkTarget());
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    listing.troubles.push(`${path}: ${error.message}`);
    return null;
  }
}

/** Texts with something between them. */
class Separated {
  readonly #output: TextOutput;
  readonly #separator: string;
  #isEmpty = true;

  constructor(output: TextOutput, separator: string) {
    this.#output = output;
    this.#separator = separator;
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** Something was written by other ways. */
  mark(): void {
    this.#isEmpty = false;
  }

  async write(text: string): Promise<void> {
    await this.#output.write(this.#isEmpty ? text : `${this.#separator}${text}`);
    this.#isEmpty = false;
  }
}
