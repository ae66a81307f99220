import type { ConfigOptions } from '#src/config.ts';
import { readConfig } from '#src/config.ts';
import { createAccountOffline } from '#src/compose.ts';
import { isAccountAlias } from '#control/access.ts';

import { askServer, otherVersion, ServerAwayError } from './admin-client.ts';
import { type Column, tableLines } from './table.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const ACCOUNTS_USAGE = `Accounts: each has its own disks, snapshots, users and keys, and sees nothing of the others'.

usage: varve accounts create [--alias NAME] [--json] [--data DIR]
       varve accounts list [--json] [--data DIR]

create   a new, empty account; prints the access key of its root, which nobody can read again (no server need run)
  --alias NAME   what people call it: 3 to 63 of a-z, 0-9 and -
list     all of them, and the ids of their roots' access keys ("varve keys" replaces one)

  --json   as JSON; of create: AccountId, AccessKeyId, SecretAccessKey
`;

/** A new, empty account and its root key, as the AWS CLI's words for them. */
export interface NewKey {
  readonly AccountId: string;
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
}

export interface ListedAccount {
  readonly id: string;
  readonly alias: string | null;
  readonly createdAtMs: number;
  readonly keys: readonly { readonly accessKeyId: string; readonly createdAtMs: number }[];
}

const COMMON = { data: { type: 'string' }, json: { type: 'boolean' } } as const;

/** `varve accounts`. Throws ConfigError for a wrong command line. */
export async function accountsCommand(rest: readonly string[]): Promise<void> {
  const [verb, ...more] = rest;
  if (verb === 'create') {
    const words = new Words('accounts create', more, { ...COMMON, alias: { type: 'string' } });
    words.take();
    const alias = words.text('alias') ?? null;
    if (alias !== null && !isAccountAlias(alias)) {
      throw words.wrong(`--alias: "${alias}" is none: 3 to 63 of a-z, 0-9 and -, and no - at its ends`);
    }
    process.stdout.write(keyWords(await createAccount({ data: words.text('data') }, alias), words.flag('json')));
    return;
  }
  const words = new Words('accounts', rest, COMMON);
  if (verb !== 'list') throw words.wrong(`the verbs are create and list, not "${verb ?? ''}"`);
  const accounts = await allAccounts({ data: words.text('data') });
  if (words.flag('json')) process.stdout.write(`${JSON.stringify({ accounts }, null, 2)}\n`);
  else for (const line of tableLines(COLUMNS, accounts)) process.stdout.write(`${line}\n`);
}

const COLUMNS: readonly Column<ListedAccount>[] = [
  { heading: 'ACCOUNT', cell: ({ id }) => id },
  { heading: 'ALIAS', cell: ({ alias }) => alias ?? '-' },
  { heading: 'CREATED', cell: ({ createdAtMs }) => new Date(createdAtMs).toISOString().slice(0, 19).concat('Z') },
  { heading: 'ROOT KEY', cell: ({ keys }) => keys.map(({ accessKeyId }) => accessKeyId).join(' ') },
];

/** A new key for a person, or as JSON. */
export function keyWords(made: NewKey, json: boolean): string {
  if (json) return `${JSON.stringify(made, null, 2)}\n`;
  const { AccountId, AccessKeyId, SecretAccessKey } = made;
  return `account            ${AccountId}\naccess key id      ${AccessKeyId}\nsecret access key  ${SecretAccessKey}\n`;
}

export async function allAccounts(options: ConfigOptions): Promise<readonly ListedAccount[]> {
  const reply = await askServer(options, 'GET', '/accounts');
  const accounts: unknown =
    typeof reply === 'object' && reply !== null && 'accounts' in reply ? reply.accounts : undefined;
  if (Array.isArray(accounts) && accounts.every(isListed)) return accounts;
  throw otherVersion();
}

/** Asks the running server, or writes to the metadata itself when none runs. */
async function createAccount(options: ConfigOptions, alias: string | null): Promise<NewKey> {
  let reply: unknown;
  try {
    const query = alias === null ? '' : `?${new URLSearchParams({ alias }).toString()}`;
    reply = await askServer(options, 'POST', `/accounts${query}`);
  } catch (error) {
    if (!(error instanceof ServerAwayError)) throw error;
    const config = readConfig({ data: servedDirectory(options) }, process.env);
    const made = await createAccountOffline(config, alias);
    reply = { AccountId: made.account, AccessKeyId: made.accessKeyId, SecretAccessKey: made.secretAccessKey };
  }
  return asNewKey(reply);
}

/** Throws CommandError when it is none. */
export function asNewKey(value: unknown): NewKey {
  if (
    typeof value === 'object' &&
    value !== null &&
    'AccountId' in value &&
    typeof value.AccountId === 'string' &&
    'AccessKeyId' in value &&
    typeof value.AccessKeyId === 'string' &&
    'SecretAccessKey' in value &&
    typeof value.SecretAccessKey === 'string'
  ) {
    const { AccountId, AccessKeyId, SecretAccessKey } = value;
    return { AccountId, AccessKeyId, SecretAccessKey };
  }
  throw otherVersion();
}

function isListed(value: unknown): value is ListedAccount {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'string' &&
    'createdAtMs' in value &&
    typeof value.createdAtMs === 'number' &&
    'keys' in value &&
    Array.isArray(value.keys)
  );
}
