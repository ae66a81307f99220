import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CreateVolumeCommand, DeleteVolumeCommand, EC2Client } from '@aws-sdk/client-ec2';
import { requireTools } from '../clients.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

type Json = Readonly<Record<string, unknown>>;

async function kms(server: RunningServer, operation: string, input: object): Promise<Json> {
  const { status, text } = await rawCall(server, { service: 'kms', operation, body: JSON.stringify(input) });
  assert.equal(status, 200, text);
  return text === '' ? {} : (JSON.parse(text) as Json);
}

/** Brings material for a key that waits for it. */
async function bring(server: RunningServer, KeyId: string, material: Buffer): Promise<void> {
  const WrappingAlgorithm = 'RSAES_OAEP_SHA_256';
  const { PublicKey, ImportToken } = await kms(server, 'GetParametersForImport', {
    KeyId,
    WrappingAlgorithm,
    WrappingKeySpec: 'RSA_2048',
  });
  const key = createPublicKey({ key: Buffer.from(String(PublicKey), 'base64'), format: 'der', type: 'spki' });
  const wrapped = publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, material);
  await kms(server, 'ImportKeyMaterial', {
    KeyId,
    ImportToken,
    EncryptedKeyMaterial: wrapped.toString('base64'),
    ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
  });
}

async function qemuIo(uri: string, command: string): Promise<void> {
  const result = await run('qemu-io', ['-f', 'raw', '-c', command, '-c', 'flush', uri]);
  assert.equal(result.code, 0, result.stdout + result.stderr);
  assert.doesNotMatch(result.stdout + result.stderr, /verification failed|error/i);
}

async function filesWith(directory: string, marker: Buffer): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if ((await readFile(path)).includes(marker)) found.push(path);
  }
  return found;
}

test('what is written to an encrypted volume is in no file, and is out of reach without the key material', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const data = await mkdtemp(join(tmpdir(), 'varve-kms-volumes-'));
  t.after(() => rm(data, { recursive: true, force: true }));
  const material = randomBytes(32);
  const marker = Buffer.alloc(4096, 0xa7);
  let keyId: string;
  let volume: string;
  {
    await using server = await RunningServer.start({ data });
    const made = (await kms(server, 'CreateKey', { Origin: 'EXTERNAL' }))['KeyMetadata'] as Json;
    keyId = String(made['KeyId']);
    await bring(server, keyId, material);
    const create = ['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1'];
    const created = await server.awsJson<Json>([...create, '--encrypted', '--kms-key-id', keyId]);
    assert.deepEqual([created['Encrypted'], created['KmsKeyId']], [true, made['Arn']]);
    volume = String(created['VolumeId']);
    const uri = await server.uri(volume);
    await qemuIo(uri, 'write -P 0xa7 1M 1M');
    const plain = String((await server.awsJson<Json>(create))['VolumeId']);
    await qemuIo(await server.uri(plain), 'write -P 0xa7 1M 1M');
    const found = await filesWith(data, marker);
    assert.ok(found.length > 0 && found.every((path) => path.includes(plain)), found.join(' '));
    await kms(server, 'DeleteImportedKeyMaterial', { KeyId: keyId });
    await qemuIo(uri, 'read -P 0xa7 1M 1M'); // It is open, and stays so.
    assert.match((await server.varve(['connect', volume])).stderr, /KMS key .* cannot be used/);
  }
  await using again = await RunningServer.start({ data });
  const refused = await again.varve(['connect', volume]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /KMS key .* cannot be used/);
  await bring(again, keyId, material);
  await qemuIo(await again.uri(volume), 'read -P 0xa7 1M 1M');
  await qemuIo(await again.uri(volume), 'read -P 0 2M 1M');
});

test('fifty encrypted volumes at once, the first ones of their region: each is made', async (t) => {
  await using server = await RunningServer.start();
  const { accessKeyId, secretAccessKey } = server.credentials;
  const ec2 = new EC2Client({
    endpoint: server.endpoint,
    region: 'eu-west-1',
    credentials: { accessKeyId, secretAccessKey },
    // What is refused once is to be seen.
    maxAttempts: 1,
  });
  t.after(() => ec2.destroy());
  const made = await Promise.all(
    Array.from({ length: 50 }, () =>
      ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'eu-west-1a', Size: 1, Encrypted: true })),
    ),
  );
  const keys = new Set(made.map(({ KmsKeyId }) => KmsKeyId));
  assert.deepEqual([keys.size, new Set(made.map(({ VolumeId }) => VolumeId)).size], [1, 50]);
  await Promise.all(made.map(async ({ VolumeId }) => await ec2.send(new DeleteVolumeCommand({ VolumeId }))));
});
