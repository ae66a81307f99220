import { newAccountId, parseAccountId, type AccountId } from '#domain/ids.ts';
import { assert, present } from '#base/assert.ts';
import type { Tx } from '#meta/meta-store.ts';
import type { ControlPorts } from './ports.ts';

export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly account: AccountId;
}

/** What making an account needs; also there while no server runs. */
export type AccountPorts = Pick<ControlPorts, 'meta' | 'clock' | 'random'>;

/** RFC 4648's base 32: AWS's key ids have its capitals and 2 to 7. */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const ACCESS_KEY_ID = /^[A-Z0-9]{16,128}$/;
const ROOT_KEY_SETTING = 'root-access-key';

/** The key of that id with its secret, or null. */
export async function findAccessKey(ports: ControlPorts, accessKeyId: string): Promise<AccessKey | null> {
  if (!ACCESS_KEY_ID.test(accessKeyId)) return null;
  const key = await ports.meta.read((tx) => tx.accounts.findKey(accessKeyId));
  return key === null ? null : { accessKeyId: key.id, secretAccessKey: key.secret, account: key.account };
}

/** A new, empty account with a root access key: `AKIA` and 16 base-32 characters, and a secret of 40 characters. */
export async function createAccount(
  ports: AccountPorts,
  request: { readonly alias?: string },
): Promise<AccessKey & { readonly alias: string | null }> {
  const alias = request.alias ?? null;
  const key = await ports.meta.transact((tx) => insertAccount(ports, tx, alias));
  return { ...key, alias };
}

/** The account of a new server: made by the first call, and the same ever after. */
export async function rootAccount(ports: ControlPorts): Promise<AccessKey> {
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

async function insertAccount(ports: AccountPorts, tx: Tx, alias: string | null): Promise<AccessKey> {
  const { random } = ports;
  const createdAtMs = ports.clock.nowMs();
  const account = newAccountId(random);
  assert(parseAccountId(account) !== null, 'an account id has twelve digits');
  const key = {
    accessKeyId: `AKIA${[...random.bytes(16)].map((byte) => BASE32[byte & 31]).join('')}`,
    // 30 bytes are 40 base-64 characters without padding.
    secretAccessKey: random.bytes(30).toString('base64'),
    account,
  };
  await tx.accounts.insert({ id: account, alias, createdAtMs });
  await tx.accounts.insertKey({ id: key.accessKeyId, secret: key.secretAccessKey, account, createdAtMs });
  return key;
}
