import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientRequest } from '#api/signing-client.fake.ts';
import { encodeRequest } from '#client/connection/encode-request.ts';
import { asTyped } from '#client/connection/typed-input.fixture.ts';
import { createInstances } from '#control/machines/create.ts';
import { machinesRequest } from '#control/machines/machine.fixture.ts';
import { parseSnapshotId, regionName } from '#domain/ids.ts';
import { SeededRandom } from '#base/random.ts';
import { present } from '#base/assert.ts';
import { loadModel, structureOf, type Model } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { SampleValues } from '#wire/aws/sample-values.fake.ts';
import { AccessScene, codeOf, type Member } from './scene.fake.ts';

const SERVICES: readonly ServiceName[] = ['ec2', 'lightsail', 'ebs', 'kms', 'rbin', 'dlm', 'sts', 'iam'];

/** What says "you may not". */
const DENIALS = new Set(['UnauthorizedOperation', 'AccessDenied', 'AccessDeniedException']);
/** Nobody needs leave for these: who one is, and a token for oneself. */
const FREE = new Set(['sts:GetCallerIdentity', 'sts:GetSessionToken']);
/** KMS says first that there is no such grant, or that a token is not its own. */
const ABSENT = new Set(['NotFoundException', 'InvalidGrantTokenException', 'InvalidGrantIdException']);

interface Place {
  readonly volume: string;
  readonly snapshot: string;
  readonly disk: string;
  readonly instance: string;
  readonly keyPair: string;
  readonly role: string;
  readonly key: string;
  readonly ciphertext: Uint8Array;
}

/** Values for the members that name resources, so that a call that were allowed would reach them. */
function named(place: Place): Readonly<Record<string, unknown>> {
  return {
    VolumeId: place.volume,
    VolumeIds: [place.volume],
    SourceVolumeId: place.volume,
    SnapshotId: place.snapshot,
    SnapshotIds: [place.snapshot],
    SourceSnapshotId: place.snapshot,
    SourceSnapshotIds: [place.snapshot],
    FirstSnapshotId: place.snapshot,
    SecondSnapshotId: place.snapshot,
    SourceRegion: 'us-east-1',
    Resources: [place.volume, place.snapshot],
    diskName: place.disk,
    instanceName: place.instance,
    keyPairName: place.keyPair,
    resourceName: place.disk,
    RoleArn: place.role,
    RoleName: 'keeper',
    UserName: 'victim',
    KeyId: place.key,
    TargetKeyId: place.key,
    DestinationKeyId: place.key,
  };
}

/** What KMS would refuse before it asks who may. */
function kmsValues({ ciphertext, role }: Place): Readonly<Record<string, unknown>> {
  return {
    AliasName: 'alias/walk',
    CiphertextBlob: ciphertext,
    GranteePrincipal: role,
    RetiringPrincipal: role,
    Operations: ['Decrypt'],
    KeySpec: 'AES_256',
    NumberOfBytes: 32,
    Tags: [{ TagKey: 'a', TagValue: 'b' }],
    TagKeys: ['a'],
    WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
    WrappingKeySpec: 'RSA_2048',
    ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
    GrantId: 'a'.repeat(64),
  };
}

function inputOf(service: ServiceName, operation: string, place: Place, seed: number): Record<string, unknown> {
  const model = loadModel(service);
  const shapeName = model.operations.get(operation)?.input;
  if (shapeName === undefined) return {};
  const samples = new SampleValues(model, { random: new SeededRandom(seed), density: 0 });
  const input = samples.structure(shapeName);
  const { members } = structureOf(model, shapeName);
  if (service === 'kms') {
    for (const [name, value] of Object.entries(kmsValues(place))) {
      if (members.has(name) && !(operation === 'CreateKey' && name === 'KeySpec')) input[name] = value;
    }
    if (operation.startsWith('GenerateDataKey')) delete input['NumberOfBytes'];
  }
  for (const [name, value] of Object.entries(named(place))) {
    const type = members.get(name)?.type;
    if (type === undefined || (type === 'string') !== (typeof value === 'string')) continue;
    input[name] = value;
  }
  return input;
}

