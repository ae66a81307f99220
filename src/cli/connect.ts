import { rm, rmdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';

import { makeDirectory } from '#base/make-directory.ts';
import type { ConfigOptions } from '#src/config.ts';
import { nbdsUri } from '#volume/nbd-uri.ts';

import { askServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { type AccessReply, decodeAccess, decodeGrants, decodeRevoked } from './connect-reply.ts';
import { addressOf } from './export.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const CONNECT_USAGE = `Says where NBD clients find a disk, volume or snapshot, and lets them in over TCP.

usage: varve connect NAME|ID                 its address on this machine: a unix socket
       varve connect NAME|ID --tcp [options] a credential, and the address over TCP with TLS
       varve connect --list [NAME|ID]        the credentials that can be used now
       varve connect --revoke CREDENTIAL     end one, and the connections that were made with it

  --ttl TIME      until when connections can be made with it: 30s, 15m, 12h, 7d (default: until it is revoked)
  --psk-dir DIR   where "keys.psk" with the key goes (default: a directory of its own in the data directory)
  --json          as JSON
  --data DIR      the server's data directory

NAME is Lightsail's name of a disk or snapshot, the tag Name of a volume or snapshot, or a supportCode; a name that several
have is answered with the ids to choose from.
A credential opens this one disk or snapshot and nothing else. TCP needs a server started with --nbd-tcp [HOST:]PORT.
`;

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** Beyond a hundred years a time is a mistake. */
const TTL_MS_MAX = 36_525 * UNITS.d;
/** The name by which QEMU looks for it in its directory. */
const PSK_FILE_NAME = 'keys.psk';
const LISTEN_ANY = new Set(['0.0.0.0', '::']);

/** `varve connect …`. Throws ConfigError for a wrong command line, CommandError for what the server refuses. */
export async function connectCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('connect', rest, {
    data: { type: 'string' },
    tcp: { type: 'boolean' },
    ttl: { type: 'string' },
    'psk-dir': { type: 'string' },
    list: { type: 'boolean' },
    revoke: { type: 'string' },
    json: { type: 'boolean' },
  });
  const options = { data: words.text('data') };
  const ways = [words.flag('tcp'), words.flag('list'), words.text('revoke') !== undefined];
  if (ways.filter(Boolean).length > 1) throw words.wrong('--tcp, --list and --revoke do not go together');
  for (const name of ['ttl', 'psk-dir']) {
    if (words.text(name) !== undefined && !words.flag('tcp')) throw words.wrong(`--${name} goes with --tcp`);
  }
  const revoked = words.text('revoke');
  if (revoked !== undefined) {
    words.take();
    await revoke(options, revoked);
  } else if (words.flag('list')) {
    const [name = null] = words.positionals;
    if (words.positionals.length > 1) throw words.wrong('--list takes one name, or none');
    await list(options, name, words.flag('json'));
  } else {
    const [name] = words.take('which disk, volume or snapshot? Give a name or an id');
    if (!words.flag('tcp')) await address(options, name, words.flag('json'));
    else
      await grant(options, name, {
        ttlMs: ttlOf(words),
        pskDirectory: words.text('psk-dir'),
        json: words.flag('json'),
      });
  }
}

async function address(options: ConfigOptions, name: string, json: boolean): Promise<void> {
  const found = await addressOf(options.data, name);
  process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : `${found.uri}\n`);
}

function ttlOf(words: Words): number | null {
  const text = words.text('ttl');
  if (text === undefined) return null;
  const parts = /^([0-9]{1,9})([smhd])$/.exec(text);
  const ttlMs = Number(parts?.[1]) * UNITS[(parts?.[2] ?? 's') as keyof typeof UNITS];
  if (!(ttlMs > 0 && ttlMs <= TTL_MS_MAX)) throw words.wrong(`--ttl: "${text}" is no time such as 30s, 15m, 12h or 7d`);
  return ttlMs;
}

async function grant(
  options: ConfigOptions,
  name: string,
  how: { readonly ttlMs: number | null; readonly pskDirectory: string | undefined; readonly json: boolean },
): Promise<void> {
  const query = new URLSearchParams({ name, ...(how.ttlMs === null ? {} : { ttlMs: String(how.ttlMs) }) });
  const access = decodeAccess(await askServer(options, 'POST', `/grants?${query.toString()}`));
  const directory =
    how.pskDirectory === undefined ? pskDirectoryOf(options, access.grant.id) : resolve(how.pskDirectory);
  const path = join(directory, PSK_FILE_NAME);
  try {
    await makeDirectory(directory);
    await writeFile(path, `${access.grant.id}:${access.key}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    // A credential whose key nobody has is of no use.
    await askServer(options, 'DELETE', `/grants?${new URLSearchParams({ id: access.grant.id }).toString()}`);
    throw new CommandError(`${path} cannot be written; the credential was taken back`, { cause: error });
  }
  const host = LISTEN_ANY.has(access.host) ? hostname() : access.host;
  const uri = nbdsUri({ ...access, host, identity: access.grant.id, exportName: access.grant.exportId, pskPath: path });
  if (how.json) {
    const { grant: made, readOnly, port } = access;
    process.stdout.write(`${JSON.stringify({ uri, ...made, host, port, pskFile: path, readOnly }, null, 2)}\n`);
    return;
  }
  process.stdout.write(`${uri}\n`);
  process.stderr.write(howTo(access, { uri, host, directory, path }));
}

