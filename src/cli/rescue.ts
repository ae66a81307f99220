import { basename, dirname, resolve } from 'node:path';

import { MASTER_KEY_VARIABLE } from '#chunk/master-key-source.ts';
import { ConfigError } from '#src/config.ts';

import { outputFormat } from './image-format.ts';
import { WRAPPED_KEY_NAME } from './master-key.ts';
import type { StorePlace } from './rescue-open.ts';
import { Words } from './words.ts';

export const RESCUE_USAGE = `Reads snapshots from a bare copy of the object store and the master key: no server, no metadata, no index.
The store is only read, and may be read-only.

usage: varve rescue VERB --store DIR|s3://BUCKET/PREFIX --key FILE [options]

  list                       the snapshots that are there
      --json                   as a JSON array
  verify [SNAPSHOT]          read back every byte of one snapshot, or of all; names what is damaged
  export SNAPSHOT FILE|-     write the disk as it was; "-": to standard output (raw only)
      --format FORMAT          raw, qcow2, vmdk, vhd, vhdx or vdi; default: by the name of FILE, else raw; all but
                               raw need qemu-img
      --keep-going             zeros in place of what is damaged, each part named on standard error, exit code 1
  serve SNAPSHOT             serve it read-only over NBD until Ctrl-C, and print its address
      --socket PATH            the unix socket (default: a private one)
      --keep-going             as above; without it a reader of a damaged part gets an I/O error

  SNAPSHOT      its id, or its name where only one has it
  --store DIR   a copy of the directory "objects" of a server's data directory (or of the whole data directory)
                or the bucket itself: s3://BUCKET/PREFIX, with --s3-endpoint URL and --s3-region NAME as for "serve"
  --key FILE    the file "master.key" of that server; or "master.key.wrapped", with --master-key-command COMMAND as for
                "serve"; without it VARVE_MASTER_KEY
  --metadata FILE   a copy of that server's "meta.db", for snapshots that are encrypted with a KMS key: without it, or when the
                key is disabled or destroyed, they are listed, and verified as far as they are sealed, but not read
Exit codes: 0 done, 1 could not be done or something is damaged, 2 the command line is wrong.
`;

const STORE = {
  store: { type: 'string' },
  key: { type: 'string' },
  'master-key-command': { type: 'string' },
  's3-endpoint': { type: 'string' },
  's3-region': { type: 'string' },
  metadata: { type: 'string' },
} as const;

/** `varve rescue …`. Throws ConfigError for a wrong command line. */
export async function rescueCommand(words: readonly string[]): Promise<void> {
  const [verb = '', ...rest] = words;
  const run = VERBS.get(verb);
  if (run === undefined) {
    const verbs = [...VERBS.keys()].join(', ');
    throw new ConfigError(
      verb === '' ? `rescue: the verbs are ${verbs}` : `rescue: the verbs are ${verbs}, not "${verb}"`,
    );
  }
  await run(rest);
}

async function list(rest: readonly string[]): Promise<void> {
  const words = new Words('rescue list', rest, { ...STORE, json: { type: 'boolean' } });
  words.take();
  const { listSnapshots } = await import('./rescue-list.ts');
  await listSnapshots(storeOf(words), { json: words.flag('json') });
}

async function verify(rest: readonly string[]): Promise<void> {
  const words = new Words('rescue verify', rest, STORE);
  const [snapshot] = words.positionals;
  if (words.positionals.length > 1) throw words.wrong('give one snapshot, or none for all');
  const { verifyStore } = await import('./rescue-verify.ts');
  await verifyStore(storeOf(words), snapshot ?? null);
}

async function exportSnapshot(rest: readonly string[]): Promise<void> {
  const words = new Words('rescue export', rest, {
    ...STORE,
    format: { type: 'string' },
    'keep-going': { type: 'boolean' },
  });
  const [snapshot, path] = words.take('which snapshot? "varve rescue list" shows them', 'where to? Give a file, or -');
  const { format, note } = outputFormat(words, path);
  if (note !== null) process.stderr.write(`varve: ${note}\n`);
  const { exportRescued } = await import('./rescue-export.ts');
  await exportRescued(storeOf(words), { snapshot, path, format, keepGoing: words.flag('keep-going') });
}

async function serve(rest: readonly string[]): Promise<void> {
  const words = new Words('rescue serve', rest, {
    ...STORE,
    socket: { type: 'string' },
    'keep-going': { type: 'boolean' },
  });
  const [snapshot] = words.take('which snapshot? "varve rescue list" shows them');
  const { serveRescued } = await import('./rescue-serve.ts');
  const socketPath = words.text('socket') ?? null;
  await serveRescued(storeOf(words), { snapshot, socketPath, keepGoing: words.flag('keep-going') });
}

function storeOf(words: Words): StorePlace {
  const store = words.text('store');
  if (store === undefined || store === '') throw words.wrong('--store: where is the copy of the object store?');
  return {
    store,
    ...keyOf(words),
    s3Endpoint: words.text('s3-endpoint'),
    s3Region: words.text('s3-region'),
    metadata: words.text('metadata'),
  };
}

function keyOf(words: Words): Pick<StorePlace, 'key' | 'keyDirectory'> {
  const given = words.text('key') ?? '';
  const command = words.text('master-key-command');
  if (given === '') {
    if (command !== undefined) throw words.wrong(`--master-key-command goes with --key DIR/${WRAPPED_KEY_NAME}`);
    if ((process.env[MASTER_KEY_VARIABLE] ?? '') === '') throw words.wrong('--key: where is the master key?');
    return { key: { kind: 'environment' }, keyDirectory: '' };
  }
  const path = resolve(given);
  const keyDirectory = dirname(path);
  if (command === undefined) return { key: { kind: 'file', where: path }, keyDirectory };
  if (basename(path) !== WRAPPED_KEY_NAME)
    throw words.wrong(`--key: a key that is wrapped is a file ${WRAPPED_KEY_NAME}`);
  return { key: { kind: 'command', where: command }, keyDirectory };
}

const VERBS = new Map<string, (rest: readonly string[]) => Promise<void>>([
  ['list', list],
  ['verify', verify],
  ['export', exportSnapshot],
  ['serve', serve],
]);
