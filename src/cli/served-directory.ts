import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { ConfigError, type ConfigOptions, DATA_DEFAULT, dataDirectoryOf } from '#src/config.ts';

/** Where the unit of systemd keeps everything (packaging/systemd). */
const SYSTEM_DATA = '/var/lib/varve';

/**
 * The data directory of the server that a command means: what `--data` or VARVE_DATA says, else the `.varve` of this
 * directory or of one above it, else the system's. Where there is none of them: what `varve serve` would take here.
 * Throws ConfigError where that is another user's.
 */
export function servedDirectory(
  options: Pick<ConfigOptions, 'data'>,
  workingDirectory = process.cwd(),
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const said = options.data ?? environment['VARVE_DATA'];
  if (said !== undefined) return dataDirectoryOf(options, environment);
  for (let place = workingDirectory; ; place = dirname(place)) {
    const directory = join(place, DATA_DEFAULT);
    if (isOwn(directory)) return directory;
    if (place === dirname(place)) break;
  }
  if (existsSync(SYSTEM_DATA)) return SYSTEM_DATA;
  const here = join(workingDirectory, DATA_DEFAULT);
  if (existsSync(here)) throw new ConfigError(`${here} is another user's; --data ${here} if it is meant`);
  return here;
}

/** A directory of this user's, or of root's: what another user has put in the way names a server of theirs. */
function isOwn(directory: string): boolean {
  const found = statSync(directory, { throwIfNoEntry: false });
  return found?.isDirectory() === true && (found.uid === 0 || found.uid === process.getuid?.());
}
