import { parseArgs } from 'node:util';
import { describeError } from '#base/log.ts';
import { ConfigError, DATA_DEFAULT, PORT_DEFAULT, REGION_DEFAULT, type ConfigOptions } from './config.ts';
import { CommandError } from './cli/command-error.ts';

const USAGE = `Varve: block-storage snapshots that the AWS tools understand, with real bytes behind them.

usage: varve COMMAND [options]

  serve                start the server (Ctrl-C stops it)
      --port N           TCP port of the API (default ${PORT_DEFAULT}; 0: any free one)
      --host ADDRESS     address to listen on (default 127.0.0.1)
      --region NAME      region that is shown and put into "env" (default ${REGION_DEFAULT});
                         every region works: it is taken from each request's signature
      --store s3://BUCKET/PREFIX
                         keep snapshots in a bucket (default: in the data directory);
                         credentials as for the aws CLI, see docs/s3.md
      --s3-endpoint URL  of a store that is not Amazon's: http://host:port
      --s3-region NAME   of the bucket (default us-east-1)
      --encrypt-volumes  encrypt the data files of new volumes (AES-256-XTS, a key for each)
      --hydration-rate N MiB a second with which a disk made from a snapshot is filled in
                         the background (default 32; 0: only what is read is fetched)
      --tls-cert FILE, --tls-key FILE
                         speak HTTPS with this certificate (PEM)
      --nbd-tcp [HOST:]PORT
                         also serve NBD over TCP (HOST: 127.0.0.1), with TLS and a
                         credential for each disk: see "connect --tcp"
  env                  print the shell lines that point the aws CLI at the local server:
                         eval "$(npx varve env)"
  connect NAME|ID      print the NBD address of a disk, volume or snapshot
      --tcp              make a credential for it, and print its address over TCP
  accounts create      make a new, empty account and print its root key
      --json             as JSON: AccountId, AccessKeyId, SecretAccessKey
  import FILE|- --name NAME
                       make a disk of an image: raw, qcow2 or vmdk
  export NAME|ID FILE|-
                       write a disk, volume or snapshot as an image: raw, qcow2 or vmdk
  snapshots            list all snapshots with their exact sizes in the store
      --json             in bytes
  volumes              list all volumes, and how much of what they were made from is here
      --json             in bytes
  verify [SNAPSHOT]    read and check every byte that is stored, or all of one snapshot
      --json             the report as JSON
  rescue list|verify|export|serve --store DIR --key FILE
                       read snapshots from a bare copy of the object store: no server, no metadata
  help, version        ("help connect", "help import", "help export",
                       "help rescue" say more)

Every command but rescue takes --data DIR (default ./${DATA_DEFAULT}): where the server keeps everything.
Environment: VARVE_DATA, VARVE_HOST, VARVE_PORT, VARVE_REGION, VARVE_NBD_TCP,
VARVE_TLS_CERT, VARVE_TLS_KEY, VARVE_ENCRYPT_VOLUMES (1), VARVE_STORE, VARVE_S3_ENDPOINT, VARVE_S3_REGION,
VARVE_HYDRATION_RATE.
Exit codes: 0 done, 1 could not be done, 2 the command line is wrong.
`;

