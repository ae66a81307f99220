import { resolve } from 'node:path';

import { askServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { type ImageRange, type ImageSource, piecesOf } from './image-copy.ts';
import { outputFormat } from './image-format.ts';
import { Interrupt } from './image-interrupt.ts';
import { NbdClient } from './image-nbd-client.ts';
import { Words } from './words.ts';
import { writeConverted, writeRawFile, writeRawStream } from './image-write.ts';
import { servedDirectory } from './served-directory.ts';

export const EXPORT_USAGE = `Writes a disk, volume or snapshot of the running server as an image.

usage: varve export NAME|ID FILE|- [options]

  FILE                     must not be there yet; it gets its name when it is complete ("FILE.partial" until then)
  -                        standard output (raw only)
  --format FORMAT          raw, qcow2, vmdk, vhd, vhdx or vdi; default: by the name of FILE, else raw; all but raw
                           need qemu-img
  --json                   what was written, as JSON
  --data DIR               the server's data directory

Holes stay holes. A disk in use is read while it changes: for the state of one instant, export a snapshot of it.
`;

/** Read at once. */
const PIECE_BYTES = 1024 * 1024;
/** Asked about at once: the server answers as far as it likes. */
const MAP_BYTES = 1024 * 1024 * 1024;

/** `varve export …`. Throws ConfigError for a wrong command line. */
export async function exportCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('export', rest, {
    data: { type: 'string' },
    format: { type: 'string' },
    json: { type: 'boolean' },
  });
  const [name, path] = words.take(
    'which disk, volume or snapshot? Give a name or an id',
    'where to? Give a file, or -',
  );
  const json = words.flag('json');
  if (json && path === '-') throw words.wrong('--json: the image itself goes to standard output');
  const { format, note } = outputFormat(words, path);
  const data = words.text('data');
  servedDirectory({ data }); // A wrong one is told of before anything is asked.

  if (note !== null) process.stderr.write(`varve: ${note}\n`);
  using interrupt = new Interrupt();
  const { uri, readOnly } = await addressOf(data, name);
  if (!readOnly) {
    process.stderr.write(`varve: ${name} may change while it is read; a snapshot of it would be of one instant\n`);
  }
  await using client = await NbdClient.connect(uri);
  if (format !== 'raw') {
    await writeConverted({ uri, sizeBytes: client.sizeBytes }, { path, format }, interrupt.signal);
  } else if (path === '-') await writeRawStream(nbdSource(client), interrupt.signal);
  else await writeRawFile(nbdSource(client), path, interrupt.signal);
  if (json) {
    process.stdout.write(`${JSON.stringify({ file: resolve(path), format, sizeBytes: client.sizeBytes }, null, 2)}\n`);
  }
}

/** Where the running server serves a disk, volume or snapshot. */
export async function addressOf(
  data: string | undefined,
  nameOrId: string,
): Promise<{ readonly uri: string; readonly readOnly: boolean }> {
  const reply = await askServer({ data }, 'GET', `/connect?${new URLSearchParams({ name: nameOrId }).toString()}`);
  if (typeof reply === 'object' && reply !== null && 'uri' in reply && typeof reply.uri === 'string') {
    return { uri: reply.uri, readOnly: 'readOnly' in reply && reply.readOnly === true };
  }
  throw new CommandError('the server answered something else than an address; is it of another version?');
}

/** What an export holds, as its server tells it. */
function nbdSource(client: NbdClient): ImageSource {
  return {
    sizeBytes: client.sizeBytes,
    data: () => dataRanges(client),
    read: (offset, length) => client.read(offset, length),
  };
}

async function* dataRanges(client: NbdClient): AsyncGenerator<ImageRange> {
  for (let offset = 0; offset < client.sizeBytes;) {
    for (const { length, zero } of await client.runs(offset, Math.min(MAP_BYTES, client.sizeBytes - offset))) {
      const end = Math.min(offset + length, client.sizeBytes);
      if (!zero) yield* piecesOf(offset, end, PIECE_BYTES);
      offset = end;
    }
  }
}
