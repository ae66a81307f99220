import type { AccountId } from '#domain/ids.ts';
import type { Tag } from '#domain/tags.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuseIdentity } from './failures.ts';
import { requireBare, requireIdentity, USER } from './identities.ts';
import { requireManaged } from './managed.ts';
import { inAccount, USER_KEYS, type UserRecord, USERS } from './records.ts';
import { checkName, checkPath, mergeTags, newUniqueId, QUOTAS } from './rules.ts';

export interface CreateUser {
  readonly name: string;
  readonly path: string;
  readonly boundary: string | null;
  readonly tags: readonly Tag[];
  readonly madeBy: string | null;
}

export async function createUser(ports: ControlPorts, account: AccountId, request: CreateUser): Promise<UserRecord> {
  const { name, path, boundary, madeBy } = request;
  checkName('userName', name, 64);
  checkPath(path);
  const tags = mergeTags([], request.tags);
  return await ports.meta.transact(async (tx) => {
    const known = await tx.documents.find(USERS, inAccount(account), name.toLowerCase());
    if (known !== null) {
      if (madeBy !== null && known.madeBy === madeBy) return known;
      refuseIdentity({ kind: 'exists', entity: 'user', name });
    }
    if (boundary !== null) await requireManaged(tx, account, boundary);
    if ((await tx.documents.count(USERS, inAccount(account), null)) >= QUOTAS.users) {
      refuseIdentity({ kind: 'quota', what: 'Users', max: QUOTAS.users });
    }
    const record: UserRecord = {
      id: newUniqueId(ports.random, 'AIDA'),
      name,
      path,
      createdAtMs: ports.clock.nowMs(),
      tags,
      boundary,
      attached: [],
      inline: [],
      madeBy,
    };
    await tx.documents.insert(USERS, inAccount(account), record);
    return record;
  });
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
  await ports.meta.transact(async (tx) => {
    const user = await requireIdentity(tx, USER, account, name);
    requireBare(user);
    if ((await tx.documents.count(USER_KEYS, inAccount(account), user.id)) > 0) {
      refuseIdentity({ kind: 'conflict', reason: 'Cannot delete entity, must delete access keys first.' });
    }
    await tx.documents.remove(USERS, inAccount(account), user.name.toLowerCase());
  });
}
