import { allAccounts, asNewKey, keyWords } from './accounts.ts';
import { askServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { credentialsPath, readCredentialsFile, writeCredentialsFile } from './credentials-file.ts';
import { type Column, tableLines } from './table.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const KEYS_USAGE = `The access keys of the roots of accounts. Keys of IAM users: "varve iam create-access-key". The master key, from which
all that is encrypted descends, is a file: see docs/kms.md.

usage: varve keys list [ACCOUNT] [--json] [--data DIR]
       varve keys replace KEY-ID [--json] [--data DIR]

list      the ids of the keys, and whose they are; secrets are shown once only, when they are made
replace   makes a new key in the place of one, which is refused from then on. Where it is the server's own, the file
          "credentials" in the data directory gets the new one; eval "$(varve env)" takes it up
`;

interface Row {
  readonly account: string;
  readonly accessKeyId: string;
  readonly createdAtMs: number;
  readonly isOwn: boolean;
}

const COLUMNS: readonly Column<Row>[] = [
  { heading: 'KEY', cell: ({ accessKeyId }) => accessKeyId },
  { heading: 'ACCOUNT', cell: ({ account }) => account },
  { heading: 'CREATED', cell: ({ createdAtMs }) => new Date(createdAtMs).toISOString().slice(0, 19).concat('Z') },
  { heading: 'USED BY', cell: ({ isOwn }) => (isOwn ? 'varve on this machine' : '-') },
];

/** `varve keys`. Throws ConfigError for a wrong command line, CommandError when no server runs. */
export async function keysCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('keys', rest, { data: { type: 'string' }, json: { type: 'boolean' } });
  const options = { data: words.text('data') };
  const [verb = '', subject, ...extra] = words.positionals;
  if (extra.length > 0) throw words.wrong(`unexpected "${extra.join(' ')}"`);
  const directory = servedDirectory(options);
  const own = (await readCredentialsFile(directory))?.accessKeyId ?? null;
  if (verb === 'list') {
    const accounts = await allAccounts(options);
    if (subject !== undefined && !accounts.some(({ id, alias }) => id === subject || alias === subject)) {
      throw new CommandError(`there is no account "${subject}"; see varve accounts list`);
    }
    const rows = accounts
      .filter(({ id, alias }) => subject === undefined || id === subject || alias === subject)
      .flatMap(({ id, keys }) => keys.map((key) => ({ account: id, ...key, isOwn: key.accessKeyId === own })));
    if (words.flag('json')) process.stdout.write(`${JSON.stringify({ keys: rows }, null, 2)}\n`);
    else for (const line of tableLines(COLUMNS, rows)) process.stdout.write(`${line}\n`);
    return;
  }
  if (verb !== 'replace') throw words.wrong(`the verbs are list and replace, not "${verb}"`);
  if (subject === undefined) throw words.wrong('which key? See varve keys list');
  const query = new URLSearchParams({ replace: subject }).toString();
  const made = asNewKey(await askServer(options, 'POST', `/keys?${query}`));
  process.stdout.write(keyWords(made, words.flag('json')));
  if (own !== subject) return;
  const { AccountId: accountId, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey } = made;
  await writeCredentialsFile(directory, { accountId, accessKeyId, secretAccessKey });
  process.stderr.write(`${credentialsPath(directory)} has it; what used the old one is refused now\n`);
}
