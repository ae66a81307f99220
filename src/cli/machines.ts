import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { writeFileAtomic } from '#base/atomic-file.ts';
import { systemClock } from '#base/clock.ts';
import { makeDirectory } from '#base/make-directory.ts';
import type { ConfigOptions } from '#src/config.ts';

import { ConsoleText } from './console-text.ts';
import { askServer, otherVersion } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { findResource } from './listed-resource.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const SSH_USAGE = `usage: varve ssh NAME|ID [--key FILE] [--data DIR] [-- COMMAND…]

Opens a shell in an instance that runs, or performs a command there, with this machine's ssh and the default key of the
instance's account and region. The key, and what is known of the hosts, are in "ssh" in the data directory.

  --key FILE   a private key instead: instances made by EC2 let in only the key pair that they were made with

Exit code: that of the command; 255 where ssh could not get in.
`;

export const CONSOLE_USAGE = `usage: varve console NAME|ID [--follow] [--raw] [--data DIR]

Prints the end of what an instance wrote to its serial console, also of one that is stopped. On a terminal its text and
colours are shown, and left out what would steer the terminal; into a pipe or a file all of it goes as it is.

  --follow   go on with what it writes from now on, until Ctrl-C
  --raw      all of it as it is, on a terminal, too
`;

/** How ssh ends when it does not get in, or loses the connection. */
const SSH_FAILED = 255;
/** How often a console that is followed is asked for. */
const FOLLOW_MS = 500;

interface SshReply {
  readonly id: string;
  readonly account: string;
  readonly region: string;
  readonly address: string;
  readonly port: number;
  readonly userName: string;
  readonly privateKey: string;
}

/** The exit code is ssh's. */
export async function sshCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('ssh', rest, { data: { type: 'string' }, key: { type: 'string' } });
  const [name, ...command] = words.positionals;
  if (name === undefined || name === '') throw words.wrong('which instance? Give its name or id');
  const options: ConfigOptions = { data: words.text('data') };
  const access = decodeAccess(await askServer(options, 'GET', `/ssh?${new URLSearchParams({ name }).toString()}`));
  const directory = join(servedDirectory(options), 'ssh');
  await makeDirectory(directory);
  const keyPath = join(directory, `${access.account}-${access.region}.key`);
  await writeFileAtomic(keyPath, access.privateKey); // Another `varve ssh` may read it now.
  const own = words.text('key');
  const code = await runSsh([...sshWords(access, { directory, keyPath: own ?? keyPath }), ...command]);
  if (code === SSH_FAILED && own === undefined && (await findResource(options, access.id)).face === 'ec2') {
    process.stderr.write('varve: an instance made by EC2 lets in only its own key pair: --key FILE\n');
  }
  process.exitCode = code;
}

/** An instance keeps its host key under its id, whichever port leads to it. */
function sshWords(access: SshReply, { directory, keyPath }: { readonly directory: string; readonly keyPath: string }) {
  const settings = {
    IdentitiesOnly: 'yes',
    HostKeyAlias: access.id,
    UserKnownHostsFile: `"${join(directory, 'known_hosts')}"`,
    StrictHostKeyChecking: 'accept-new',
    LogLevel: 'ERROR',
  };
  return [
    ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
    ...['-i', keyPath, '-p', String(access.port), `${access.userName}@${access.address}`],
  ];
}

async function runSsh(words: readonly string[]): Promise<number> {
  const ended = Promise.withResolvers<number>();
  const child = spawn('ssh', words, { stdio: 'inherit' });
  child.once('error', (error: NodeJS.ErrnoException) => {
    const isMissing = error.code === 'ENOENT';
    ended.reject(isMissing ? new CommandError('ssh is not installed: apt-get install openssh-client') : error);
  });
  child.once('close', (code) => ended.resolve(code ?? SSH_FAILED));
  return await ended.promise;
}

export async function consoleCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('console', rest, {
    data: { type: 'string' },
    follow: { type: 'boolean' },
    raw: { type: 'boolean' },
  });
  const [name] = words.take('which instance? Give its name or id');
  const options: ConfigOptions = { data: words.text('data') };
  const query = new URLSearchParams({ name }).toString();
  let shown = decodeConsole(await askServer(options, 'GET', `/console?${query}`));
  const isRaw = words.flag('raw') || !process.stdout.isTTY;
  const text = new ConsoleText();
  const write = (bytes: Buffer): void => void process.stdout.write(isRaw ? bytes : text.write(bytes));
  write(shown);
  while (words.flag('follow')) {
    await systemClock.sleep(FOLLOW_MS);
    const now = decodeConsole(await askServer(options, 'GET', `/console?${query}`));
    write(newPart(shown, now));
    shown = now;
  }
  if (!isRaw) process.stdout.write(text.end());
}

/** What is at the end of a log and was not before: the log is cut at its beginning. */
export function newPart(before: Buffer, now: Buffer): Buffer {
  if (before.length === 0) return now;
  for (let from = 0; from < before.length; from += 1) {
    const rest = before.subarray(from);
    if (rest.length <= now.length && now.subarray(0, rest.length).equals(rest)) return now.subarray(rest.length);
  }
  return now;
}

function decodeAccess(value: unknown): SshReply {
  const { id, account, region, address, port, userName, privateKey } = recordOf(value);
  const texts = [id, account, region, address, userName, privateKey];
  if (!texts.every((one) => typeof one === 'string') || typeof port !== 'number') throw otherVersion();
  const [a = '', b = '', c = '', d = '', e = '', f = ''] = texts;
  return { id: a, account: b, region: c, address: d, port, userName: e, privateKey: f };
}

function decodeConsole(value: unknown): Buffer {
  const { base64 } = recordOf(value);
  if (typeof base64 !== 'string') throw otherVersion();
  return Buffer.from(base64, 'base64');
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}
