import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

/** Where the master key is, and what a server says that is started with another one. */

let work: string;

before(async () => {
  work = await mkdtemp(join(tmpdir(), 'varve-master-key-'));
});

after(async () => {
  await rm(work, { recursive: true, force: true });
});

async function kms(
  server: RunningServer,
  operation: string,
  input: object,
): Promise<Readonly<Record<string, unknown>>> {
  const { status, text } = await rawCall(server, { service: 'kms', operation, body: JSON.stringify(input) });
  assert.equal(status, 200, text);
  return text === '' ? {} : (JSON.parse(text) as Readonly<Record<string, unknown>>);
}

async function sealed(server: RunningServer): Promise<string> {
  await kms(server, 'CreateKey', {});
  const { Keys } = (await kms(server, 'ListKeys', {})) as { readonly Keys: readonly { readonly KeyId: string }[] };
  const made = await kms(server, 'Encrypt', { KeyId: Keys[0]?.KeyId, Plaintext: Buffer.from('x').toString('base64') });
  return String(made['CiphertextBlob']);
}

test('the key from the environment; another one, and none, do not start', async () => {
  const data = join(work, 'environment');
  const key = randomBytes(32).toString('base64');
  const start = (value: string) => RunningServer.start({ data, environment: { VARVE_MASTER_KEY: value } });
  let ciphertext: string;
  {
    await using server = await start(key);
    ciphertext = await sealed(server);
    assert.equal((await readdir(data)).includes('master.key'), false, 'it is not written down');
  }
  await assert.rejects(start(randomBytes(32).toString('base64')), /master key/);
  await assert.rejects(start('short'), /VARVE_MASTER_KEY is not 32 bytes/);
  await assert.rejects(RunningServer.start({ data }), /master/);
  await using again = await start(key);
  const opened = await kms(again, 'Decrypt', { CiphertextBlob: ciphertext });
  assert.equal(opened['Plaintext'], Buffer.from('x').toString('base64'));
});

test('the key from a command, and metadata of another installation', async () => {
  const data = join(work, 'command');
  const keeper = join(work, 'keeper');
  // Turns bits, so that what lies there is not the key.
  const turn = `tr '\\000-\\377' '\\200-\\377\\000-\\177'`;
  await writeFile(keeper, `#!/bin/sh\nLC_ALL=C exec ${turn}\n`);
  await chmod(keeper, 0o700);
  const args = ['--master-key-command', keeper];
  let ciphertext: string;
  {
    await using server = await RunningServer.start({ data, args });
    ciphertext = await sealed(server);
    const files = await readdir(data);
    assert.deepEqual([files.includes('master.key'), files.includes('master.key.wrapped')], [false, true]);
  }
  {
    await using server = await RunningServer.start({ data, args });
    assert.equal(
      (await kms(server, 'Decrypt', { CiphertextBlob: ciphertext }))['Plaintext'],
      Buffer.from('x').toString('base64'),
    );
  }
  const other = join(work, 'other');
  {
    await using server = await RunningServer.start({ data: other });
    await sealed(server);
  }
  await cp(join(data, 'meta.db'), join(other, 'meta.db'));
  await assert.rejects(RunningServer.start({ data: other }), /the master key is another one than the keys of KMS/);
});

test('two places at once are refused', async () => {
  const data = join(work, 'two');
  const environment = { VARVE_MASTER_KEY: randomBytes(32).toString('base64') };
  await assert.rejects(
    RunningServer.start({ data, environment, args: ['--master-key-file', join(work, 'k')] }),
    /exclude each other/,
  );
});
