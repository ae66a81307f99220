import {
  createKeyPair as create,
  DEFAULT_KEY_PAIR_NAME,
  defaultKeyPair,
  defaultKeyPairSeen,
  deleteKeyPair as remove,
  findKeyPair,
  importKeyPair as importOne,
  type KeyPairMade,
  listKeyPairs,
} from '#control/machines/key-pairs.ts';
import { refuse } from '#domain/errors.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  CreateKeyPairRequest,
  CreateKeyPairResult,
  DeleteKeyPairRequest,
  DeleteKeyPairResult,
  DownloadDefaultKeyPairRequest,
  DownloadDefaultKeyPairResult,
  GetKeyPairRequest,
  GetKeyPairResult,
  GetKeyPairsRequest,
  GetKeyPairsResult,
  ImportKeyPairRequest,
  ImportKeyPairResult,
  Operation,
} from '#wire/aws/models/lightsail.ts';
import { defaultKeyPairView, keyPairView } from './instance-views.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { parseTags } from './tags.ts';
import { operationView } from './views.ts';

// The members …Base64 hold, with AWS too, the files as ssh reads them: one line for the public key, PEM for the private one.

export async function createKeyPair(
  { ports, scope, operation }: CallContext,
  input: CreateKeyPairRequest,
): Promise<CreateKeyPairResult> {
  const made = await create(ports, scope, {
    face: 'lightsail',
    name: input.keyPairName,
    type: 'rsa',
    tags: parseTags(input.tags),
    operation,
  });
  return {
    keyPair: keyPairView(made.keyPair),
    publicKeyBase64: made.keyPair.publicKey,
    privateKeyBase64: made.privateKey,
    ...first(made),
  };
}

export async function importKeyPair(
  { ports, scope, operation }: CallContext,
  input: ImportKeyPairRequest,
): Promise<ImportKeyPairResult> {
  const { keyPairName: name, publicKeyBase64: publicKey } = input;
  return first(await importOne(ports, scope, { face: 'lightsail', name, publicKey, tags: [], operation }));
}

export async function getKeyPair({ ports, scope }: CallContext, input: GetKeyPairRequest): Promise<GetKeyPairResult> {
  const { keyPairName: name } = input;
  if (name !== DEFAULT_KEY_PAIR_NAME) return { keyPair: keyPairView(await findKeyPair(ports, scope, name)) };
  const found = await defaultKeyPairSeen(ports, scope);
  if (found === null) refuse({ kind: 'not-found', resource: 'key-pair', id: name });
  return { keyPair: defaultKeyPairView(scope, found) };
}

/** The default one, when it is asked for and there, is the first of the first page. */
export async function getKeyPairs(
  { ports, scope }: CallContext,
  input: GetKeyPairsRequest,
): Promise<GetKeyPairsResult> {
  const after = pageAfter(input);
  const { keyPairs, next } = await listKeyPairs(ports, scope, { face: 'lightsail', after, countMax: ITEMS_MAX });
  const isFirst = after === null && input.includeDefaultKeyPair === true;
  const own = isFirst ? await defaultKeyPairSeen(ports, scope) : null;
  return {
    keyPairs: [...(own === null ? [] : [defaultKeyPairView(scope, own)]), ...keyPairs.map(keyPairView)],
    ...nextPage(next),
  };
}

export async function deleteKeyPair(
  { ports, scope, operation }: CallContext,
  input: DeleteKeyPairRequest,
): Promise<DeleteKeyPairResult> {
  const { keyPairName: name, expectedFingerprint = null } = input;
  return first(await remove(ports, scope, { name, expectedFingerprint, operation }));
}

export async function downloadDefaultKeyPair(
  { ports, scope }: CallContext,
  _input: DownloadDefaultKeyPairRequest,
): Promise<DownloadDefaultKeyPairResult> {
  const { publicKey, privateKey, createdAtMs } = await defaultKeyPair(ports, scope);
  return { publicKeyBase64: publicKey, privateKeyBase64: privateKey, createdAt: new Date(createdAtMs) };
}

function first({ operations: [operation] }: KeyPairMade): { readonly operation?: Operation } {
  return operation === undefined ? {} : { operation: operationView(operation) };
}
