import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { MASTER_KEY_DEFAULT, type MasterKeyPlace, type MasterKeySource, openMasterKey } from './master-key-source.ts';

const mayMake = async (): Promise<void> => {};

function placeIn(dataDirectory: string, some: Partial<MasterKeyPlace> = {}): MasterKeyPlace {
  return { dataDirectory, environment: {}, random: new SeededRandom(1), ...some };
}

/** A keeper of keys that turns every bit, and says how it was called. */
async function keeper(directory: string): Promise<MasterKeySource & { readonly kind: 'command' }> {
  const path = join(directory, 'keeper');
  const turn =
    "const b=[];process.stdin.on('data',(d)=>b.push(d));process.stdin.on('end',()=>process.stdout.write(Buffer.concat(b).map((x)=>255-x)))";
  await writeFile(path, `#!/bin/sh\nexec ${process.execPath} -e "${turn}"\n`);
  await chmod(path, 0o700);
  return { kind: 'command', where: path };
}

test('a file: made where one may be made, and only there', async () => {
  const directory = scratchDirectory('master-key-file');
  await assert.rejects(openMasterKey(MASTER_KEY_DEFAULT, placeIn(directory)), /there is no master key .*master\.key/);
  const refusing = async (path: string): Promise<void> => {
    throw new Error(`${path} is gone`);
  };
  await assert.rejects(openMasterKey(MASTER_KEY_DEFAULT, placeIn(directory, { mayMake: refusing })), /is gone/);
  const made = await openMasterKey(MASTER_KEY_DEFAULT, placeIn(directory, { mayMake }));
  assert.equal((await stat(join(directory, 'master.key'))).mode & 0o777, 0o600);
  assert.deepEqual(await openMasterKey(MASTER_KEY_DEFAULT, placeIn(directory)), made);
  const elsewhere = { kind: 'file', where: join(directory, 'other.key') } as const;
  assert.notDeepEqual(
    await openMasterKey(elsewhere, placeIn(directory, { mayMake, random: new SeededRandom(2) })),
    made,
  );
});

test('the environment: base 64 or hexadecimal, 32 bytes, nothing else', async () => {
  const directory = scratchDirectory('master-key-environment');
  const key = Buffer.alloc(32, 7);
  const open = (text: string | undefined) =>
    openMasterKey({ kind: 'environment' }, placeIn(directory, { environment: { VARVE_MASTER_KEY: text } }));
  assert.deepEqual(await open(key.toString('base64')), key);
  assert.deepEqual(await open(key.toString('hex')), key);
  for (const wrong of [undefined, '', 'x', key.toString('base64').slice(1), `${key.toString('base64')} `]) {
    await assert.rejects(open(wrong), /VARVE_MASTER_KEY is not 32 bytes/);
  }
});

test('a command: the key lies wrapped; one that lay in the clear is wrapped as it is', async () => {
  const directory = scratchDirectory('master-key-command');
  const command = await keeper(directory);
  const key = await openMasterKey(command, placeIn(directory, { mayMake }));
  const wrapped = await readFile(join(directory, 'master.key.wrapped'));
  assert.deepEqual(Buffer.from(wrapped.map((byte) => 255 - byte)), key);
  assert.equal((await stat(join(directory, 'master.key.wrapped'))).mode & 0o777, 0o600);
  assert.equal(existsSync(join(directory, 'master.key')), false);
  assert.deepEqual(await openMasterKey(command, placeIn(directory)), key);

  const before = scratchDirectory('master-key-moved');
  const clear = await openMasterKey(MASTER_KEY_DEFAULT, placeIn(before, { mayMake }));
  assert.deepEqual(await openMasterKey(await keeper(before), placeIn(before)), clear);
});

test('a command that fails, or does not give back what it took, is told in a sentence, and leaves nothing', async () => {
  const directory = scratchDirectory('master-key-failing');
  const open = (where: string) => openMasterKey({ kind: 'command', where }, placeIn(directory, { mayMake }));
  await assert.rejects(open('echo no access >&2; exit 3 #'), /"wrap" ended with 3: no access/);
  await assert.rejects(open('/nowhere/keeper'), /"wrap" ended with 127/);
  await assert.rejects(open('printf other #'), /is not unwrapped by "unwrap"/);
  await assert.rejects(open('true'), /"wrap" wrote 0 bytes/);
  assert.equal(existsSync(join(directory, 'master.key.wrapped')), false);
  await assert.rejects(
    openMasterKey({ kind: 'command', where: 'cat #' }, placeIn(directory)),
    /there is no master key/,
  );
});
