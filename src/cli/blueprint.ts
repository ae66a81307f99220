import { Words } from './words.ts';

export const BLUEPRINT_USAGE = `Blueprints: the system disks that instances are made from. Each is a public snapshot with a name.

usage: varve blueprint build tiny|debian [options]
       varve blueprint import FILE|URL|- --name NAME [options]
       varve blueprint list [--json]
       varve blueprint remove ID

build    makes an image of Debian packages, and a blueprint of it: "tiny" (64 MiB; a kernel, a shell and ssh; starts in
         seconds) or "debian" (Debian 12 with systemd and cloud-init). Root is not needed for "tiny".
  --output FILE            only write the raw image to FILE; no server is needed
  --mirror URL             of Debian (default: where this machine has Debian 12 from)

import   makes a blueprint of a disk image that boots from a virtio disk: raw, qcow2, vmdk, or a tar archive of one
         (.tar, .tar.gz, .tar.xz, .ova). URL: http or https; "-": standard input (raw only)
  --name NAME              what it is called
  --format raw|qcow2|vmdk  default: by the name of FILE, else raw
  --size-in-gb N           of its disk (default: the image's, rounded up); needed where standard input is a pipe
  --version TEXT, --description TEXT, --group ID, --minimum-power N
                           what clients are told

both:
  --id ID                  default: tiny, debian_12, or made of NAME
  --user NAME              who logs in with the key pair of an instance (default: admin)
  --replace                put it in the place of one of that id
  --region NAME            of the snapshot (default: the server's); instances are made of it in all
  --data DIR               the server's data directory

Downloaded packages are kept in $XDG_CACHE_HOME/varve (~/.cache/varve).
`;

const DATA = { data: { type: 'string' } } as const;
const MADE = {
  ...DATA,
  id: { type: 'string' },
  user: { type: 'string' },
  replace: { type: 'boolean' },
  region: { type: 'string' },
} as const;
const FORMATS = ['raw', 'qcow2', 'vmdk'] as const;

/** `varve blueprint …`. Throws ConfigError for a wrong command line. */
export async function blueprintCommand(rest: readonly string[]): Promise<void> {
  const [verb, ...words] = rest;
  if (verb === 'build') return await buildCommand(words);
  if (verb === 'import') return await importCommand(words);
  if (verb === 'list') return await listCommand(words);
  if (verb === 'remove') return await removeCommand(words);
  throw new Words('blueprint', [], {}).wrong(
    `${verb === undefined ? 'what shall be done' : `there is no "${verb}"`}: build, import, list or remove?`,
  );
}

async function buildCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('blueprint build', rest, {
    ...MADE,
    output: { type: 'string' },
    mirror: { type: 'string' },
  });
  const [what] = words.take('which image? tiny or debian');
  if (what !== 'tiny' && what !== 'debian') throw words.wrong(`tiny and debian can be built, not "${what}"`);
  const { runBlueprintBuild } = await import('./blueprint-build.ts');
  await runBlueprintBuild({
    recipe: what,
    output: words.text('output') ?? null,
    mirror: words.text('mirror') ?? null,
    ...madeOf(words),
  });
}

async function importCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('blueprint import', rest, {
    ...MADE,
    name: { type: 'string' },
    format: { type: 'string' },
    'size-in-gb': { type: 'string' },
    version: { type: 'string' },
    description: { type: 'string' },
    group: { type: 'string' },
    'minimum-power': { type: 'string' },
  });
  const [source] = words.take('which image? Give a file, a URL or -');
  const name = words.text('name');
  if (name === undefined || name === '') throw words.wrong('--name: what shall the blueprint be called?');
  const { runBlueprintImport } = await import('./blueprint-import.ts');
  await runBlueprintImport({
    source,
    name,
    format: words.choice('format', FORMATS) ?? null,
    sizeGib: numberOf(words, 'size-in-gb'),
    version: words.text('version') ?? '1',
    description: words.text('description') ?? name,
    group: words.text('group') ?? null,
    minimumPower: numberOf(words, 'minimum-power') ?? 0,
    ...madeOf(words),
  });
}

async function listCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('blueprint list', rest, { ...DATA, json: { type: 'boolean' } });
  words.take();
  const { printBlueprints } = await import('./blueprint-server.ts');
  await printBlueprints({ data: words.text('data') }, words.flag('json'));
}

async function removeCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('blueprint remove', rest, DATA);
  const [id] = words.take('which blueprint? Give its id');
  const { removeFromServer } = await import('./blueprint-server.ts');
  const removed = await removeFromServer({ data: words.text('data') }, id);
  process.stdout.write(`${removed.id}: removed, with its snapshot ${removed.snapshot}\n`);
}

/** What both ways of making one have. */
function madeOf(words: Words): {
  readonly id: string | null;
  readonly userName: string;
  readonly replaces: boolean;
  readonly region: string | undefined;
  readonly data: string | undefined;
} {
  return {
    id: words.text('id') ?? null,
    userName: words.text('user') ?? 'admin',
    replaces: words.flag('replace'),
    region: words.text('region'),
    data: words.text('data'),
  };
}

function numberOf(words: Words, name: string): number | null {
  const text = words.text(name);
  if (text === undefined) return null;
  if (!/^(?:0|[1-9][0-9]{0,5})$/.test(text)) throw words.wrong(`--${name}: "${text}" is not a whole number`);
  return Number(text);
}
