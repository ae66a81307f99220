import { ConfigError, DATA_DEFAULT, PORT_DEFAULT, REGION_DEFAULT, type ConfigOptions } from './config.ts';
import { CommandError } from './cli/command-error.ts';
import { nearest } from './cli/nearest.ts';
import { plainError } from './cli/plain-errors.ts';
import { Words } from './cli/words.ts';

const USAGE = `Varve: block-storage snapshots that the AWS tools understand, with real bytes behind them.

usage: npx varve COMMAND [options]     (in the directory of Varve; "npm install -g ." puts varve on the PATH)

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
      --master-key-file FILE, --master-key-command COMMAND
                         where the key is that all others are derived from (default: master.key in
                         the data directory; or VARVE_MASTER_KEY): see docs/kms.md
      --hydration-rate N MiB a second with which a disk made from a snapshot is filled in
                         the background (default 32; 0: only what is read is fetched)
      --limits FILE      what accounts may have, and how often (JSON): see docs/limits.md
      --outposts FILE    sites with chunk stores of their own (JSON): see docs/outposts.md
      --machine-network isolated|internet|bridge:NAME
                         what instances reach (default isolated: nothing; they are reached by ssh)
      --machine-addresses NETWORK
                         where the open ports of instances are found, an address for each
                         (default 127.10.0.0/16: from this computer only): see docs/machines.md
      --tls-cert FILE, --tls-key FILE
                         speak HTTPS with this certificate (PEM)
      --nbd-tcp [HOST:]PORT
                         also serve NBD over TCP (HOST: 127.0.0.1), with TLS and a
                         credential for each disk: see "connect --tcp"
      --replace-host     where disks are still served with other options (the server was killed): disconnect
                         their clients and serve them anew; without it the server refuses to start
  env                  print the shell lines that point the aws CLI at the local server:
                         eval "$(npx varve env)"
  connect NAME|ID      print the NBD address of a disk, volume or snapshot
      --tcp              make a credential for it, and print its address over TCP
  ssh NAME|ID          a shell in an instance (-- COMMAND: perform that)
  console NAME|ID      what an instance wrote to its serial console
      --follow           and what it writes from now on
  status               how the server is: clients, sizes, what it does, what went wrong last
  doctor               what this machine has and lacks for it
  clock [accept]       whether its clock jumped, which holds up deletions; it is right
  audit [verify]       who called what; whether a line was changed or is missing
  accounts create      make a new, empty account and print its root key
      --json             as JSON: AccountId, AccessKeyId, SecretAccessKey
  import FILE|- --name NAME
                       make a disk of an image: raw, qcow2 or vmdk
  export NAME|ID FILE|-
                       write a disk, volume or snapshot as an image: raw, qcow2 or vmdk
  blueprint build|import|list|remove
                       what instances are made from: system disks of Debian packages, or images
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
VARVE_HYDRATION_RATE, VARVE_WARM_CACHE, VARVE_LIMITS, VARVE_OUTPOSTS, VARVE_MASTER_KEY, VARVE_MASTER_KEY_FILE,
VARVE_MASTER_KEY_COMMAND, VARVE_MACHINE_NETWORK.
Exit codes: 0 done, 1 could not be done, 2 the command line is wrong.
`;

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
  limits: { type: 'string' },
  outposts: { type: 'string' },
  'master-key-file': { type: 'string' },
  'master-key-command': { type: 'string' },
  'machine-network': { type: 'string' },
  'machine-addresses': { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'replace-host': { type: 'boolean' },
} as const;

async function serveCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('serve', rest, SERVE);
  words.take();
  const options: ConfigOptions = {
    data: words.text('data'),
    host: words.text('host'),
    port: words.text('port'),
    region: words.text('region'),
    nbdTcp: words.text('nbd-tcp'),
    store: words.text('store'),
    s3Endpoint: words.text('s3-endpoint'),
    s3Region: words.text('s3-region'),
    encryptVolumes: words.flag('encrypt-volumes') ? true : undefined,
    hydrationRate: words.text('hydration-rate'),
    limits: words.text('limits'),
    outposts: words.text('outposts'),
    masterKeyFile: words.text('master-key-file'),
    masterKeyCommand: words.text('master-key-command'),
    machineNetwork: words.text('machine-network'),
    machineAddresses: words.text('machine-addresses'),
    tlsCert: words.text('tls-cert'),
    tlsKey: words.text('tls-key'),
  };
  const { serve } = await import('./cli/serve.ts');
  await serve(options, { replaceHost: words.flag('replace-host') });
}

async function envCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('env', rest, DATA);
  words.take();
  const { environmentLines } = await import('./cli/env.ts');
  process.stdout.write(await environmentLines({ data: words.text('data') }));
}

async function connectCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/connect.ts')).connectCommand(words);
}

async function sshCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/machines.ts')).sshCommand(words);
}

async function consoleCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/machines.ts')).consoleCommand(words);
}