function howTo(
  access: AccessReply,
  at: { readonly uri: string; readonly host: string; readonly directory: string; readonly path: string },
): string {
  const { id, exportId, expiresAtMs } = access.grant;
  const until = expiresAtMs === null ? 'until it is revoked' : `until ${new Date(expiresAtMs).toISOString()}`;
  const write = access.readOnly ? '' : `  nbdcopy disk.img "${at.uri}"  # write: replaces what is on it\n`;
  return `
The credential ${id} opens ${exportId}${access.readOnly ? ', to be read,' : ''} ${until}.
Its key is in ${at.path}, which is secret: copy it to where the client runs.

  nbdinfo "${at.uri}"  # look at it
  nbdcopy "${at.uri}" disk.img  # read it
${write}  qemu-img info --object tls-creds-psk,id=tls,endpoint=client,dir=${at.directory},username=${id} \\
    --image-opts driver=nbd,host=${at.host},port=${access.port},export=${exportId},tls-creds=tls
  varve connect --revoke ${id}
`;
}

async function list(options: ConfigOptions, name: string | null, json: boolean): Promise<void> {
  const query = name === null ? '' : `?${new URLSearchParams({ name }).toString()}`;
  const grants = decodeGrants(await askServer(options, 'GET', `/grants${query}`));
  if (json) {
    process.stdout.write(`${JSON.stringify(grants, null, 2)}\n`);
    return;
  }
  for (const { id, issuedAtMs, expiresAtMs } of grants) {
    const until = expiresAtMs === null ? 'until revoked' : `until ${new Date(expiresAtMs).toISOString()}`;
    process.stdout.write(`${id}  issued ${new Date(issuedAtMs).toISOString()}  ${until}\n`);
  }
}

async function revoke(options: ConfigOptions, id: string): Promise<void> {
  const found = decodeRevoked(await askServer(options, 'DELETE', `/grants?${new URLSearchParams({ id }).toString()}`));
  if (!found) throw new CommandError(`there is no credential "${id}"; see varve connect --list`);
  const directory = pskDirectoryOf(options, id);
  await rm(join(directory, PSK_FILE_NAME), { force: true });
  for (const path of [directory, dirname(directory)]) await rmdir(path).catch(() => {}); // Not there, or others are in it.
}

function pskDirectoryOf(options: ConfigOptions, grantId: string): string {
  return join(servedDirectory(options), 'nbd-psk', grantId);
}
