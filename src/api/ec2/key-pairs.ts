import type { CallContext, Handler } from '#api/handler.ts';
import {
  createKeyPair as create,
  deleteKeyPair as remove,
  importKeyPair as importOne,
  listKeyPairs,
} from '#control/machines/key-pairs.ts';
import { refuse } from '#domain/errors.ts';
import type { KeyPair } from '#domain/key-pair.ts';
import { parsePublicKey } from '#domain/ssh-key.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { instanceRefusal, invalidParameter, invalidValue, missingParameter, unsupportedRequest } from './errors.ts';
import { type FilterTable, type FilterTexts, parseFilters } from './filters.ts';
import { UNPAGED_ITEMS_MAX } from './paging.ts';
import { parseTagSpecifications } from './tag-rules.ts';
import { tagViews } from './tag-views.ts';

type KeyPairView = NonNullable<OutputOf<'ec2', 'DescribeKeyPairs'>['KeyPairs']>[number];

/** EC2: up to 255 ASCII characters, and none that a terminal would not show. */
const NAME = /^[\x20-\x7e]{1,255}$/;

export const createKeyPair: Handler<InputOf<'ec2', 'CreateKeyPair'>, OutputOf<'ec2', 'CreateKeyPair'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const { KeyType: type = 'rsa', KeyFormat: format = 'pem' } = request;
  const name = parseName(request.KeyName);
  if (type !== 'rsa' && type !== 'ed25519') throw invalidParameter('keyType', type, "Expected: 'rsa' or 'ed25519'.");
  if (format === 'ppk') throw unsupportedRequest('Private keys are made in the format pem.');
  if (format !== 'pem') throw invalidParameter('keyFormat', format, "Expected: 'pem' or 'ppk'.");
  const tags = parseTagSpecifications(request.TagSpecifications, 'key-pair');
  await refuseTaken(context, request);
  const { keyPair, privateKey } = await create(ports, scope, { face: 'ec2', name, type, tags, operation: null });
  return { ...commonView(keyPair), KeyMaterial: privateKey };
};

export const importKeyPair: Handler<InputOf<'ec2', 'ImportKeyPair'>, OutputOf<'ec2', 'ImportKeyPair'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const name = parseName(request.KeyName);
  const tags = parseTagSpecifications(request.TagSpecifications, 'key-pair');
  const publicKey = Buffer.from(request.PublicKeyMaterial).toString('latin1');
  if (parsePublicKey(publicKey) === null) {
    throw instanceRefusal('InvalidKey.Format', 'Key is not in valid OpenSSH public key format');
  }
  await refuseTaken(context, request);
  const { keyPair } = await importOne(ports, scope, { face: 'ec2', name, publicKey, tags, operation: null });
  return commonView(keyPair);
};

function parseName(name: string): string {
  if (name === '') throw missingParameter('KeyName');
  if (!NAME.test(name))
    throw invalidValue(`Invalid value '${name}' for keyPairName. A name has 1 to 255 ASCII characters.`);
  return name;
}

/** Of a dry run alone: the use case refuses by itself. */
async function refuseTaken(
  context: CallContext,
  request: { readonly KeyName: string; readonly DryRun?: boolean | undefined },
): Promise<void> {
  if (request.DryRun !== true) return;
  const taken = (await all(context)).some(({ name }) => name === request.KeyName);
  if (taken) refuse({ kind: 'name-taken', name: request.KeyName });
  endDryRun(request);
}

/** One that is not there is deleted, too: so EC2 answers. */
export const deleteKeyPair: Handler<InputOf<'ec2', 'DeleteKeyPair'>, OutputOf<'ec2', 'DeleteKeyPair'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const { KeyName: name, KeyPairId: id } = request;
  if (name === undefined && id === undefined) throw missingParameter('KeyName');
  const keyPair = (await all(context)).find((one) => (id === undefined ? one.name === name : one.id === id));
  endDryRun(request);
  if (keyPair === undefined) return { Return: true };
  await remove(ports, scope, { name: keyPair.name, expectedFingerprint: null, operation: null });
  return { Return: true, KeyPairId: keyPair.id };
};

const keyPairFilters: FilterTable<KeyPair> = {
  named: new Map<string, FilterTexts<KeyPair>>([
    ['fingerprint', ({ fingerprint }) => [fingerprint]],
    ['key-name', ({ name }) => [name]],
    ['key-pair-id', ({ id }) => [id]],
    ['tag-key', ({ tags }) => Object.keys(tags)],
  ]),
  tags: ({ tags }) => tags,
};

export const describeKeyPairs: Handler<
  InputOf<'ec2', 'DescribeKeyPairs'>,
  OutputOf<'ec2', 'DescribeKeyPairs'>
> = async (context, request) => {
  const passes = parseFilters(request.Filters, keyPairFilters);
  const keyPairs = await all(context);
  const { KeyNames: names = [], KeyPairIds: ids = [] } = request;
  const missing =
    names.find((name) => !keyPairs.some((one) => one.name === name)) ??
    ids.find((id) => !keyPairs.some((one) => one.id === id));
  if (missing !== undefined) refuse({ kind: 'not-found', resource: 'key-pair', id: missing });
  endDryRun(request);
  const isAsked = ({ name, id }: KeyPair): boolean =>
    (names.length === 0 && ids.length === 0) || names.includes(name) || ids.includes(id);
  const shown = keyPairs.filter((one) => isAsked(one) && passes(one));
  return { KeyPairs: shown.map((one) => keyPairView(one, request.IncludePublicKey === true)) };
};

/** Also Lightsail's: an instance may have any key pair of its account and region. */
async function all({ ports, scope }: CallContext): Promise<readonly KeyPair[]> {
  const { keyPairs } = await listKeyPairs(ports, scope, { face: null, after: null, countMax: UNPAGED_ITEMS_MAX });
  return keyPairs;
}

function commonView({ fingerprint, name, id, tags }: KeyPair): OutputOf<'ec2', 'ImportKeyPair'> {
  return { KeyFingerprint: fingerprint, KeyName: name, KeyPairId: id, Tags: tagViews(tags) };
}

function keyPairView(keyPair: KeyPair, isPublicKeyShown: boolean): KeyPairView {
  return {
    ...commonView(keyPair),
    CreateTime: new Date(keyPair.createdAtMs),
    KeyType: keyPair.type,
    ...(isPublicKeyShown ? { PublicKey: keyPair.publicKey } : {}),
  };
}
