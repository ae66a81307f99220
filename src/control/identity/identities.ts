import type { AccountId } from '#domain/ids.ts';
import type { Tag } from '#domain/tags.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { noEntity, refuseIdentity } from './failures.ts';
import { requireManaged } from './managed.ts';
import {
  type IdentityRecord,
  inAccount,
  type NamedPolicy,
  ROLES,
  type RoleRecord,
  USERS,
  type UserRecord,
} from './records.ts';
import {
  checkName,
  checkPath,
  mergeTags,
  newUniqueId,
  policyCharacters,
  QUOTAS,
  requirePolicy,
  withoutTags,
} from './rules.ts';

// What users and roles have alike: how they are made and go, tags, attached policies, policies of their own, a boundary.

/** Which of the two, and how many characters its own policies may have together. */
export interface Sort<R extends IdentityRecord> {
  readonly entity: 'user' | 'role';
  readonly documents: DocumentKind<R>;
  readonly idPrefix: 'AIDA' | 'AROA';
  readonly countMax: number;
  readonly inlineCharactersMax: number;
}

export const USER: Sort<UserRecord> = {
  entity: 'user',
  documents: USERS,
  idPrefix: 'AIDA',
  countMax: QUOTAS.users,
  inlineCharactersMax: QUOTAS.userInlineCharacters,
};

export const ROLE: Sort<RoleRecord> = {
  entity: 'role',
  documents: ROLES,
  idPrefix: 'AROA',
  countMax: QUOTAS.roles,
  inlineCharactersMax: QUOTAS.roleInlineCharacters,
};

export interface CreateIdentity {
  readonly name: string;
  readonly path: string;
  /** ARN of a managed policy; null: none. */
  readonly boundary: string | null;
  readonly tags: readonly Tag[];
  readonly madeBy: string | null;
}

/**
 * Makes one; `complete` adds what only its sort has. A repetition of the call that made it finds it. Refuses: exists, quota,
 * invalid-form, invalid-input, no-entity (its boundary), and as `complete`.
 */
export async function createIdentity<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: CreateIdentity,
  complete: (record: IdentityRecord, tx: Tx) => R | Promise<R>,
): Promise<R> {
  const { name, path, boundary, madeBy } = request;
  const { entity, documents, countMax } = sort;
  checkName(`${entity}Name`, name, 64);
  checkPath(path);
  const tags = mergeTags([], request.tags);
  return await ports.meta.transact(async (tx) => {
    const known = await tx.documents.find(documents, inAccount(account), name.toLowerCase());
    if (known !== null) {
      if (madeBy !== null && known.madeBy === madeBy) return known;
      refuseIdentity({ kind: 'exists', entity, name });
    }
    if (boundary !== null) await requireManaged(tx, account, boundary);
    if ((await tx.documents.count(documents, inAccount(account), null)) >= countMax) {
      refuseIdentity({ kind: 'quota', what: entity === 'user' ? 'Users' : 'Roles', max: countMax });
    }
    const id = newUniqueId(ports.random, sort.idPrefix);
    const createdAtMs = ports.clock.nowMs();
    const common = { id, name, path, createdAtMs, tags, boundary, attached: [], inline: [], madeBy };
    const record = await complete(common, tx);
    await tx.documents.insert(documents, inAccount(account), record);
    return record;
  });
}

/** Refuses while policies hang on it, and as `check`: no-entity, conflict. */
export async function deleteIdentity<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  name: string,
  check: (record: R, tx: Tx) => Promise<void> = async () => {},
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const record = await requireIdentity(tx, sort, account, name);
    requireBare(record);
    await check(record, tx);
    await tx.documents.remove(sort.documents, inAccount(account), record.name.toLowerCase());
  });
}

/** Refuses: no-entity. */
export async function requireIdentity<R extends IdentityRecord>(
  tx: ReadTx,
  sort: Sort<R>,
  account: AccountId,
  name: string,
): Promise<R> {
  const found = await tx.documents.find(sort.documents, inAccount(account), name.toLowerCase());
  return found ?? noEntity(sort.entity, name);
}

export async function findIdentity<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  name: string,
): Promise<R> {
  return await ports.meta.read((tx) => requireIdentity(tx, sort, account, name));
}

