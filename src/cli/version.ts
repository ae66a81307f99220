import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Words } from './words.ts';

export const VERSION_USAGE = `usage: varve version [--json]

Prints the versions of Varve and of the Node that runs it.
`;

/** `varve version`. Throws ConfigError for a wrong command line. */
export async function versionCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('version', rest, { json: { type: 'boolean' } });
  words.take();
  const { platform, arch, versions } = process;
  if (words.flag('json')) {
    process.stdout.write(`${JSON.stringify({ varve: version(), node: versions.node, platform, arch }, null, 2)}\n`);
  } else process.stdout.write(`varve/${version()} node/${versions.node} ${platform}-${arch}\n`);
}

/** The version in package.json. */
export function version(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8');
  const value: unknown = JSON.parse(text);
  return typeof value === 'object' && value !== null && 'version' in value ? String(value.version) : 'unknown';
}
