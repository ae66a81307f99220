import { once } from 'node:events';

import type { FileKind, FileNode, FileTime } from '#files/file-system.ts';

import { printable } from './table.ts';

const LETTERS = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  'character-device': 'c',
  'block-device': 'b',
  fifo: 'p',
  socket: 's',
} as const satisfies Record<FileKind, string>;

const SPECIAL = [
  { bit: 0o4000, index: 2, both: 's', alone: 'S' },
  { bit: 0o2000, index: 5, both: 's', alone: 'S' },
  { bit: 0o1000, index: 8, both: 't', alone: 'T' },
] as const;

/** `-rwxr-xr-x`, as ls shows a kind and a mode. */
export function modeWords(kind: FileKind, mode: number): string {
  const letters = Array.from('rwxrwxrwx', (letter, index) => ((mode & (0o400 >> index)) === 0 ? '-' : letter));
  for (const { bit, index, both, alone } of SPECIAL) {
    if ((mode & bit) !== 0) letters[index] = letters[index] === '-' ? alone : both;
  }
  return `${LETTERS[kind]}${letters.join('')}`;
}

const YEAR_MS_MAX = 8.64e15;

/** `2026-11-21T23:50:00Z`. */
export function timeWords({ seconds }: FileTime): string {
  const ms = Math.max(-YEAR_MS_MAX, Math.min(seconds * 1000, YEAR_MS_MAX));
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}

/** The name as text; bytes that are no text are shown as such. Nothing in it steers a terminal. */
export function nameWords(name: Buffer): string {
  return printable(name.toString());
}

/** A file as --json shows it. */
export function nodeView(path: string, node: FileNode): Readonly<Record<string, unknown>> {
  return {
    path,
    kind: node.kind,
    mode: node.mode.toString(8).padStart(4, '0'),
    uid: node.uid,
    gid: node.gid,
    sizeBytes: node.sizeBytes,
    linkCount: node.linkCount,
    modified: timeWords(node.modified),
    ...(node.device === null ? {} : { device: `${node.device.major}:${node.device.minor}` }),
  };
}

const BUFFERED_CHARACTERS = 64 * 1024;

/** Standard output in large pieces, no faster than its reader. */
export class TextOutput {
  #text = '';

  async write(text: string): Promise<void> {
    this.#text += text;
    if (this.#text.length > BUFFERED_CHARACTERS) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
  }
}
