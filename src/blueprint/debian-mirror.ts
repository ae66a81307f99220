import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BlueprintError } from './tool.ts';

/** Debian 12: what images are built of, whatever the machine itself runs. */
export const SUITE = 'bookworm';
export const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** A line of a machine's apt sources: one place and one suite. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
}

/** The sources of a machine's apt, in both forms in which they are written. None where there is no apt. */
export async function machineSources(directory = '/etc/apt'): Promise<readonly AptSource[]> {
  const files = [join(directory, 'sources.list')];
  const parts = join(directory, 'sources.list.d');
  if (existsSync(parts)) files.push(...(await readdir(parts)).toSorted().map((name) => join(parts, name)));
  const found: AptSource[] = [];
  for (const file of files) {
    if (!existsSync(file)) continue;
    if (file.endsWith('.list')) found.push(...parseList(await readFile(file, 'utf8')));
    if (file.endsWith('.sources')) found.push(...parseSources(await readFile(file, 'utf8')));
  }
  return found;
}

/** `deb [options] URI SUITE COMPONENT…`, one a line. */
export function parseList(text: string): readonly AptSource[] {
  return text.split('\n').flatMap((line) => {
    const words = line.replace(/#.*/, '').trim();
    const match = /^deb\s+(?:\[[^\]]*\]\s*)?(?<uri>\S+)\s+(?<suite>\S+)\s*(?<components>.*)$/.exec(words)?.groups;
    if (match === undefined) return [];
    return [{ uri: match['uri'] ?? '', suite: match['suite'] ?? '', components: wordsOf(match['components']) }];
  });
}

/** deb822: paragraphs of `Field: values`, continued on lines that begin with a space. */
export function parseSources(text: string): readonly AptSource[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  return lines
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap((paragraph) => {
      const fields = new Map<string, string>();
      for (const line of paragraph.replaceAll(/\n[ \t]+/g, ' ').split('\n')) {
        const [, name, value] = /^([A-Za-z-]+):\s*(.*)$/.exec(line) ?? [];
        if (name !== undefined && value !== undefined) fields.set(name.toLowerCase(), value);
      }
      if (!wordsOf(fields.get('types')).includes('deb') || fields.get('enabled') === 'no') return [];
      const components = wordsOf(fields.get('components'));
      return wordsOf(fields.get('uris')).flatMap((uri) =>
        wordsOf(fields.get('suites')).map((suite) => ({ uri, suite, components })),
      );
    });
}

/**
 * The lines of a sources.list for Debian 12: from `mirror` where one is given, else from where the machine itself takes
 * Debian 12. Throws BlueprintError when there is neither.
 */
export function sourceLines(machine: readonly AptSource[], mirror: string | null): readonly string[] {
  const from = (suite: string): string | undefined =>
    machine.find((one) => one.suite === suite && one.components.includes('main'))?.uri;
  const base = mirror ?? from(SUITE);
  if (base === undefined) {
    throw new BlueprintError(
      'this machine does not have Debian 12 from anywhere: say where its packages are with --mirror URL',
    );
  }
  const updates = mirror ?? from(`${SUITE}-updates`) ?? base;
  // Mirrors have it beside Debian itself.
  const security = from(`${SUITE}-security`) ?? `${base.replace(/[/]+$/, '')}-security`;
  return [
    [base, SUITE],
    [updates, `${SUITE}-updates`],
    [security, `${SUITE}-security`],
  ].map(([uri, suite]) => `deb [signed-by=${KEYRING}] ${uri} ${suite} main`);
}

function wordsOf(text: string | undefined): readonly string[] {
  return (text ?? '').split(/\s+/).filter((word) => word !== '');
}
