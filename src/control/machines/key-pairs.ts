import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { assert } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import { type KeyPairId, type KeyPairName, newKeyPairId } from '#domain/ids.ts';
import type { KeyPair, KeyType } from '#domain/key-pair.ts';
import { checkName } from '#domain/name.ts';
import type { Operation } from '#domain/operation.ts';
import {
  fingerprintOf,
  parsePublicKey,
  privateKeyFile,
  publicKeyLine,
  type SshPublicKey,
  sshPublicKey,
} from '#domain/ssh-key.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import type { Face, Scope } from '#domain/volume.ts';
import { recordDone } from '#control/operations.ts';
import { readPage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';

/** Listed by name. */
export const KEY_PAIRS: DocumentKind<KeyPair> = {
  name: 'key-pair',
  idOf: ({ id }) => id,
  ownerOf: ({ name }) => name,
};

/** Of an account and region, by which Lightsail reaches its machines. Its private half is kept, sealed. */
interface DefaultKeyPair {
  readonly id: KeyPairId;
  readonly publicKey: string;
  readonly fingerprint: string;
  /** Sealed by the vault: PKCS #8, DER. */
  readonly sealedPrivateKey: string;
  readonly createdAtMs: number;
}

const DEFAULT_ID = 'default';
const DEFAULT_KEY_PAIRS: DocumentKind<DefaultKeyPair> = {
  name: 'default-key-pair',
  idOf: () => DEFAULT_ID,
  ownerOf: () => null,
};

/** What AWS calls it. */
export const DEFAULT_KEY_PAIR_NAME = 'LightsailDefaultKeyPair';

/** As AWS's. */
const RSA_BITS = 2048;

const generate = promisify(generateKeyPair);

export interface NewKeyPair {
  readonly face: Face;
  readonly name: string;
  readonly tags: readonly Tag[];
  /** Lightsail's operation type to record; null: none. */
  readonly operation: string | null;
}

export interface KeyPairMade {
  readonly keyPair: KeyPair;
  /** Succeeded. */
  readonly operations: readonly Operation[];
}

/** The private key is nowhere but in the answer: a file as ssh reads it. Refuses: name-taken, invalid-value, tag-key-reserved, limit. */
export async function createKeyPair(
  ports: ControlPorts,
  scope: Scope,
  { type, ...request }: NewKeyPair & { readonly type: KeyType },
): Promise<KeyPairMade & { readonly privateKey: string }> {
  const privateKey = await newPrivateKey(type);
  const key = sshPublicKey(privateKey);
  const made = await insertKeyPair(ports, scope, request, key, fingerprintOf(key, privateKey));
  return { ...made, privateKey: privateKeyFile(privateKey, request.name) };
}

/** `publicKey`: OpenSSH's line, or that in base64. Refuses: invalid-value, name-taken, tag-key-reserved, limit. */
export async function importKeyPair(
  ports: ControlPorts,
  scope: Scope,
  { publicKey, ...request }: NewKeyPair & { readonly publicKey: string },
): Promise<KeyPairMade> {
  const key = parsePublicKey(publicKey);
  if (key === null) {
    const reason = 'it is no public key of the type ssh-rsa or ssh-ed25519 in the form of OpenSSH';
    refuse({ kind: 'invalid-value', field: 'public key', reason });
  }
  return await insertKeyPair(ports, scope, request, key, fingerprintOf(key, null));
}

async function insertKeyPair(
  ports: ControlPorts,
  scope: Scope,
  { face, name, tags, operation }: NewKeyPair,
  key: SshPublicKey,
  fingerprint: string,
): Promise<KeyPairMade> {
  if (face === 'lightsail') checkName(name, 'keyPairName');
  return await ports.meta.transact(async (tx) => {
    const keyPair: KeyPair = {
      ...scope,
      id: newKeyPairId(ports.random),
      face,
      // Checked above, or by the face whose names are freer.
      name: name as KeyPairName,
      type: key.type,
      publicKey: publicKeyLine(key, name),
      fingerprint,
      createdAtMs: ports.clock.nowMs(),
      tags: tagsOf(TAG_RULES[face], tags, ports.limitsOf(scope.account).tagCountMax),
    };
    const isTaken = name === DEFAULT_KEY_PAIR_NAME || (await keyPairSeen(tx, scope, name)) !== null;
    if (isTaken || (face === 'lightsail' && !(await tx.names.claim(scope, name, keyPair.id)))) {
      refuse({ kind: 'name-taken', name });
    }
    await tx.documents.insert(KEY_PAIRS, scope, keyPair);
    return { keyPair, operations: await done(ports, tx, keyPair, operation) };
  });
}

async function done(
  ports: ControlPorts,
  tx: Tx,
  keyPair: KeyPair,
  operation: string | null,
): Promise<readonly Operation[]> {
  if (operation === null) return [];
  const draft = { type: operation, resourceName: keyPair.name, resourceType: 'KeyPair', zone: 'all' } as const;
  return await recordDone(ports, tx, { account: keyPair.account, region: keyPair.region }, keyPair.id, {
    ...draft,
    details: null,
  });
}

/** Machines keep the public keys that they were made with. Refuses: not-found, invalid-value (another fingerprint than expected). */
export async function deleteKeyPair(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly name: string; readonly expectedFingerprint: string | null; readonly operation: string | null },
): Promise<KeyPairMade> {
  const { name, expectedFingerprint, operation } = request;
  return await ports.meta.transact(async (tx) => {
    const keyPair = await keyPairNamed(tx, scope, name);
    if (expectedFingerprint !== null && expectedFingerprint !== keyPair.fingerprint) {
      const reason = `the key pair ${name} has the fingerprint ${keyPair.fingerprint}`;
      refuse({ kind: 'invalid-value', field: 'expectedFingerprint', reason });
    }
    await tx.documents.remove(KEY_PAIRS, scope, keyPair.id);
    await tx.names.free(scope, name, keyPair.id);
    return { keyPair, operations: await done(ports, tx, keyPair, operation) };
  });
}

