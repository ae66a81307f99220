/** Values that a word only points to: `file://` holds text, `fileb://` bytes, `http://` and `https://` name a page. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Surroundings } from '#client/command.ts';
import { osErrorText } from '#client/failure.ts';
import { repr } from './raw-value.ts';

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

function bytesOf(word: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new LoadingError(`Unable to load paramfile ${word}: ${osErrorText(error)}: ${repr(path)}`, { cause: error });
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
