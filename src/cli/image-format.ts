import { extname } from 'node:path';

import type { Words } from './words.ts';

/** Of an image that is written; the names are qemu-img's, except that it calls vhd `vpc`. */
export type OutputFormat = 'raw' | 'qcow2' | 'vmdk' | 'vhd' | 'vhdx' | 'vdi';

/** For `--format` of what writes images. */
export const OUTPUT_FORMATS = ['raw', 'qcow2', 'vmdk', 'vhd', 'vpc', 'vhdx', 'vdi'] as const;

const BY_EXTENSION = new Map<string, OutputFormat>([
  ['raw', 'raw'],
  ['img', 'raw'],
  ['qcow2', 'qcow2'],
  ['vmdk', 'vmdk'],
  ['vhd', 'vhd'],
  ['vpc', 'vhd'],
  ['vhdx', 'vhdx'],
  ['vdi', 'vdi'],
]);

/** What the end of a file's name says, in either case; null where it says nothing. */
export function formatOfName(path: string): OutputFormat | null {
  return BY_EXTENSION.get(extname(path).slice(1).toLowerCase()) ?? null;
}

/**
 * In which format an image is written: as `--format` says, else by the file's name, else raw. `note`: what a person should
 * know, as it may not be what they think; null for nothing. Throws ConfigError for what cannot be.
 */
export function outputFormat(
  words: Words,
  path: string,
): { readonly format: OutputFormat; readonly note: string | null } {
  const given = words.choice('format', OUTPUT_FORMATS);
  const wished: OutputFormat | undefined = given === 'vpc' ? 'vhd' : given;
  if (path === '-') {
    if (wished === undefined || wished === 'raw') return { format: 'raw', note: null };
    throw words.wrong(`${wished} cannot be written to a stream: give a file`);
  }
  const named = formatOfName(path);
  if (wished === undefined) {
    if (named !== null) return { format: named, note: null };
    return { format: 'raw', note: `${path} is written as a raw image: its name tells no format (--format does)` };
  }
  const note =
    named === null || named === wished ? null : `${path} is written as ${wished}, as --format says, whatever its name`;
  return { format: wished, note };
}

/** What qemu-img is told to make a format. */
export function qemuOutput(format: Exclude<OutputFormat, 'raw'>): readonly string[] {
  // Of the size that it is given, to the byte, instead of whole cylinders of a disk of 1990.
  if (format === 'vhd') return ['-O', 'vpc', '-o', 'subformat=dynamic,force_size=on'];
  return ['-O', format];
}
