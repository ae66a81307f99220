import { fstatSync } from 'node:fs';
import { basename } from 'node:path';

import { systemClock } from '#base/clock.ts';

import { Progress } from './bars.ts';
import { CommandError } from './command-error.ts';
import { copyImage, type ImageSource } from './image-copy.ts';
import { type FilePatch, PartialFile, StreamSink } from './image-file.ts';
import { type OutputFormat, qemuOutput } from './image-format.ts';
import { runQemuImg } from './image-qemu.ts';

const LABEL = 'exporting';

/** What is said of an export that did not come to its end, so that nobody looks for it. */
function unfinished(file: PartialFile, error: unknown): CommandError {
  return new CommandError(`${file.path} was not made, and ${file.partialPath} was removed`, { cause: error });
}

/** Writes a raw image, sparse, to a file that is not there yet. */
export async function writeRawFile(source: ImageSource, path: string, signal: AbortSignal): Promise<void> {
  await using file = await PartialFile.create(path);
  try {
    using progress = new Progress({ label: LABEL, totalBytes: source.sizeBytes, clock: systemClock });
    await copyImage(source, file.sink, { signal, onProgress: (bytes) => progress.at(bytes) });
    await file.truncate(source.sizeBytes);
    await file.complete();
  } catch (error) {
    throw unfinished(file, error);
  }
}

/** Writes a raw image to standard output, zeros and all: a stream has no holes. */
export async function writeRawStream(source: ImageSource, signal: AbortSignal): Promise<void> {
  if (process.stdout.isTTY) throw new CommandError('a disk image is nothing for a terminal: redirect standard output');
  const sink = new StreamSink(process.stdout);
  using progress = new Progress({ label: LABEL, totalBytes: source.sizeBytes, clock: systemClock });
  await copyImage(source, sink, { signal, onProgress: (bytes) => progress.at(bytes) });
  await sink.fill(source.sizeBytes);
}

/** Has qemu-img write an image of another format, read from an NBD address, to a file that is not there yet. */
export async function writeConverted(
  from: { readonly uri: string; readonly sizeBytes: number },
  to: { readonly path: string; readonly format: Exclude<OutputFormat, 'raw'> },
  signal: AbortSignal,
): Promise<void> {
  await using file = await PartialFile.create(to.path);
  try {
    using progress = new Progress({ label: LABEL, totalBytes: from.sizeBytes, clock: systemClock });
    await runQemuImg(['convert', '-p', '-f', 'raw', ...qemuOutput(to.format), from.uri, file.partialPath], {
      signal,
      onPercent: (percent) => progress.at((percent / 100) * from.sizeBytes),
    });
    if (to.format === 'vmdk') await file.patch(renameExtent(basename(file.partialPath), basename(file.path)));
    await file.complete();
  } catch (error) {
    throw unfinished(file, error);
  }
}

/** Where QEMU puts the text that describes a sparse vmdk, behind the header's sector; zeros fill what is left of it. */
const DESCRIPTOR_OFFSET = 512;
const DESCRIPTOR_BYTES = 20 * 512;

/** A vmdk names the file that it lies in; other programs than QEMU look for that name. */
function renameExtent(from: string, to: string): FilePatch {
  return {
    offset: DESCRIPTOR_OFFSET,
    length: DESCRIPTOR_BYTES,
    edit: (bytes) => {
      const text = bytes.toString('latin1').replace(/\0+$/, '');
      const [before, after] = [from, to].map((name) => `"${Buffer.from(name).toString('latin1')}"`);
      const renamed = Buffer.from(
        text.replace(before ?? '', () => after ?? ''),
        'latin1',
      );
      return Buffer.concat([renamed, Buffer.alloc(bytes.length - renamed.length)]);
    },
  };
}

/** Whether standard input is a file, and how large; null for a pipe or a terminal. */
export function standardInputBytes(): number | null {
  const found = fstatSync(0);
  return found.isFile() ? found.size : null;
}
