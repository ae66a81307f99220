import { Words } from './words.ts';

export const IMPORT_USAGE = `Makes a disk of an image, on the running server.

usage: varve import FILE|- --name NAME [options]

  FILE                     the image; "-": standard input (raw only)
  --name NAME              the disk's name
  --format raw|qcow2|vmdk  default: by the name of FILE, else raw; all but raw need qemu-img
  --lightsail, --ec2       a Lightsail disk (the default: these have names; at least 8 GiB), or an EC2 volume (gp3, with
                           the tag Name)
  --size-in-gb N           size of the disk (default: the image's, rounded up to GiB); needed where standard input is a pipe
  --snapshot               make a snapshot of the disk at the end, and wait for it
  --snapshot-name NAME     its name (default: the disk's with "-snapshot")
  --rm                     with --snapshot: remove the disk when its snapshot is complete
  --region NAME            default: the server's
  --json                   what was made, as JSON
  --data DIR               the server's data directory

Zeros are not sent. An image that needs other files (a backing file, extents, a data file) is refused.
What an import that fails or is interrupted (exit code 130) has made is removed again; a disk that holds the whole image stays.
`;

const FORMATS = ['raw', 'qcow2', 'vmdk'] as const;

/** `varve import …`. Throws ConfigError for a wrong command line. */
export async function importCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('import', rest, {
    data: { type: 'string' },
    name: { type: 'string' },
    format: { type: 'string' },
    region: { type: 'string' },
    ec2: { type: 'boolean' },
    lightsail: { type: 'boolean' },
    'size-in-gb': { type: 'string' },
    snapshot: { type: 'boolean' },
    'snapshot-name': { type: 'string' },
    rm: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  const [path] = words.take('which image? Give a file, or -');
  const name = words.text('name');
  if (name === undefined || name === '') throw words.wrong('--name: what shall the disk be called?');
  if (words.flag('ec2') && words.flag('lightsail')) throw words.wrong('--ec2 and --lightsail exclude each other');
  const snapshotName = words.text('snapshot-name');
  const withSnapshot = words.flag('snapshot') || snapshotName !== undefined;
  if (words.flag('rm') && !withSnapshot) throw words.wrong('--rm would leave nothing: it goes with --snapshot');
  const given = words.choice('format', FORMATS);
  if (path === '-' && given !== undefined && given !== 'raw') {
    throw words.wrong(`${given} cannot be read from a stream: give a file`);
  }
  const { runImport } = await import('./import-run.ts');
  await runImport({
    path,
    name,
    format: given ?? null,
    service: words.flag('ec2') ? 'ec2' : 'lightsail',
    sizeGib: sizeOf(words),
    snapshotName: withSnapshot ? (snapshotName ?? `${name}-snapshot`) : null,
    removesDisk: words.flag('rm'),
    json: words.flag('json'),
    region: words.text('region'),
    data: words.text('data'),
  });
}

function sizeOf(words: Words): number | null {
  const text = words.text('size-in-gb');
  if (text === undefined) return null;
  if (!/^[1-9][0-9]{0,5}$/.test(text)) throw words.wrong(`--size-in-gb: "${text}" is not a number of GiB`);
  return Number(text);
}
