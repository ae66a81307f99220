import { newAccountId, parseAccountId, type AccountId } from '#domain/ids.ts';
import { assert, present } from '#base/assert.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { base32, newSecret } from './identity/rules.ts';
import type { ControlPorts } from './ports.ts';

export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly account: AccountId;
}

/** What making an account needs; also there while no server runs. */
export type AccountPorts = Pick<ControlPorts, 'meta' | 'clock' | 'random'>;

const ACCESS_KEY_ID = /^[A-Z0-9]{16,128}$/;
/** IAM's rule for an account's alias. */
const ALIAS = /^[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]$/;
const ROOT_KEY_SETTING = 'root-access-key';

/** The key of the root of an account of that id with its secret, or null. */
export async function findAccessKey(ports: ControlPorts, accessKeyId: string): Promise<AccessKey | null> {
  if (!isAccessKeyId(accessKeyId)) return null;
  return await ports.meta.read((tx) => findRootKey(tx, accessKeyId));
}

export function isAccountAlias(text: string): boolean {
  return ALIAS.test(text);
}

export function isAccessKeyId(text: string): boolean {
  return ACCESS_KEY_ID.test(text);
}

export async function findRootKey(tx: ReadTx, accessKeyId: string): Promise<AccessKey | null> {
  const key = await tx.accounts.findKey(accessKeyId);
  return key === null ? null : { accessKeyId: key.id, secretAccessKey: key.secret, account: key.account };
}

/** A new, empty account with a root access key: `AKIA` and 16 base-32 characters, and a secret of 40 characters. */
export async function createAccount(
  ports: AccountPorts,
  request: { readonly alias?: string },
): Promise<AccessKey & { readonly alias: string | null }> {
  const alias = request.alias ?? null;
  assert(alias === null || isAccountAlias(alias), 'whoever asks has checked the alias');
  const key = await ports.meta.transact((tx) => insertAccount(ports, tx, alias));
  return { ...key, alias };
}

/** The account of a new server: made by the first call, and the same ever after. */
export async function rootAccount(ports: Pick<ControlPorts, 'meta' | 'clock' | 'random'>): Promise<AccessKey> {
  return await ports.meta.transact(async (tx) => {
    const keyId = await tx.settings.get(ROOT_KEY_SETTING);
    if (keyId !== null) {
      const key = present(await tx.accounts.findKey(keyId), 'the root access key is in the metadata');
      return { accessKeyId: key.id, secretAccessKey: key.secret, account: key.account };
    }
    const key = await insertAccount(ports, tx, null);
    await tx.settings.put(ROOT_KEY_SETTING, key.accessKeyId);
    return key;
  });
}

/** An account as whoever runs the server sees it. */
export interface ListedAccount {
  readonly id: AccountId;
  readonly alias: string | null;
  readonly createdAtMs: number;
  /** Of its root, the oldest first, without their secrets. */
  readonly keys: readonly { readonly accessKeyId: string; readonly createdAtMs: number }[];
}

/** All accounts, the oldest first. */
export async function listAccounts(ports: Pick<ControlPorts, 'meta'>): Promise<readonly ListedAccount[]> {
  return await ports.meta.read(async (tx) => {
    const listed: ListedAccount[] = [];
    for (const { id, alias, createdAtMs } of await tx.accounts.list()) {
      const keys = await tx.accounts.keysOf(id);
      const shown = keys.map((key) => ({ accessKeyId: key.id, createdAtMs: key.createdAtMs }));
      listed.push({ id, alias, createdAtMs, keys: shown });
    }
    return listed;
  });
}

/**
 * A new key for the root in the place of another, which is refused from then on. The server's own, replaced, is written
 * into the credentials file at the next start. Null: there is no such key.
 */
export async function replaceRootKey(ports: AccountPorts, accessKeyId: string): Promise<AccessKey | null> {
  return await ports.meta.transact(async (tx) => {
    const old = await tx.accounts.findKey(accessKeyId);
    if (old === null) return null;
    const key = newRootKey(ports, old.account);
    await insertRootKey(ports, tx, key);
    if ((await tx.settings.get(ROOT_KEY_SETTING)) === old.id) await tx.settings.put(ROOT_KEY_SETTING, key.accessKeyId);
    await tx.accounts.removeKey(old.id);
    return key;
  });
}

async function insertAccount(ports: AccountPorts, tx: Tx, alias: string | null): Promise<AccessKey> {
  const account = newAccountId(ports.random);
  assert(parseAccountId(account) !== null, 'an account id has twelve digits');
  const key = newRootKey(ports, account);
  await tx.accounts.insert({ id: account, alias, createdAtMs: ports.clock.nowMs() });
  await insertRootKey(ports, tx, key);
  return key;
}

function newRootKey({ random }: AccountPorts, account: AccountId): AccessKey {
  return { accessKeyId: `AKIA${base32(random.bytes(16))}`, secretAccessKey: newSecret(random), account };
}

async function insertRootKey({ clock }: AccountPorts, tx: Tx, key: AccessKey): Promise<void> {
  const { accessKeyId: id, secretAccessKey: secret, account } = key;
  await tx.accounts.insertKey({ id, secret, account, createdAtMs: clock.nowMs() });
}