async function keyPairSeen(tx: ReadTx, scope: Scope, name: string): Promise<KeyPair | null> {
  const [row] = await tx.documents.list(KEY_PAIRS, scope, name, { after: 0, countMax: 1 });
  return row?.record ?? null;
}

/** Refuses: not-found. */
export async function keyPairNamed(tx: ReadTx, scope: Scope, name: string): Promise<KeyPair> {
  return (await keyPairSeen(tx, scope, name)) ?? refuse({ kind: 'not-found', resource: 'key-pair', id: name });
}

/** Refuses: not-found. */
export async function findKeyPair(ports: ControlPorts, scope: Scope, name: string): Promise<KeyPair> {
  return await ports.meta.read((tx) => keyPairNamed(tx, scope, name));
}

/** Refuses: not-found. */
export async function findKeyPairById(ports: ControlPorts, scope: Scope, id: KeyPairId): Promise<KeyPair> {
  const found = await ports.meta.read((tx) => tx.documents.find(KEY_PAIRS, scope, id));
  return found ?? refuse({ kind: 'not-found', resource: 'key-pair', id });
}

/** In the order of creation. Refuses: page-token-invalid. */
export async function listKeyPairs(
  ports: ControlPorts,
  scope: Scope,
  request: {
    readonly face: Face | null;
    readonly after: string | null;
    readonly countMax: number;
    readonly match?: (keyPair: KeyPair) => boolean;
  },
): Promise<{ readonly keyPairs: readonly KeyPair[]; readonly next: string | null }> {
  const { face, match, after, countMax } = request;
  const isListed = (one: KeyPair): boolean => (face === null || one.face === face) && (match?.(one) ?? true);
  const { records, next } = await readPage<KeyPair>(
    ports,
    scope,
    `key pairs ${face}`,
    { after, countMax, match: isListed },
    (page) => ports.meta.read((tx) => tx.documents.list(KEY_PAIRS, scope, null, page)),
  );
  return { keyPairs: records, next };
}

export interface OpenDefaultKeyPair extends Pick<DefaultKeyPair, 'id' | 'publicKey' | 'fingerprint' | 'createdAtMs'> {
  /** A file as ssh reads it. */
  readonly privateKey: string;
}

/** The region's own key pair of an account, which is made when it is first asked for. */
export async function defaultKeyPair(ports: ControlPorts, scope: Scope): Promise<OpenDefaultKeyPair> {
  const kept = await keptDefault(ports, scope);
  const opened = ports.vault.open(purposeOf(scope), kept.sealedPrivateKey);
  assert(opened !== null, 'the vault opens what it sealed');
  const privateKey = createPrivateKey({ key: opened, format: 'der', type: 'pkcs8' });
  opened.fill(0);
  const { id, publicKey, fingerprint, createdAtMs } = kept;
  return { id, publicKey, fingerprint, createdAtMs, privateKey: privateKeyFile(privateKey, DEFAULT_KEY_PAIR_NAME) };
}

/** The public half of it alone, in OpenSSH's form. */
export async function accessKeyOf(ports: ControlPorts, scope: Scope): Promise<string> {
  return (await keptDefault(ports, scope)).publicKey;
}

/** Null while it was never asked for. */
export async function defaultKeyPairSeen(
  ports: ControlPorts,
  scope: Scope,
): Promise<Omit<OpenDefaultKeyPair, 'privateKey'> | null> {
  return await ports.meta.read((tx) => tx.documents.find(DEFAULT_KEY_PAIRS, scope, DEFAULT_ID));
}

async function keptDefault(ports: ControlPorts, scope: Scope): Promise<DefaultKeyPair> {
  const known = await ports.meta.read((tx) => tx.documents.find(DEFAULT_KEY_PAIRS, scope, DEFAULT_ID));
  if (known !== null) return known;
  const privateKey = await newPrivateKey('rsa');
  const key = sshPublicKey(privateKey);
  const bytes = privateKey.export({ format: 'der', type: 'pkcs8' });
  const made: DefaultKeyPair = {
    id: newKeyPairId(ports.random),
    publicKey: publicKeyLine(key, DEFAULT_KEY_PAIR_NAME),
    fingerprint: fingerprintOf(key, privateKey),
    sealedPrivateKey: ports.vault.seal(purposeOf(scope), bytes),
    createdAtMs: ports.clock.nowMs(),
  };
  bytes.fill(0);
  return await ports.meta.transact(async (tx) => {
    // Another request may have made one meanwhile: the first is it.
    const other = await tx.documents.find(DEFAULT_KEY_PAIRS, scope, DEFAULT_ID);
    if (other !== null) return other;
    await tx.documents.insert(DEFAULT_KEY_PAIRS, scope, made);
    return made;
  });
}

function purposeOf({ account, region }: Scope): readonly string[] {
  return ['default key pair', account, region];
}

async function newPrivateKey(type: KeyType): Promise<KeyObject> {
  const { privateKey } =
    type === 'rsa' ? await generate('rsa', { modulusLength: RSA_BITS }) : await generate('ed25519', {});
  return privateKey;
}
