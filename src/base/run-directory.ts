import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { present } from './assert.ts';

/** Where a server keeps what lives only while it runs. */
export interface RunDirectory {
  /** `<data>/run`: lock files. Always inside the data directory, so that no environment can give one data directory two locks. */
  readonly lockDirectory: string;
  /** Unix sockets: `<data>/run` as well, or a short directory elsewhere when the path would be too long for a socket. */
  readonly socketDirectory: string;
}

/** A socket's path fits in `sun_path`: 108 bytes on Linux, 104 on macOS, with its end; some bytes to spare. */
export const SOCKET_PATH_BYTES_MAX = 100;
/** The longest name of a socket: `snap-`, 17 digits, `.sock`. */
export const SOCKET_NAME_BYTES_MAX = 27;

/** The link in `<data>/run` that remembers a short directory, so that a later process with another environment finds it. */
const SOCKETS_LINK = 'sockets';

/**
 * The directory for sockets: `preferred` (absolute), or a short one in XDG_RUNTIME_DIR or /tmp where a socket's path
 * would be too long. A decision only; openRunDirectory makes it, and remembers it.
 */
export function runDirectory(
  preferred: string,
  options: { readonly environment: Readonly<Record<string, string | undefined>>; readonly uid: number },
): string {
  if (fits(preferred)) return preferred;
  const hash = createHash('sha256').update(preferred).digest('hex').slice(0, 16);
  const runtime = options.environment['XDG_RUNTIME_DIR'];
  const bases = runtime?.startsWith('/') === true ? [runtime, '/tmp'] : ['/tmp'];
  const paths = bases.map((base) => join(base, `varve-${options.uid}-${hash}`));
  return present(paths.find(fits), 'a directory in /tmp is short enough for sockets');
}

/**
 * Makes (or finds) the run directory of a data directory that exists. Directories are 0700 and belong to this user;
 * anything else in their place is an error, because whoever owns the directory of a socket owns the socket.
 */
export function openRunDirectory(
  dataDirectory: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): RunDirectory {
  const lockDirectory = join(resolve(dataDirectory), 'run');
  makePrivate(lockDirectory);
  if (fits(lockDirectory)) return { lockDirectory, socketDirectory: lockDirectory };

  const link = join(lockDirectory, SOCKETS_LINK);
  const remembered = linkTarget(link);
  if (remembered !== null) {
    try {
      makePrivate(remembered);
      return { lockDirectory, socketDirectory: remembered };
    } catch {
      unlinkSync(link); // A login's directory is gone with the login: choose again.
    }
  }
  const socketDirectory = runDirectory(lockDirectory, { environment, uid: process.getuid?.() ?? 0 });
  makePrivate(socketDirectory);
  symlinkSync(socketDirectory, link);
  return { lockDirectory, socketDirectory };
}

/** Removes the socket file that a killed process left, so that its path can be bound again. The caller holds the lock that says nobody listens there. */
export function removeStaleSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} is in the way of a socket`);
  unlinkSync(path);
}

function fits(directory: string): boolean {
  return Buffer.byteLength(directory) + 1 + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX;
}

function linkTarget(link: string): string | null {
  try {
    const target = readlinkSync(link);
    return fits(target) ? target : null;
  } catch {
    return null; // Not made yet.
  }
}

function makePrivate(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
      throw new Error(`make the run directory ${path}`, { cause: error });
    }
  }
  const found = lstatSync(path); // Not through a link: it may point anywhere.
  if (!found.isDirectory()) throw new Error(`the run directory ${path} is not a directory`);
  const user = process.getuid?.();
  if (user !== undefined && found.uid !== user) {
    throw new Error(`the run directory ${path} belongs to user ${found.uid}, not to this one (${user})`);
  }
  if ((found.mode & 0o077) !== 0) chmodSync(path, 0o700);
}
