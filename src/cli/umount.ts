import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';

import { CommandError } from './command-error.ts';
import { MountRecords } from './mount-record.ts';
import { undoMount } from './mount-undo.ts';
import { Words } from './words.ts';

export const UMOUNT_USAGE = `Takes away what "varve mount" mounted: all that was written is on the disk when it returns.

usage: varve umount DIRECTORY [--data DIR]
       varve umount --list [--json]

  --list             what is mounted
  --data DIR         the server's data directory
`;

/** `varve umount …`. Throws ConfigError for a wrong command line. */
export async function umountCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('umount', rest, {
    list: { type: 'boolean' },
    json: { type: 'boolean' },
    data: { type: 'string' },
  });
  if (words.flag('list')) {
    words.take();
    const all = await (await MountRecords.open(words.text('data'))).all();
    if (words.flag('json')) process.stdout.write(`${JSON.stringify({ mounts: all }, null, 2)}\n`);
    else for (const { name, directory, way } of all) process.stdout.write(`${name}  ${directory}  ${way}\n`);
    return;
  }
  const [directory] = words.take('which directory?');
  const records = await MountRecords.open(words.text('data'));
  const mounted = await records.find(await pathOf(directory));
  if (mounted === null) {
    const all = await records.all();
    const others =
      all.length === 0 ? 'nothing is mounted' : `mounted are: ${all.map((one) => one.directory).join(', ')}`;
    throw new CommandError(`varve mounted nothing at ${directory}; ${others}`);
  }
  await undoMount(records, mounted);
}

/** A directory whose server is gone cannot be looked at. */
async function pathOf(directory: string): Promise<string> {
  return await realpath(directory).catch(() => resolve(directory));
}
