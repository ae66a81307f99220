import { systemClock } from '#base/clock.ts';
import { compareTrees, type FileChange } from '#files/compare.ts';
import { FileSystemError } from '#files/file-system-error.ts';
import { type OpenedPart, openDisk } from '#files/open-disk.ts';

import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import {
  BLOCK_BYTES,
  type BlockDiff,
  changedChunks,
  CHUNK_BYTES,
  diffChunks,
  heldChunks,
  touches,
} from './diff-blocks.ts';
import { addressOf } from './export.ts';
import { openDiskOf, partitionOf } from './files-source.ts';
import { nodeView, TextOutput } from './files-words.ts';
import { Interrupt } from './image-interrupt.ts';
import type { NbdClient } from './image-nbd-client.ts';
import { Progress } from './bars.ts';
import { formatBytes } from './image-progress.ts';
import { printable } from './table.ts';
import { Words } from './words.ts';

export const DIFF_USAGE = `Says what changed from one snapshot to another: how many bytes, where, and in which files.

usage: varve diff A B [options]

  A, B               snapshots of one disk, or any two snapshots, volumes or disks
  --blocks           the ranges that changed (offset and length in bytes, blocks of 4 KiB) instead of the files
  --partition N      of disks with several file systems: of which the files are compared
  --json             all of it as JSON
  --data DIR         the server's data directory

  +  a file that only B has                M  a file of which the content changed
  -  a file that only A has                m  one of which only the mode, owner or time changed

Of two snapshots in one store only the blocks that differ are read. Files are compared on ext2, ext3, ext4 and FAT.
`;

interface Side extends AsyncDisposable {
  readonly name: string;
  readonly id: string;
  readonly opened: Awaited<ReturnType<typeof openDiskOf>>;
}

/** `varve diff …`. Throws ConfigError for a wrong command line. */
export async function diffCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('diff', rest, {
    blocks: { type: 'boolean' },
    json: { type: 'boolean' },
    partition: { type: 'string' },
    data: { type: 'string' },
  });
  const names = words.take('which two? Give a name or an id', 'and which other one?');
  const partition = partitionOf(words);
  const data = words.text('data');
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  await using before = await openSide(data, names[0]);
  await using after = await openSide(data, names[1]);
  const clients = [before.opened.client, after.opened.client] as const;
  const areSnapshots = before.opened.readOnly && after.opened.readOnly;
  const known = areSnapshots ? await changedChunks(data, before.id, after.id) : null;
  const chunks = known ?? (await heldChunks(clients));
  const blocks = await compareChunks(clients, chunks, signal);
  const output = new TextOutput();
  if (words.flag('json'))
    await writeJson(output, { before, after, blocks, partition, signal, files: !words.flag('blocks') });
  else await writeText(output, { before, after, blocks, partition, signal, files: !words.flag('blocks') });
  await output.flush();
}

async function compareChunks(
  clients: readonly [NbdClient, NbdClient],
  chunks: readonly number[],
  signal: AbortSignal,
): Promise<BlockDiff> {
  const totalBytes = chunks.length * CHUNK_BYTES;
  using progress = new Progress({ label: 'comparing', totalBytes, clock: systemClock });
  return await diffChunks(...clients, chunks, { signal, onProgress: (count) => progress.at(count * CHUNK_BYTES) });
}

async function openSide(data: string | undefined, name: string): Promise<Side> {
  const { uri } = await addressOf(data, name);
  const opened = await openDiskOf(data, name);
  const id = decodeURIComponent(new URL(uri).pathname.slice(1));
  return { name, id, opened, [Symbol.asyncDispose]: async () => await opened[Symbol.asyncDispose]() };
}

interface Found {
  readonly before: Side;
  readonly after: Side;
  readonly blocks: BlockDiff;
  readonly partition: number | null;
  readonly signal: AbortSignal;
  /** Whether files are asked for. */
  readonly files: boolean;
}

async function writeText(output: TextOutput, found: Found): Promise<void> {
  const { before, after, blocks } = found;
  const blockBytes = blocks.ranges.reduce((sum, { length }) => sum + length, 0);
  await output.write(
    blocks.ranges.length === 0
      ? `the bytes of ${before.name} and ${after.name} are the same\n`
      : `${changedWords(blocks.changedBytes)}, in ${counted(blockBytes / BLOCK_BYTES, 'block')} of 4 KiB, ${counted(blocks.ranges.length, 'range')}\n`,
  );
  const [one, other] = [before.opened.client.sizeBytes, after.opened.client.sizeBytes];
  if (one !== other) await output.write(`the size changed: ${formatBytes(one)} -> ${formatBytes(other)}\n`);
  if (!found.files) {
    for (const { offset, length } of blocks.ranges) await output.write(`${offset} ${length}\n`);
    return;
  }
  const troubles: string[] = [];
  const reason = await eachChange(found, troubles, async (change) => await output.write(`${changeWords(change)}\n`));
  await output.flush();
  if (reason !== null) process.stderr.write(`varve: files are not compared: ${printable(reason)}\n`);
  failFor(troubles);
}

