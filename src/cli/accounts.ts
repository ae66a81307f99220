import type { ConfigOptions } from '#src/config.ts';
import { dataDirectoryOf, readConfig } from '#src/config.ts';
import { createAccountOffline } from '#src/compose.ts';
import { askServer, ServerAwayError } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { Words } from './words.ts';

export const ACCOUNTS_USAGE = `usage: varve accounts create [--data DIR] [--json]

Makes a new, empty account and prints the access key of its root. No server need run.

  --json   as JSON: AccountId, AccessKeyId, SecretAccessKey
`;

/** A new, empty account and its root key, as the AWS CLI's words for them. */
export interface NewAccount {
  readonly AccountId: string;
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
}

/** `varve accounts`. Throws ConfigError for a wrong command line. */
export async function accountsCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('accounts', rest, { data: { type: 'string' }, json: { type: 'boolean' } });
  const [verb] = words.take('the only verb is "create"');
  if (verb !== 'create') throw words.wrong(`the only verb is "create", not "${verb}"`);
  const made = await createAccount({ data: words.text('data') });
  process.stdout.write(
    words.flag('json')
      ? `${JSON.stringify(made, null, 2)}\n`
      : `account            ${made.AccountId}\naccess key id      ${made.AccessKeyId}\nsecret access key  ${made.SecretAccessKey}\n`,
  );
}

/** Asks the running server, or writes to the metadata itself when none runs. */
async function createAccount(options: ConfigOptions): Promise<NewAccount> {
  let reply: unknown;
  try {
    reply = await askServer(options, 'POST', '/accounts');
  } catch (error) {
    if (!(error instanceof ServerAwayError)) throw error;
    const made = await createAccountOffline(readConfig({ data: dataDirectoryOf(options, process.env) }, process.env));
    reply = { AccountId: made.account, AccessKeyId: made.accessKeyId, SecretAccessKey: made.secretAccessKey };
  }
  if (isNewAccount(reply)) return reply;
  throw new CommandError('the server answered something else than an account; is it of another version?');
}

function isNewAccount(value: unknown): value is NewAccount {
  if (typeof value !== 'object' || value === null) return false;
  return ['AccountId', 'AccessKeyId', 'SecretAccessKey'].every(
    (name) => typeof Object.getOwnPropertyDescriptor(value, name)?.value === 'string',
  );
}