async function placeOf(scene: AccessScene, owner: Member): Promise<Place> {
  const { client } = owner;
  const created = await client.form('ec2', {
    Action: 'CreateVolume',
    Version: '2016-11-15',
    AvailabilityZone: 'us-east-1a',
    Size: '1',
  });
  const volume = /<volumeId>([^<]+)</.exec(created.text)?.[1] ?? '';
  const cut = await client.form('ec2', { Action: 'CreateSnapshot', Version: '2016-11-15', VolumeId: volume });
  const snapshot = /<snapshotId>([^<]+)</.exec(cut.text)?.[1] ?? '';
  await client.json('CreateDisk', { diskName: 'disk-1', availabilityZone: 'us-east-1a', sizeInGb: 8 });
  await client.json('CreateKeyPair', { keyPairName: 'key-pair-1' });
  await scene.world.settle();
  const scope = { account: owner.account, region: regionName('us-east-1') };
  const system = parseSnapshotId(snapshot);
  assert.ok(system !== null);
  await createInstances(scene.world.ports, scope, machinesRequest(scope, system, ['instance-1']));
  await scene.user(owner.account, 'victim', null);
  const trust = { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { AWS: owner.account } };
  await client.form('iam', {
    Action: 'CreateRole',
    Version: '2010-05-08',
    RoleName: 'keeper',
    AssumeRolePolicyDocument: JSON.stringify({ Version: '2012-10-17', Statement: trust }),
  });
  const kms = async (operation: string, body: object): Promise<unknown> => {
    const target = `TrentService.${operation}`;
    const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target };
    const reply = await client.send({ service: 'kms', body: JSON.stringify(body), headers });
    assert.equal(reply.status, 200, reply.text);
    return JSON.parse(reply.text);
  };
  const { KeyMetadata: metadata } = (await kms('CreateKey', {})) as { KeyMetadata: { KeyId: string } };
  const sealed = await kms('Encrypt', { KeyId: metadata.KeyId, Plaintext: 'AAAA' });
  const { CiphertextBlob: ciphertext } = sealed as { CiphertextBlob: string };
  await scene.world.settle();
  assert.match(volume, /^vol-/);
  assert.match(snapshot, /^snap-/);
  return {
    volume,
    snapshot,
    disk: 'disk-1',
    instance: 'instance-1',
    keyPair: 'key-pair-1',
    role: `arn:aws:iam::${owner.account}:role/keeper`,
    key: metadata.KeyId,
    ciphertext: Buffer.from(ciphertext, 'base64'),
  };
}

/** As the command line sends it. */
function requestOf(model: Model, name: string, input: Readonly<Record<string, unknown>>): ClientRequest {
  const operation = present(model.operations.get(name), `the model has ${name}`);
  const { method, path, query, headers, body } = encodeRequest(model, name, operation, asTyped(input));
  return {
    service: model.service,
    method,
    path,
    query: query.split('&').toSorted().join('&'),
    headers: Object.fromEntries(headers.map(([header, value]) => [header.toLowerCase(), value])),
    body,
  };
}

type Told = readonly { readonly name: string; readonly code: string | null; readonly text: string }[];

async function walk(member: Member, place: Place): Promise<Told> {
  const told: { name: string; code: string | null; text: string }[] = [];
  for (const service of SERVICES) {
    const model = loadModel(service);
    for (const [index, operation] of [...model.operations.keys()].entries()) {
      const request = requestOf(model, operation, inputOf(service, operation, place, index));
      const reply = await member.client.send(request);
      told.push({ name: `${service}:${operation}`, code: codeOf(reply), text: reply.text });
    }
  }
  return told;
}

