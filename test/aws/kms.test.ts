import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

/** KMS with the real `aws`, each operation once, and raw requests for what older clients do not know. Refusals and pages: kms-client.py. */

let server: RunningServer;
let work: string;

before(async () => {
  server = await RunningServer.start();
  work = await mkdtemp(join(tmpdir(), 'varve-kms-'));
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

type Json = Readonly<Record<string, unknown>>;

async function kms(...words: readonly string[]): Promise<Json> {
  return await server.awsJson<Json>(['kms', ...words]);
}

async function ec2(...words: readonly string[]): Promise<Json> {
  return await server.awsJson<Json>(['ec2', ...words]);
}

async function blob(name: string, base64: unknown): Promise<string> {
  const path = join(work, name);
  await writeFile(path, Buffer.from(String(base64), 'base64'));
  return `fileb://${path}`;
}

/** The reply of a raw request; a refusal is its code. */
async function call(operation: string, input: object): Promise<Json> {
  const { text } = await rawCall(server, { service: 'kms', operation, body: JSON.stringify(input) });
  return text === '' ? {} : (JSON.parse(text) as Json);
}

async function code(operation: string, input: object): Promise<unknown> {
  return (await call(operation, input))['__type'];
}

async function newKey(input: object = {}): Promise<{ readonly KeyId: string; readonly Arn: string }> {
  return (await call('CreateKey', input))['KeyMetadata'] as { readonly KeyId: string; readonly Arn: string };
}

async function stateOf(KeyId: string): Promise<Json> {
  return (await call('DescribeKey', { KeyId }))['KeyMetadata'] as Json;
}

test('aws kms: keys, their policies, tags, aliases, rotation and deletion', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const made = (await kms('create-key', '--description', 'first', '--tags', 'TagKey=team,TagValue=x'))['KeyMetadata'];
  const { KeyId: id, Arn: arn } = made as { readonly KeyId: string; readonly Arn: string };
  const key = ['--key-id', id];
  const {
    CreationDate: _date,
    CurrentKeyMaterialId: _material,
    ...rest
  } = (await kms('describe-key', ...key))['KeyMetadata'] as Json;
  assert.deepEqual(rest, {
    AWSAccountId: server.credentials.accountId,
    KeyId: id,
    Arn: `arn:aws:kms:us-east-1:${server.credentials.accountId}:key/${id}`,
    Enabled: true,
    Description: 'first',
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: 'Enabled',
    Origin: 'AWS_KMS',
    KeyManager: 'CUSTOMER',
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    KeySpec: 'SYMMETRIC_DEFAULT',
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    MultiRegion: false,
  });
  assert.deepEqual(await kms('list-keys'), { Keys: [{ KeyId: id, KeyArn: arn }] });
  await kms('tag-resource', ...key, '--tags', 'TagKey=b,TagValue=2');
  await kms('untag-resource', ...key, '--tag-keys', 'team');
  assert.deepEqual((await kms('list-resource-tags', ...key))['Tags'], [{ TagKey: 'b', TagValue: '2' }]);
  await kms('update-key-description', ...key, '--description', 'second');
  assert.deepEqual((await kms('list-key-policies', ...key))['PolicyNames'], ['default']);
  const policy = (await kms('get-key-policy', ...key, '--policy-name', 'default'))['Policy'];
  assert.match(String(policy), /Enable IAM User Permissions/);
  await kms('put-key-policy', ...key, '--policy-name', 'default', '--policy', String(policy));

  await kms('create-alias', '--alias-name', 'alias/a', '--target-key-id', id);
  const other = await newKey();
  await kms('update-alias', '--alias-name', 'alias/a', '--target-key-id', other.Arn);
  const { Aliases } = (await kms('list-aliases')) as { readonly Aliases: readonly Json[] };
  assert.deepEqual(
    Aliases.map(({ AliasName, TargetKeyId }) => [AliasName, TargetKeyId]),
    [['alias/a', other.KeyId]],
  );
  await kms('delete-alias', '--alias-name', 'alias/a');

  await kms('enable-key-rotation', ...key);
  assert.equal((await kms('get-key-rotation-status', ...key))['KeyRotationEnabled'], true);
  await kms('disable-key-rotation', ...key);
  await kms('disable-key', ...key);
  assert.equal((await stateOf(id))['KeyState'], 'Disabled');
  await kms('enable-key', ...key);
  await kms('schedule-key-deletion', ...key, '--pending-window-in-days', '7');
  const metadata = await stateOf(id);
  assert.deepEqual(
    [metadata['KeyState'], metadata['Description'], metadata['Enabled']],
    ['PendingDeletion', 'second', false],
  );
  assert.equal((await kms('cancel-key-deletion', ...key))['KeyId'], arn);
});

test('aws kms: messages and grants', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const [one, other] = [await newKey(), await newKey()];
  const key = ['--key-id', one.KeyId];
  const plaintext = await blob('plain', Buffer.from('hello').toString('base64'));
  const sealed = await kms('encrypt', ...key, '--plaintext', plaintext, '--encryption-context', 'purpose=test,n=1');
  const moved = await kms(
    're-encrypt',
    ...['--ciphertext-blob', await blob('cipher', sealed['CiphertextBlob'])],
    ...['--source-encryption-context', 'purpose=test,n=1', '--destination-key-id', other.Arn],
  );
  assert.deepEqual([moved['SourceKeyId'], moved['KeyId']], [one.Arn, other.Arn]);
  const opened = await kms('decrypt', '--ciphertext-blob', await blob('moved', moved['CiphertextBlob']));
  assert.equal(Buffer.from(String(opened['Plaintext']), 'base64').toString(), 'hello');
  const dataKey = await kms('generate-data-key', ...key, '--key-spec', 'AES_256');
  assert.equal(Buffer.from(String(dataKey['Plaintext']), 'base64').length, 32);
  assert.equal(
    (await call('Decrypt', { CiphertextBlob: dataKey['CiphertextBlob'] }))['Plaintext'],
    dataKey['Plaintext'],
  );
  const without = await kms('generate-data-key-without-plaintext', ...key, '--number-of-bytes', '7');
  assert.equal(without['Plaintext'], undefined);
  const seven = await call('Decrypt', { CiphertextBlob: without['CiphertextBlob'] });
  assert.equal(Buffer.from(String(seven['Plaintext']), 'base64').length, 7);
  const random = await kms('generate-random', '--number-of-bytes', '1024');
  assert.equal(Buffer.from(String(random['Plaintext']), 'base64').length, 1024);

  const user = `arn:aws:iam::${server.credentials.accountId}:root`;
  const create = ['create-grant', ...key, '--grantee-principal', user, '--retiring-principal', user];
  const named = [...create, '--operations', 'Encrypt', '--name', 'n', '--constraints', 'EncryptionContextSubset={a=b}'];
  const grant = await kms(...named);
  assert.equal((await kms(...named))['GrantId'], grant['GrantId'], 'a name makes it the same grant');
  const { Grants } = (await kms('list-grants', ...key)) as { readonly Grants: readonly Json[] };
  const { CreationDate: _date, ...shown } = Grants[0] ?? {};
  assert.deepEqual(shown, {
    KeyId: one.Arn,
    GrantId: grant['GrantId'],
    Name: 'n',
    GranteePrincipal: user,
    RetiringPrincipal: user,
    IssuingAccount: `arn:aws:iam::${server.credentials.accountId}:root`,
    Operations: ['Encrypt'],
    Constraints: { EncryptionContextSubset: { a: 'b' } },
  });
  const retirable = await kms('list-retirable-grants', '--retiring-principal', user);
  assert.deepEqual(retirable['Grants'], Grants);
  await kms('retire-grant', '--grant-token', String(grant['GrantToken']));
  const second = await call('CreateGrant', { KeyId: one.KeyId, GranteePrincipal: user, Operations: ['Decrypt'] });
  await kms('revoke-grant', ...key, '--grant-id', String(second['GrantId']));
  assert.deepEqual((await call('ListGrants', { KeyId: one.KeyId }))['Grants'], []);
});

