import type { AccountId } from '#domain/ids.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuseIdentity } from './failures.ts';
import { createIdentity, type CreateIdentity, deleteIdentity, requireIdentity, USER } from './identities.ts';
import { inAccount, USER_KEYS, type UserRecord, USERS } from './records.ts';
import { checkName, checkPath } from './rules.ts';

export async function createUser(
  ports: ControlPorts,
  account: AccountId,
  request: CreateIdentity,
): Promise<UserRecord> {
  return await createIdentity(ports, USER, account, request, (record) => record);
}

/** Gives a user another name or path; its id and keys stay. */
export async function updateUser(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly name: string; readonly newName: string | null; readonly newPath: string | null },
): Promise<void> {
  const { name, newName, newPath } = request;
  if (newName !== null) checkName('newUserName', newName, 64);
  if (newPath !== null) checkPath(newPath);
  await ports.meta.transact(async (tx) => {
    const user = await requireIdentity(tx, USER, account, name);
    const changed = { ...user, name: newName ?? user.name, path: newPath ?? user.path };
    if (changed.name.toLowerCase() === user.name.toLowerCase()) {
      await tx.documents.update(USERS, inAccount(account), changed);
      return;
    }
    if ((await tx.documents.find(USERS, inAccount(account), changed.name.toLowerCase())) !== null) {
      refuseIdentity({ kind: 'exists', entity: 'user', name: changed.name });
    }
    await tx.documents.remove(USERS, inAccount(account), user.name.toLowerCase());
    await tx.documents.insert(USERS, inAccount(account), changed);
  });
}

/** Refuses while it has keys or policies. */
export async function deleteUser(ports: ControlPorts, account: AccountId, name: string): Promise<void> {
  await deleteIdentity(ports, USER, account, name, async (user, tx) => {
    if ((await tx.documents.count(USER_KEYS, inAccount(account), user.id)) > 0) {
      refuseIdentity({ kind: 'conflict', reason: 'Cannot delete entity, must delete access keys first.' });
    }
  });
}
