import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '#base/atomic-file.ts';

export interface Credentials {
  readonly accountId: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Where the first account's root key is kept, in the AWS tools' own format, readable by its owner only. */
export function credentialsPath(dataDirectory: string): string {
  return join(dataDirectory, 'credentials');
}

export async function writeCredentialsFile(dataDirectory: string, credentials: Credentials): Promise<void> {
  const text = [
    '# The root key of the first account of this server. Keep it as you keep the server.',
    '[default]',
    `aws_access_key_id = ${credentials.accessKeyId}`,
    `aws_secret_access_key = ${credentials.secretAccessKey}`,
    `aws_account_id = ${credentials.accountId}`,
    '',
  ].join('\n');
  await writeFileAtomic(credentialsPath(dataDirectory), text, { mode: 0o600 });
}

/** Null when the server never started on this directory. Throws when the file is there and lacks a key. */
export async function readCredentialsFile(dataDirectory: string): Promise<Credentials | null> {
  let text: string;
  try {
    text = await readFile(credentialsPath(dataDirectory), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  const values = new Map(
    [...text.matchAll(/^\s*([a-z_]+)\s*=\s*(\S+)\s*$/gm)].map((match) => [match[1] ?? '', match[2] ?? '']),
  );
  const [accessKeyId, secretAccessKey, accountId] = [
    'aws_access_key_id',
    'aws_secret_access_key',
    'aws_account_id',
  ].map((name) => values.get(name));
  if (accessKeyId === undefined || secretAccessKey === undefined || accountId === undefined) {
    throw new Error(
      `${credentialsPath(dataDirectory)} lacks a key; restore it, or make another with "varve accounts create"`,
    );
  }
  return { accessKeyId, secretAccessKey, accountId };
}