test('aws kms: key material of one’s own', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const { KeyId } = await newKey({ Origin: 'EXTERNAL' });
  const key = ['--key-id', KeyId];
  assert.equal((await stateOf(KeyId))['KeyState'], 'PendingImport');
  const material = randomBytes(32);
  const wrap = (publicKey: unknown, bytes: Buffer, oaepHash: string): Buffer => {
    const rsa = createPublicKey({ key: Buffer.from(String(publicKey), 'base64'), format: 'der', type: 'spki' });
    return publicEncrypt({ key: rsa, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, bytes);
  };
  const parameters = await kms(
    'get-parameters-for-import',
    ...[...key, '--wrapping-algorithm', 'RSAES_OAEP_SHA_256', '--wrapping-key-spec', 'RSA_2048'],
  );
  const wrapped = wrap(parameters['PublicKey'], material, 'sha256').toString('base64');
  await kms(
    'import-key-material',
    ...[...key, '--import-token', await blob('token', parameters['ImportToken'])],
    ...['--encrypted-key-material', await blob('material', wrapped)],
    ...['--expiration-model', 'KEY_MATERIAL_DOES_NOT_EXPIRE'],
  );
  const metadata = await stateOf(KeyId);
  assert.deepEqual([metadata['KeyState'], metadata['ExpirationModel']], ['Enabled', 'KEY_MATERIAL_DOES_NOT_EXPIRE']);
  const { CiphertextBlob } = await call('Encrypt', { KeyId, Plaintext: 'aGVsbG8=' });
  await kms('delete-imported-key-material', ...key);
  assert.equal(await code('Decrypt', { CiphertextBlob }), 'KMSInvalidStateException');

  const forImport = { KeyId, WrappingAlgorithm: 'RSAES_OAEP_SHA_1', WrappingKeySpec: 'RSA_4096' };
  const again = await call('GetParametersForImport', forImport);
  const bring = (bytes: Buffer, some: object) => ({
    KeyId,
    ImportToken: again['ImportToken'],
    EncryptedKeyMaterial: wrap(again['PublicKey'], bytes, 'sha1').toString('base64'),
    ...some,
  });
  const ValidTo = Math.floor(Date.now() / 1000) + 3600;
  assert.equal(await code('ImportKeyMaterial', bring(randomBytes(32), { ValidTo })), 'IncorrectKeyMaterialException');
  assert.equal(await code('ImportKeyMaterial', bring(material, {})), 'ValidationException', 'it expires: when?');
  assert.equal(await code('ImportKeyMaterial', bring(material, { ValidTo })), undefined);
  assert.equal((await call('Decrypt', { CiphertextBlob }))['Plaintext'], 'aGVsbG8=');
  const expiring = await stateOf(KeyId);
  assert.deepEqual([expiring['ExpirationModel'], expiring['ValidTo']], ['KEY_MATERIAL_EXPIRES', ValidTo]);
});

