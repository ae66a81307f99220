import { type ByteReader, checkInside } from '#files/byte-reader.ts';
import { FileSystemError } from '#files/file-system-error.ts';
import { type OpenedPart, openDisk } from '#files/open-disk.ts';

import { CommandError } from './command-error.ts';
import { addressOf } from './export.ts';
import { NbdClient } from './image-nbd-client.ts';
import { printable } from './table.ts';
import type { Words } from './words.ts';

/** The words of a place in a snapshot or disk: `NAME:PATH`. */
export interface Place {
  readonly name: string;
  /** From the root of its file system. */
  readonly path: string;
}

/** A disk, volume or snapshot whose files are read, through its NBD export: only what is needed is fetched. */
export interface FilesSource extends AsyncDisposable, OpenedPart {
  readonly name: string;
  readonly disk: ByteReader;
}

const PARTITION_MAX = 1024;

/** `NAME`, or `NAME:PATH`. A name with a colon in it cannot be told from one with a path: use the id. */
export function placeOf(word: string): Place {
  const colon = word.indexOf(':');
  if (colon < 0) return { name: word, path: '/' };
  const path = word.slice(colon + 1);
  return { name: word.slice(0, colon), path: path.startsWith('/') ? path : `/${path}` };
}

/** The number behind --partition; null when there is none. Throws ConfigError. */
export function partitionOf(words: Words): number | null {
  const text = words.text('partition');
  if (text === undefined) return null;
  const number = /^[0-9]{1,4}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > PARTITION_MAX) throw words.wrong(`--partition: "${text}" is no number of a partition`);
  return number;
}

/** Connects to what has this name. Whoever asks closes it. */
export async function openDiskOf(
  data: string | undefined,
  name: string,
): Promise<AsyncDisposable & { readonly disk: ByteReader; readonly client: NbdClient; readonly readOnly: boolean }> {
  const { uri, readOnly } = await addressOf(data, name);
  const client = await NbdClient.connect(uri);
  const disk: ByteReader = {
    sizeBytes: client.sizeBytes,
    read: async (offset, length) => {
      checkInside(client.sizeBytes, offset, length);
      return await client.read(offset, length);
    },
  };
  return { disk, client, readOnly, [Symbol.asyncDispose]: async () => await client[Symbol.asyncDispose]() };
}

/** Opens the files of a disk, volume or snapshot, and tells on standard error what is to be known about them. */
export async function openFiles(
  data: string | undefined,
  name: string,
  partition: number | null,
): Promise<FilesSource> {
  const opened = await openDiskOf(data, name);
  try {
    if (!opened.readOnly) tell(`${name} may change while it is read; a snapshot of it would be of one instant`);
    const { part, files } = await openDisk(opened.disk, partition);
    for (const note of files.notes) tell(`${name}: ${note}`);
    return { name, disk: opened.disk, part, files, [Symbol.asyncDispose]: opened[Symbol.asyncDispose] };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    if (!(error instanceof FileSystemError)) throw error;
    const isForOthers = error.trouble === 'unsupported' && !error.message.includes('--partition');
    const hint = isForOthers ? `. "varve mount ${name} DIRECTORY --file" shows the disk to other tools` : '';
    throw new CommandError(`the files of ${name} cannot be read: ${error.message}${hint}`);
  }
}

function tell(text: string): void {
  process.stderr.write(`varve: ${printable(text)}\n`);
}