async function writeJson(output: TextOutput, found: Found): Promise<void> {
  const { before, after, blocks } = found;
  const side = ({ name, id, opened }: Side): object => ({ name, id, sizeBytes: opened.client.sizeBytes });
  const head = {
    first: side(before),
    second: side(after),
    changedBytes: blocks.changedBytes,
    blockBytes: BLOCK_BYTES,
    changedBlocks: blocks.ranges.reduce((sum, { length }) => sum + length, 0) / BLOCK_BYTES,
    ranges: blocks.ranges,
  };
  await output.write(JSON.stringify(head, null, 2).slice(0, -2));
  const troubles: string[] = [];
  if (found.files) {
    await output.write(',\n  "files": [');
    let separator = '\n';
    const reason = await eachChange(found, troubles, async (change) => {
      await output.write(`${separator}    ${JSON.stringify(changeView(change))}`);
      separator = ',\n';
    });
    await output.write(
      `\n  ],\n  "filesNotCompared": ${JSON.stringify(reason)},\n  "troubles": ${JSON.stringify(troubles)}`,
    );
  }
  await output.write('\n}\n');
  await output.flush();
  failFor(troubles);
}

function failFor(troubles: readonly string[]): void {
  if (troubles.length === 0) return;
  for (const trouble of troubles) process.stderr.write(`varve: ${trouble}\n`);
  throw new CommandError(`${counted(troubles.length, 'file')} could not be compared`);
}

/** Null, or why files cannot be compared at all. */
async function eachChange(
  found: Found,
  troubles: string[],
  take: (change: FileChange) => Promise<void>,
): Promise<string | null> {
  if (found.blocks.ranges.length === 0) return null;
  const { partition, signal } = found;
  let parts: readonly [OpenedPart, OpenedPart];
  try {
    parts = [await openDisk(found.before.opened.disk, partition), await openDisk(found.after.opened.disk, partition)];
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    if (partition !== null) throw new CommandError(error.message);
    return error.message;
  }
  const [one, other] = parts;
  const { offset } = one.part;
  const isAligned = offset === other.part.offset;
  const changes = compareTrees({
    before: one.files,
    after: other.files,
    isChanged: isAligned ? (at, length) => touches(found.blocks.ranges, offset + at, length) : null,
    onTrouble: ({ path, error }) => troubles.push(`${printable(path)}: ${error.message}`),
    signal,
  });
  try {
    for await (const change of changes) await take(change);
  } catch (error) {
    if (error instanceof FileSystemError) throw new CommandError(`the files cannot be compared: ${error.message}`);
    throw error;
  }
  return null;
}

const SIGNS = { added: '+', removed: '-', modified: 'M' } as const;

/** `M /etc/hosts  20 B -> 41 B, time`. */
function changeWords({ path, change, before, after, isContentChanged, attributes }: FileChange): string {
  const node = after ?? before;
  const name = `${printable(path)}${node?.kind === 'directory' ? '/' : ''}`;
  if (change !== 'modified') {
    return `${SIGNS[change]} ${name}${node?.kind === 'file' ? `  ${formatBytes(node.sizeBytes)}` : ''}`;
  }
  const words: string[] = [];
  const [old, fresh] = [before?.sizeBytes ?? 0, after?.sizeBytes ?? 0];
  if (isContentChanged && node?.kind === 'file') {
    words.push(old === fresh ? formatBytes(fresh) : `${formatBytes(old)} -> ${formatBytes(fresh)}`);
  }
  for (const attribute of attributes) {
    words.push(attribute === 'mode' ? `mode ${before?.mode.toString(8)} -> ${after?.mode.toString(8)}` : attribute);
  }
  return `${isContentChanged ? 'M' : 'm'} ${name}${words.length === 0 ? '' : `  ${words.join(', ')}`}`;
}

function changedWords(bytes: number): string {
  const exactly = counted(bytes, 'byte');
  return bytes < 1024 ? `${exactly} changed` : `${formatBytes(bytes)} changed (${exactly})`;
}

function changeView({ path, change, before, after, isContentChanged, attributes }: FileChange): object {
  return {
    path,
    change,
    contentChanged: isContentChanged,
    attributes,
    before: before === null ? null : nodeView(path, before),
    after: after === null ? null : nodeView(path, after),
  };
}