test('what older clients do not know: rotation on demand and by a period of one’s own, dry runs', async () => {
  const { KeyId, Arn } = await newKey();
  assert.equal(await code('EnableKeyRotation', { KeyId, RotationPeriodInDays: 89 }), 'ValidationException');
  await call('EnableKeyRotation', { KeyId, RotationPeriodInDays: 100 });
  const status = await call('GetKeyRotationStatus', { KeyId });
  const days = (Number(status['NextRotationDate']) - Date.now() / 1000) / 86_400;
  assert.ok(status['RotationPeriodInDays'] === 100 && days > 99.9 && days <= 100, JSON.stringify(status));
  assert.deepEqual(await call('RotateKeyOnDemand', { KeyId }), { KeyId: Arn });
  const { Rotations } = (await call('ListKeyRotations', { KeyId })) as { readonly Rotations: readonly Json[] };
  assert.deepEqual(
    Rotations.map(({ RotationType, KeyMaterialState }) => [RotationType, KeyMaterialState]),
    [['ON_DEMAND', 'CURRENT']],
  );
  const all = await call('ListKeyRotations', { KeyId, IncludeKeyMaterial: 'ALL_KEY_MATERIAL' });
  assert.equal((all['Rotations'] as readonly Json[]).length, 2);
  for (const [operation, input] of [
    ['Encrypt', { KeyId, Plaintext: 'aGVsbG8=' }],
    ['GenerateDataKey', { KeyId, KeySpec: 'AES_256' }],
    [
      'CreateGrant',
      { KeyId, GranteePrincipal: `arn:aws:iam::${server.credentials.accountId}:root`, Operations: ['Decrypt'] },
    ],
  ] as const) {
    const body = JSON.stringify({ ...input, DryRun: true });
    const { status: httpStatus, text } = await rawCall(server, { service: 'kms', operation, body });
    assert.deepEqual([httpStatus, (JSON.parse(text) as Json)['__type']], [412, 'DryRunOperationException'], operation);
  }
  assert.deepEqual((await call('ListGrants', { KeyId }))['Grants'], []);
});

