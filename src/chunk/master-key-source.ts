import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import type { Random } from '#base/random.ts';

import { loadMasterKey, MASTER_KEY_BYTES } from './master-key.ts';

/** Where the key is from which all others are derived. It is passed between processes; the key is not. */
export type MasterKeySource =
  /** `where`: its path; null: `master.key` in the data directory. */
  | { readonly kind: 'file'; readonly where: string | null }
  /** VARVE_MASTER_KEY: 32 bytes in base64 or in hexadecimal digits. */
  | { readonly kind: 'environment' }
  /** The data directory has it wrapped (`master.key.wrapped`); `where`, a command line of the shell, wraps and unwraps. */
  | { readonly kind: 'command'; readonly where: string };

export const MASTER_KEY_DEFAULT: MasterKeySource = { kind: 'file', where: null };
export const MASTER_KEY_VARIABLE = 'VARVE_MASTER_KEY';

const COMMAND_TIMEOUT_MS = 60_000;
const WRAPPED_BYTES_MAX = 64 * 1024;

export interface MasterKeyPlace {
  readonly dataDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly random: Random;
  /** Called before a new key is made at a path; throws when there must have been one. Absent: none is ever made. */
  readonly mayMake?: (path: string) => Promise<void>;
}

/** The 32 bytes. Throws, with a sentence that says where it looked, when there is no key or it is of another form. */
export async function openMasterKey(source: MasterKeySource, place: MasterKeyPlace): Promise<Buffer> {
  switch (source.kind) {
    case 'file':
      return await keyOfFile(source.where ?? join(place.dataDirectory, 'master.key'), place);
    case 'environment':
      return keyOfText(place.environment[MASTER_KEY_VARIABLE] ?? '');
    case 'command':
      return await keyOfCommand(source.where, place);
  }
}

async function keyOfFile(path: string, place: MasterKeyPlace): Promise<Buffer> {
  if (!existsSync(path)) await makingOf(path, place);
  return await loadMasterKey(path, place.random);
}

async function makingOf(path: string, { mayMake }: MasterKeyPlace): Promise<void> {
  if (mayMake === undefined) throw new Error(`there is no master key ${path}`);
  await mayMake(path);
}

function keyOfText(text: string): Buffer {
  const isHex = /^[0-9A-Fa-f]{64}$/.test(text);
  const key = Buffer.from(text, isHex ? 'hex' : 'base64');
  // Node's decoder skips what is not base64.
  if (key.length !== MASTER_KEY_BYTES || (!isHex && key.toString('base64') !== text)) {
    throw new Error(
      `${MASTER_KEY_VARIABLE} is not ${MASTER_KEY_BYTES} bytes in base64 or hexadecimal: openssl rand -base64 ${MASTER_KEY_BYTES} makes such a key`,
    );
  }
  return key;
}

/**
 * `COMMAND wrap` and `COMMAND unwrap` read bytes from standard input and write bytes to standard output, and end with 0.
 * A key that lay in the clear until now is wrapped as it is; the clear one is left for its owner to remove.
 */
async function keyOfCommand(command: string, place: MasterKeyPlace): Promise<Buffer> {
  const path = join(place.dataDirectory, 'master.key.wrapped');
  if (!existsSync(path)) {
    const clear = join(place.dataDirectory, 'master.key');
    if (!existsSync(clear)) await makingOf(path, place);
    const key = existsSync(clear) ? await loadMasterKey(clear, place.random) : place.random.bytes(MASTER_KEY_BYTES);
    const wrapped = await ask(command, 'wrap', key);
    // Before anything is encrypted with a key that nobody could unwrap.
    if (!(await ask(command, 'unwrap', wrapped)).equals(key)) {
      throw new Error('--master-key-command: what "wrap" wrote is not unwrapped by "unwrap" to the same key');
    }
    await writeFileAtomic(path, wrapped, { mode: 0o600 });
  }
  const key = await ask(command, 'unwrap', await readFile(path));
  if (key.length !== MASTER_KEY_BYTES) {
    throw new Error(
      `--master-key-command: "unwrap" of ${path} gave ${key.length} bytes instead of ${MASTER_KEY_BYTES}`,
    );
  }
  return key;
}

async function ask(command: string, verb: 'wrap' | 'unwrap', input: Uint8Array): Promise<Buffer> {
  const child = spawn('/bin/sh', ['-c', `${command} ${verb}`], { stdio: 'pipe', timeout: COMMAND_TIMEOUT_MS });
  const output: Buffer[] = [];
  let outputBytes = 0;
  let complaint = '';
  child.stdout.on('data', (part: Buffer) => {
    outputBytes += part.length;
    if (outputBytes <= WRAPPED_BYTES_MAX) output.push(part);
  });
  child.stderr.on('data', (part: Buffer) => {
    complaint = (complaint + part.toString()).slice(0, 512);
  });
  child.stdin.on('error', () => {}); // It ended without reading; its code says how.
  child.stdin.end(input);
  const { code, signal } = await new Promise<{ readonly code: number | null; readonly signal: string | null }>(
    (resolve, reject) => {
      child.on('error', reject);
      child.on('close', (exit, by) => resolve({ code: exit, signal: by }));
    },
  );
  if (code !== 0) {
    const how = code === null ? `was ended by ${signal}` : `ended with ${code}`;
    throw new Error(`--master-key-command: "${verb}" ${how}${complaint === '' ? '' : `: ${complaint.trim()}`}`);
  }
  if (outputBytes === 0 || outputBytes > WRAPPED_BYTES_MAX) {
    throw new Error(`--master-key-command: "${verb}" wrote ${outputBytes} bytes`);
  }
  return Buffer.concat(output);
}
