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
import { checkName, mergeTags, policyCharacters, QUOTAS, requirePolicy } from './rules.ts';

// What users and roles have alike: tags, attached policies, policies of their own.

/** Which of the two, and how many characters its own policies may have together. */
export interface Sort<R extends IdentityRecord> {
  readonly entity: 'user' | 'role';
  readonly documents: DocumentKind<R>;
  readonly inlineCharactersMax: number;
}

export const USER: Sort<UserRecord> = {
  entity: 'user',
  documents: USERS,
  inlineCharactersMax: QUOTAS.userInlineCharacters,
};

export const ROLE: Sort<RoleRecord> = {
  entity: 'role',
  documents: ROLES,
  inlineCharactersMax: QUOTAS.roleInlineCharacters,
};

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

async function change<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  name: string,
  body: (record: R, tx: Tx) => R | Promise<R>,
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const record = await requireIdentity(tx, sort, account, name);
    await tx.documents.update(sort.documents, inAccount(account), await body(record, tx));
  });
}

export async function tagIdentity<R extends IdentityRecord>(
  ports: ControlPorts,
  sort: Sort<R>,
  account: AccountId,
  request: { readonly name: string; readonly tags: readonly Tag[] },
): Promise<void> {
  await change(ports, sort, account, request.name, (record) => ({
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
  const gone = new Set(request.keys.map((key) => key.toLowerCase()));
  await change(ports, sort, account, request.name, (record) => ({
    ...record,
    tags: record.tags.filter(({ key }) => !gone.has(key.toLowerCase())),
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
  await change(ports, sort, account, name, async (record, tx) => {
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
  await change(ports, sort, account, name, (record) => {
    if (!record.attached.includes(policyArn)) noEntity('attachment', policyArn);
    return { ...record, attached: record.attached.filter((arn) => arn !== policyArn) };
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
  await change(ports, sort, account, owner, (record) => {
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
  await change(ports, sort, account, request.owner, (record) => {
    inlinePolicyOf(record, request.name);
    return { ...record, inline: record.inline.filter(({ name }) => name !== request.name) };
  });
}

/** Refuses: conflict, while policies hang on it. */
export function requireBare(record: IdentityRecord): void {
  if (record.attached.length > 0) {
    refuseIdentity({ kind: 'conflict', reason: 'Cannot delete entity, must detach all policies first.' });
  }
  if (record.inline.length > 0) {
    refuseIdentity({ kind: 'conflict', reason: 'Cannot delete entity, must delete policies first.' });
  }
}