async function accountsCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('accounts', rest, { ...DATA, json: { type: 'boolean' } });
  const [verb] = words.take('the only verb is "create"');
  if (verb !== 'create') throw words.wrong(`the only verb is "create", not "${verb}"`);
  const { createAccount } = await import('./cli/accounts.ts');
  const made = await createAccount({ data: words.text('data') });
  process.stdout.write(
    words.flag('json')
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

async function blueprintCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/blueprint.ts')).blueprintCommand(words);
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

async function statusCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/status.ts')).statusCommand(words);
}

async function clockCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/clock.ts')).clockCommand(words);
}

async function auditCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/audit.ts')).auditCommand(words);
}

async function doctorCommand(words: readonly string[]): Promise<void> {
  await (await import('./cli/doctor.ts')).doctorCommand(words);
}

/** Commands that have more to say than the common help. */
const HELP = new Map<string, () => Promise<string>>([
  ['connect', async () => (await import('./cli/connect.ts')).CONNECT_USAGE],
  ['ssh', async () => (await import('./cli/machines.ts')).SSH_USAGE],
  ['console', async () => (await import('./cli/machines.ts')).CONSOLE_USAGE],
  ['rescue', async () => (await import('./cli/rescue.ts')).RESCUE_USAGE],
  ['import', async () => (await import('./cli/import.ts')).IMPORT_USAGE],
  ['blueprint', async () => (await import('./cli/blueprint.ts')).BLUEPRINT_USAGE],
  ['export', async () => (await import('./cli/export.ts')).EXPORT_USAGE],
  ['snapshots', async () => (await import('./cli/snapshots.ts')).SNAPSHOTS_USAGE],
  ['volumes', async () => (await import('./cli/volumes.ts')).VOLUMES_USAGE],
  ['status', async () => (await import('./cli/status.ts')).STATUS_USAGE],
  ['doctor', async () => (await import('./cli/doctor.ts')).DOCTOR_USAGE],
  ['clock', async () => (await import('./cli/clock.ts')).CLOCK_USAGE],
  ['audit', async () => (await import('./cli/audit.ts')).AUDIT_USAGE],
  ['verify', async () => (await import('./cli/verify.ts')).VERIFY_USAGE],
]);

const COMMANDS = new Map<string, (words: readonly string[]) => Promise<void>>([
  ['serve', serveCommand],
  ['env', envCommand],
  ['connect', connectCommand],
  ['ssh', sshCommand],
  ['console', consoleCommand],
  ['accounts', accountsCommand],
  ['rescue', rescueCommand],
  ['import', importCommand],
  ['export', exportCommand],
  ['blueprint', blueprintCommand],
  ['snapshots', snapshotsCommand],
  ['volumes', volumesCommand],
  ['verify', verifyCommand],
  ['status', statusCommand],
  ['doctor', doctorCommand],
  ['clock', clockCommand],
  ['audit', auditCommand],
  ['version', versionCommand],
  ['--version', versionCommand],
]);

/** What prints a list, of which a reader may want the beginning only. */
const LISTS = new Set([
  'console',
  'connect',
  'snapshots',
  'volumes',
  'verify',
  'env',
  'accounts',
  'status',
  'doctor',
  'clock',
  'audit',
]);

function endWithReader(): void {
  process.stdout.on('error', (error) => {
    if (!('code' in error) || error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

/** What a name may be that is asked for help. Throws ConfigError for one that there is not. */
async function helpFor(name: string | undefined): Promise<string> {
  if (name === undefined || name === 'help') return USAGE;
  const own = HELP.get(name);
  if (own !== undefined) return await own();
  if (COMMANDS.has(name)) return USAGE;
  throw noCommand(name);
}

function noCommand(name: string): ConfigError {
  const meant = nearest(name, [...COMMANDS.keys()]);
  return new ConfigError(`there is no command "${name}"${meant === null ? '' : `; is "${meant}" meant?`}`);
}

async function perform(words: readonly string[]): Promise<void> {
  const [name, ...rest] = words;
  if (name === 'help' || isHelp(name)) {
    process.stdout.write(await helpFor(rest[0]));
    return;
  }
  if (name !== undefined && rest.some(isHelp)) {
    process.stdout.write(await helpFor(name));
    return;
  }
  const command = COMMANDS.get(name ?? '');
  if (command === undefined || name === undefined) throw noCommand(name ?? '');
  if (LISTS.has(name)) endWithReader();
  await command(rest);
}

function isHelp(word: string | undefined): boolean {
  return word === '--help' || word === '-h';
}

/** The exit code. */
async function main(words: readonly string[]): Promise<number> {
  if (words.length === 0) {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    await perform(words);
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`varve: ${plainError(error)}\nSee "npx varve help".\n`);
      return 2;
    }
    process.stderr.write(`varve: ${plainError(error)}\n`);
    if (!(error instanceof CommandError) && process.env['VARVE_DEBUG'] === '1' && error instanceof Error) {
      process.stderr.write(`${error.stack ?? ''}\n`);
    }
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