/** The command line was wrong. Exit code 2. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

const DATA = { data: { type: 'string' } } as const;
const SERVE = {
  ...DATA,
  port: { type: 'string' },
  host: { type: 'string' },
  region: { type: 'string' },
  'nbd-tcp': { type: 'string' },
  store: { type: 'string' },
  's3-endpoint': { type: 'string' },
  's3-region': { type: 'string' },
  'encrypt-volumes': { type: 'boolean' },
  'hydration-rate': { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
} as const;

function parse(
  words: readonly string[],
  options: NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>,
): { readonly values: Readonly<Record<string, unknown>>; readonly positionals: readonly string[] } {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(describeError(error), { cause: error });
  }
}

function textOf(values: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

function takeNone(positionals: readonly string[]): void {
  if (positionals.length > 0) throw new UsageError(`unexpected "${positionals.join(' ')}"`);
}

async function serveCommand(words: readonly string[]): Promise<void> {
  const { values, positionals } = parse(words, SERVE);
  takeNone(positionals);
  const options: ConfigOptions = {
    data: textOf(values, 'data'),
    host: textOf(values, 'host'),
    port: textOf(values, 'port'),
    region: textOf(values, 'region'),
    nbdTcp: textOf(values, 'nbd-tcp'),
    store: textOf(values, 'store'),
    s3Endpoint: textOf(values, 's3-endpoint'),
    s3Region: textOf(values, 's3-region'),
    encryptVolumes: values['encrypt-volumes'] === true ? true : undefined,
    hydrationRate: textOf(values, 'hydration-rate'),
    tlsCert: textOf(values, 'tls-cert'),
    tlsKey: textOf(values, 'tls-key'),
  };
  const { serve } = await import('./cli/serve.ts');
  await serve(options);
}

async function envCommand(words: readonly string[]): Promise<void> {
  const { values, positionals } = parse(words, DATA);
  takeNone(positionals);
  const { environmentLines } = await import('./cli/env.ts');
  process.stdout.write(await environmentLines({ data: textOf(values, 'data') }));
}

async function connectCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/connect.ts')).connectCommand(words);
}

async function accountsCommand(words: readonly string[]): Promise<void> {
  const { values, positionals } = parse(words, { ...DATA, json: { type: 'boolean' } });
  if (positionals[0] !== 'create') throw new UsageError('accounts: the only verb is "create"');
  takeNone(positionals.slice(1));
  const { createAccount } = await import('./cli/accounts.ts');
  const made = await createAccount({ data: textOf(values, 'data') });
  process.stdout.write(
    values['json'] === true
      ? `${JSON.stringify(made, null, 2)}\n`
      : `account            ${made.AccountId}\naccess key id      ${made.AccessKeyId}\nsecret access key  ${made.SecretAccessKey}\n`,
  );
}

async function versionCommand(): Promise<void> {
  const { version } = await import('./cli/version.ts');
  process.stdout.write(`varve/${version()} node/${process.versions.node} ${process.platform}-${process.arch}\n`);
}

async function rescueCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/rescue.ts')).rescueCommand(words);
}

async function importCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/import.ts')).importCommand(words);
}

async function exportCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/export.ts')).exportCommand(words);
}

async function snapshotsCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/snapshots.ts')).snapshotsCommand(words);
}

async function volumesCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/volumes.ts')).volumesCommand(words);
}

async function verifyCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/verify.ts')).verifyCommand(words);
}

/** Commands that have more to say than the common help. */
const HELP = new Map<string, () => Promise<string>>([
  ['connect', async () => (await import('./cli/connect.ts')).CONNECT_USAGE],
  ['rescue', async () => (await import('./cli/rescue.ts')).RESCUE_USAGE],
  ['import', async () => (await import('./cli/import.ts')).IMPORT_USAGE],
  ['export', async () => (await import('./cli/export.ts')).EXPORT_USAGE],
  ['snapshots', async () => (await import('./cli/snapshots.ts')).SNAPSHOTS_USAGE],
  ['volumes', async () => (await import('./cli/volumes.ts')).VOLUMES_USAGE],
  ['verify', async () => (await import('./cli/verify.ts')).VERIFY_USAGE],
]);

const COMMANDS = new Map<string, (words: readonly string[]) => Promise<void>>([
  ['serve', serveCommand],
  ['env', envCommand],
  ['connect', connectCommand],
  ['accounts', accountsCommand],
  ['rescue', rescueCommand],
  ['import', importCommand],
  ['export', exportCommand],
  ['snapshots', snapshotsCommand],
  ['volumes', volumesCommand],
  ['verify', verifyCommand],
  ['version', versionCommand],
  ['--version', versionCommand],
]);

/** What prints a list, of which a reader may want the beginning only. */
const LISTS = new Set(['connect', 'snapshots', 'volumes', 'verify', 'env', 'accounts']);

function endWithReader(): void {
  process.stdout.on('error', (error) => {
    if (!('code' in error) || error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || name === 'help' || words.includes('--help') || words.includes('-h')) {
    const help = HELP.get(name === 'help' ? (rest[0] ?? '') : (name ?? ''));
    (name === undefined ? process.stderr : process.stdout).write(help === undefined ? USAGE : await help());
    return name === undefined ? 2 : 0;
  }
  if (LISTS.has(name)) endWithReader();
  try {
    const command = COMMANDS.get(name);
    if (command === undefined) throw new UsageError(`there is no command "${name}"`);
    await command(rest);
    return 0;
  } catch (error) {
    if (error instanceof UsageError || error instanceof ConfigError) {
      process.stderr.write(`varve: ${error.message}\nSee "npx varve help".\n`);
      return 2;
    }
    process.stderr.write(`varve: ${describeError(error)}\n`);
    if (!(error instanceof CommandError) && process.env['VARVE_DEBUG'] === '1' && error instanceof Error) {
      process.stderr.write(`${error.stack ?? ''}\n`);
    }
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