test('what this server does not have is refused by name', async () => {
  const { KeyId } = await newKey();
  for (const [operation, input] of [
    ['GetPublicKey', { KeyId }],
    ['DescribeCustomKeyStores', {}],
    ['ReplicateKey', { KeyId, ReplicaRegion: 'eu-west-1' }],
    ['GenerateMac', { KeyId, Message: 'eA==', MacAlgorithm: 'HMAC_SHA_256' }],
    ['CreateKey', { MultiRegion: true }],
  ] as const) {
    assert.equal(await code(operation, input), 'UnsupportedOperationException', operation);
  }
});

test('aws ec2: encryption by default and the default key, per region', async (t) => {
  if (!requireTool(t, 'aws')) return;
  assert.deepEqual(await ec2('enable-ebs-encryption-by-default'), { EbsEncryptionByDefault: true });
  assert.equal((await ec2('get-ebs-encryption-by-default'))['EbsEncryptionByDefault'], true);
  const elsewhere = await ec2('get-ebs-encryption-by-default', '--region', 'eu-west-1');
  assert.equal(elsewhere['EbsEncryptionByDefault'], false);
  assert.deepEqual(await ec2('disable-ebs-encryption-by-default'), { EbsEncryptionByDefault: false });
  assert.deepEqual(await ec2('get-ebs-default-kms-key-id'), { KmsKeyId: 'alias/aws/ebs' });
  const { KeyId, Arn } = await newKey();
  await call('CreateAlias', { AliasName: 'alias/ebs-default', TargetKeyId: KeyId });
  const modify = ['modify-ebs-default-kms-key-id', '--kms-key-id'];
  assert.deepEqual(await ec2(...modify, 'alias/ebs-default'), { KmsKeyId: Arn });
  assert.deepEqual(await ec2('get-ebs-default-kms-key-id'), { KmsKeyId: Arn });
  const managed = await stateOf('alias/aws/ebs');
  assert.equal(managed['KeyManager'], 'AWS');
  assert.equal(await code('ScheduleKeyDeletion', { KeyId: managed['KeyId'] }), 'AccessDeniedException');
  assert.deepEqual(await ec2('reset-ebs-default-kms-key-id'), { KmsKeyId: managed['Arn'] });
  assert.deepEqual(await ec2('get-ebs-default-kms-key-id'), { KmsKeyId: 'alias/aws/ebs' });
  assert.match((await server.aws(['ec2', ...modify, 'alias/never'])).stderr, /\(InvalidParameterValue\)/);
  assert.match((await server.aws(['ec2', ...modify, KeyId, '--dry-run'])).stderr, /\(DryRunOperation\)/);
  await call('DisableKey', { KeyId });
  assert.match((await server.aws(['ec2', ...modify, KeyId])).stderr, /\(InvalidKMSKey\.InvalidState\)/);
});