/** Refuses: no-entity, and as `body`. */
export async function changeIdentity<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  name: string,
  body: (record: R, tx: Tx) => R | Promise<R>,
): Promise<R> {
  return await ports.meta.transact(async (tx) => {
    const record = await body(await requireIdentity(tx, sort, account, name), tx);
    await tx.documents.update(sort.documents, inAccount(account), record);
    return record;
  });
}

export async function tagIdentity<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: { readonly name: string; readonly tags: readonly Tag[] },
): Promise<void> {
  await changeIdentity(ports, sort, account, request.name, (record) => ({
    ...record,
    tags: mergeTags(record.tags, request.tags),
  }));
}

export async function untagIdentity<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: { readonly name: string; readonly keys: readonly string[] },
): Promise<void> {
  await changeIdentity(ports, sort, account, request.name, (record) => ({
    ...record,
    tags: withoutTags(record.tags, request.keys),
  }));
}

/** Attaching what is attached changes nothing. Refuses: no-entity, quota. */
export async function attachPolicy<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: { readonly name: string; readonly policyArn: string },
): Promise<void> {
  const { name, policyArn } = request;
  await changeIdentity(ports, sort, account, name, async (record, tx) => {
    await requireManaged(tx, account, policyArn);
    if (record.attached.includes(policyArn)) return record;
    if (record.attached.length >= QUOTAS.attached) {
      const what = sort.entity === 'user' ? 'PoliciesPerUser' : 'PoliciesPerRole';
      refuseIdentity({ kind: 'quota', what, max: QUOTAS.attached });
    }
    return { ...record, attached: [...record.attached, policyArn] };
  });
}

export async function detachPolicy<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: { readonly name: string; readonly policyArn: string },
): Promise<void> {
  const { name, policyArn } = request;
  await changeIdentity(ports, sort, account, name, (record) => {
    if (!record.attached.includes(policyArn)) noEntity('attachment', policyArn);
    return { ...record, attached: record.attached.filter((arn) => arn !== policyArn) };
  });
}

/** Null takes it away. Refuses: no-entity, also of the policy. */
export async function setBoundary<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: { readonly name: string; readonly boundary: string | null },
): Promise<void> {
  const { name, boundary } = request;
  await changeIdentity(ports, sort, account, name, async (record, tx) => {
    if (boundary === null && record.boundary === null) noEntity('boundary', name);
    if (boundary !== null) await requireManaged(tx, account, boundary);
    return { ...record, boundary };
  });
}

/** Puts or replaces. Refuses: malformed-policy, quota. */
export async function putInlinePolicy<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: NamedPolicy & { readonly owner: string },
): Promise<void> {
  const { owner, name, document } = request;
  checkName('policyName', name, 128);
  requirePolicy(document, 'identity');
  await changeIdentity(ports, sort, account, owner, (record) => {
    const inline = [...record.inline.filter((policy) => policy.name !== name), { name, document }];
    const characters = inline.reduce((sum, policy) => sum + policyCharacters(policy.document), 0);
    if (characters > sort.inlineCharactersMax) {
      refuseIdentity({
        kind: 'quota',
        what: `characters in the inline policies of a ${sort.entity}`,
        max: sort.inlineCharactersMax,
      });
    }
    return { ...record, inline };
  });
}

/** Refuses: no-entity. */
export function inlinePolicyOf(record: IdentityRecord, name: string): NamedPolicy {
  return record.inline.find((policy) => policy.name === name) ?? noEntity('inline policy', name);
}

export async function deleteInlinePolicy<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: { readonly owner: string; readonly name: string },
): Promise<void> {
  await changeIdentity(ports, sort, account, request.owner, (record) => {
    inlinePolicyOf(record, request.name);
    return { ...record, inline: record.inline.filter(({ name }) => name !== request.name) };
  });
}

/** Refuses: conflict, while policies hang on it. */
function requireBare(record: IdentityRecord): void {
  if (record.attached.length > 0) {
    refuseIdentity({ kind: 'conflict', reason: 'Cannot delete entity, must detach all policies first.' });
  }
  if (record.inline.length > 0) {
    refuseIdentity({ kind: 'conflict', reason: 'Cannot delete entity, must delete policies first.' });
  }
}
