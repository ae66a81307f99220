import type { AccountId } from '#domain/ids.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { present } from '#base/assert.ts';
import type { KeyVault } from '#control/kms/vault.ts';
import type { ControlPorts } from '#control/ports.ts';
import { allOf } from './documents.ts';
import { noEntity, refuseIdentity } from './failures.ts';
import { requireIdentity, USER } from './identities.ts';
import { inAccount, USER_KEYS, type UserKeyRecord, type UseRecord, type UserRecord, USES } from './records.ts';
import { base32, newSecret, QUOTAS } from './rules.ts';

export async function createUserKey(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly userName: string; readonly madeBy: string | null },
): Promise<UserKeyRecord & { readonly secret: string }> {
  return await ports.meta.transact(async (tx) => {
    const user = await requireIdentity(tx, USER, account, request.userName);
    const known = await allOf(tx, USER_KEYS, account, user.id);
    const made = request.madeBy === null ? undefined : known.find(({ madeBy }) => madeBy === request.madeBy);
    if (made !== undefined) return { ...made, secret: secretOf(ports.vault, made) };
    if (known.length >= QUOTAS.keysPerUser) {
      refuseIdentity({ kind: 'quota', what: 'AccessKeysPerUser', max: QUOTAS.keysPerUser });
    }
    const id = `AKIA${base32(ports.random.bytes(16))}`;
    const secret = newSecret(ports.random);
    const key: UserKeyRecord = {
      id,
      userId: user.id,
      sealedSecret: ports.vault.seal(purposeOf(id), Buffer.from(secret)),
      active: true,
      createdAtMs: ports.clock.nowMs(),
      madeBy: request.madeBy,
    };
    await tx.documents.insert(USER_KEYS, inAccount(account), key);
    return { ...key, secret };
  });
}

/** What requests that are signed with the key are verified with. */
export function secretOf(vault: KeyVault, { id, sealedSecret }: UserKeyRecord): string {
  const opened = vault.open(purposeOf(id), sealedSecret);
  // The server does not start with another master key than the one that sealed what it has.
  return present(opened, 'the secret of an access key opens with the master key').toString();
}

function purposeOf(keyId: string): readonly string[] {
  return ['access key', keyId];
}

export async function listUserKeys(
  ports: ControlPorts,
  account: AccountId,
  userName: string,
): Promise<readonly UserKeyRecord[]> {
  return await ports.meta.read(async (tx) => {
    const user = await requireIdentity(tx, USER, account, userName);
    return await allOf(tx, USER_KEYS, account, user.id);
  });
}

export async function setUserKeyActive(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly userName: string; readonly keyId: string; readonly active: boolean },
): Promise<void> {
  const { userName, keyId, active } = request;
  await ports.meta.transact(async (tx) => {
    const key = await requireUserKey(tx, account, userName, keyId);
    await tx.documents.update(USER_KEYS, inAccount(account), { ...key, active });
  });
}

export async function deleteUserKey(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly userName: string; readonly keyId: string },
): Promise<void> {
  const { userName, keyId } = request;
  await ports.meta.transact(async (tx) => {
    await requireUserKey(tx, account, userName, keyId);
    await tx.documents.remove(USER_KEYS, inAccount(account), keyId);
  });
}

async function requireUserKey(tx: ReadTx, account: AccountId, userName: string, keyId: string): Promise<UserKeyRecord> {
  const user = await requireIdentity(tx, USER, account, userName);
  const key = await tx.documents.find(USER_KEYS, inAccount(account), keyId);
  return key !== null && key.userId === user.id ? key : noEntity('access key', keyId);
}

/** Whose a key is and when it was last used. Refuses: no-entity, also for another account's. */
export async function lastUseOf(
  ports: ControlPorts,
  account: AccountId,
  keyId: string,
): Promise<{ readonly userName: string; readonly use: UseRecord | null }> {
  return await ports.meta.read(async (tx) => {
    const key = await tx.documents.find(USER_KEYS, inAccount(account), keyId);
    if (key === null) return noEntity('access key', keyId);
    const user = await userOfId(tx, account, key.userId);
    if (user === null) return noEntity('access key', keyId);
    return { userName: user.name, use: await tx.documents.find(USES, inAccount(account), keyId) };
  });
}

/** A user by its id, which stays when its name changes. */
export async function userOfId(tx: ReadTx, account: AccountId, userId: string): Promise<UserRecord | null> {
  const [row] = await tx.documents.list(USER.documents, inAccount(account), userId, { after: 0, countMax: 1 });
  return row?.record ?? null;
}