test('who may do nothing is refused every operation of every service', async () => {
  await using scene = await AccessScene.open();
  const owner = await scene.root();
  const place = await placeOf(scene, owner);
  const nobody = await scene.user(owner.account, 'nobody', null);
  const stranger = await scene.user((await scene.root()).account, 'stranger', null);
  for (const member of [nobody, stranger]) {
    const told = await walk(member, place);
    const isRefused = (name: string, code: string | null): boolean =>
      code !== null && (DENIALS.has(code) || (name.startsWith('kms:') && ABSENT.has(code)));
    const wrong = told.filter(({ name, code }) => !FREE.has(name) && !isRefused(name, code));
    assert.deepEqual(
      wrong.map(({ name, code, text }) => `${name}: ${code} ${text.slice(0, 200)}`),
      [],
    );
    assert(told.length > 400, 'all operations were walked');
  }
  // Nothing of it had an effect: the owner has what it had.
  const volumes = await owner.client.form('ec2', { Action: 'DescribeVolumes', Version: '2016-11-15' });
  assert.equal(volumes.text.match(/<volumeId>/g)?.length, 1);
  assert.deepEqual(scene.broken, []);
});

test('who may do everything in another account reaches nothing of this one, and does not learn what is there', async () => {
  await using scene = await AccessScene.open();
  const owner = await scene.root();
  const place = await placeOf(scene, owner);
  const stranger = await scene.root();
  const told = await walk(stranger, place);
  const away = {
    ...place,
    volume: 'vol-0aaaaaaaaaaaaaaaa',
    snapshot: 'snap-0aaaaaaaaaaaaaaaa',
    key: '11111111-2222-4333-8444-555555555555',
  };
  const other = await scene.root();
  const absent = new Map((await walk(other, away)).map(({ name, code }) => [name, code]));
  // What the caller said itself may be said back: the role that it named, the key that its ciphertext names.
  const said = [place.role, `arn:aws:kms:us-east-1:${owner.account}:key/${place.key}`];
  const leaks = told.filter(({ text }) =>
    said.reduce((rest, arn) => rest.replaceAll(arn, ''), text).includes(owner.account),
  );
  assert.deepEqual(
    leaks.map(({ name, text }) => `${name}: ${text.slice(0, 300)}`),
    [],
  );
  const unlike = told.filter(({ name, code }) => code !== absent.get(name));
  assert.deepEqual(
    unlike.map(({ name, code }) => `${name}: ${code}, and ${absent.get(name)} for what is not there`),
    [],
  );
  const volumes = await owner.client.form('ec2', {
    Action: 'DescribeVolumes',
    Version: '2016-11-15',
    'VolumeId.1': place.volume,
  });
  assert.equal(codeOf(volumes), null);
  assert.deepEqual(scene.broken, []);
});

test('the root of an account is refused nothing for want of leave', async () => {
  await using scene = await AccessScene.open();
  const owner = await scene.root();
  const told = await walk(owner, await placeOf(scene, owner));
  const wrong = told.filter(({ code }) => code !== null && DENIALS.has(code));
  assert.deepEqual(
    wrong.map(({ name, code, text }) => `${name}: ${code} ${text.slice(0, 200)}`),
    [],
  );
  assert.deepEqual(scene.broken, []);
});

test('who names more than any request may is refused without a look at each, and in one short line', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const user = await scene.user(root.account, 'wide', { Effect: 'Allow', Action: 'ec2:*', Resource: '*' });
  const parameters: Record<string, string> = { Action: 'CreateTags', Version: '2016-11-15' };
  parameters['Tag.1.Key'] = 'a';
  for (let index = 1; index <= 1001; index += 1) {
    parameters[`ResourceId.${index}`] = `vol-${String(index).padStart(17, '0')}`;
  }
  assert.equal(codeOf(await user.client.form('ec2', parameters)), 'UnauthorizedOperation');
  delete parameters['ResourceId.1001'];
  parameters['ResourceId.1'] = `vol-${'0'.repeat(10_000)}`;
  assert.equal(codeOf(await user.client.form('ec2', parameters)), 'InvalidVolumeID.Malformed');
  const last = scene.audited.at(-1);
  assert.equal(last?.resources.length, 51);
  assert.equal(last?.resources.at(-1), 'and 950 more');
  assert.ok(JSON.stringify(last).length < 16_384);
});
