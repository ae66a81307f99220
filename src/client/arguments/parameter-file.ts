/** Values that a word only points to: `file://` holds text, `fileb://` bytes, `http://` and `https://` name a page. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Surroundings } from '#client/command.ts';
import { repr } from './python-text.ts';

type Around = Pick<Surroundings, 'environment' | 'home'>;

const REMOTE = /^https?:\/\//;

/** Says why a file or a page cannot be had. */
export class LoadingError extends Error {
  override readonly name = 'LoadingError';
}

/** What the word points to on this machine; null: it points nowhere. Throws LoadingError. */
export function localValue(word: string, around: Around): string | Uint8Array | null {
  if (word.startsWith('fileb://')) return bytesOf(word, expandedPath(word.slice('fileb://'.length), around));
  if (!word.startsWith('file://')) return null;
  const path = expandedPath(word.slice('file://'.length), around);
  const bytes = bytesOf(word, path);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes).replaceAll(/\r\n?/g, '\n');
  } catch {
    throw new LoadingError(
      `Unable to load paramfile (${path}), text contents could not be decoded.  If this is a binary file, please use the ` +
        'fileb:// prefix instead of the file:// prefix.',
    );
  }
}

/** What the word points to, also elsewhere; null: it points nowhere. Throws LoadingError. */
export async function pointedValue(word: string, around: Around): Promise<string | Uint8Array | null> {
  return REMOTE.test(word) ? page(word) : localValue(word, around);
}

/** A path with `~` and the variables of the environment put in. */
export function expandedPath(path: string, { environment, home }: Around): string {
  const atHome = /^~(?=\/|$)/.test(path) ? join(home, path.slice(1)) : path;
  return atHome.replaceAll(
    /\$(?:(\w+)|\{([^}]*)\})/g,
    (whole, bare: string | undefined, braced: string | undefined) => {
      return environment[bare ?? braced ?? ''] ?? whole;
    },
  );
}

export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** What Python calls the errors of the system. */
const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: '[Errno 2] No such file or directory',
  EACCES: '[Errno 13] Permission denied',
  ENOTDIR: '[Errno 20] Not a directory',
  EISDIR: '[Errno 21] Is a directory',
};

function bytesOf(word: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const reason = SYSTEM_ERRORS[code];
    const why = reason === undefined ? String(error) : `${reason}: ${repr(path)}`;
    throw new LoadingError(`Unable to load paramfile ${word}: ${why}`, { cause: error });
  }
}

async function page(uri: string): Promise<string> {
  try {
    const response = await fetch(uri);
    if (response.status !== 200) throw new LoadingError(`received non 200 status code of ${response.status}`);
    return await response.text();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new LoadingError(`Unable to retrieve ${uri}: ${why}`, { cause: error });
  }
}
