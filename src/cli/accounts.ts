import type { ConfigOptions } from '#src/config.ts';
import { dataDirectoryOf, readConfig } from '#src/config.ts';
import { createAccountOffline } from '#src/compose.ts';
import { askServer, ServerAwayError } from './admin-client.ts';
import { CommandError } from './command-error.ts';

/** A new, empty account and its root key, as the AWS CLI's words for them. */
export interface NewAccount {
  readonly AccountId: string;
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
}

/** Asks the running server, or writes to the metadata itself when none runs. */
export async function createAccount(options: ConfigOptions): Promise<NewAccount> {
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
