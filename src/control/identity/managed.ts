import type { AccountId } from '#domain/ids.ts';
import type { Tag } from '#domain/tags.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { AWS_MANAGED } from './aws-managed.ts';
import { allOf } from './documents.ts';
import { noEntity, refuseIdentity } from './failures.ts';
import { inAccount, POLICIES, policyArn, type PolicyRecord, type PolicyVersion, ROLES, USERS } from './records.ts';
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

/** A managed policy, of the account or one of AWS's. */
export interface Managed {
  readonly arn: string;
  readonly record: PolicyRecord;
}

export interface Uses {
  readonly attachments: number;
  readonly boundaries: number;
}

/** Refuses: no-entity. */
export async function requireManaged(tx: ReadTx, account: AccountId, arn: string): Promise<Managed> {
  return (await findManaged(tx, account, arn)) ?? noEntity('policy', arn);
}

export async function findManaged(tx: ReadTx, account: AccountId, arn: string): Promise<Managed | null> {
  const builtIn = AWS_MANAGED.get(arn);
  if (builtIn !== undefined) return { arn, record: builtIn };
  const [, name] = new RegExp(`^arn:aws:iam::${account}:policy/(?:.*/)?([^/]+)$`).exec(arn) ?? [];
  if (name === undefined) return null;
  const record = await tx.documents.find(POLICIES, inAccount(account), name.toLowerCase());
  return record === null || policyArn(account, record) !== arn ? null : { arn, record };
}

export function defaultDocument({ versions, defaultVersion }: PolicyRecord): string {
  const version = versions.find(({ number }) => number === defaultVersion);
  if (version === undefined) throw new Error('the default version of a policy is one of its versions');
  return version.document;
}

export interface CreatePolicy {
  readonly name: string;
  readonly path: string;
  readonly document: string;
  readonly description: string | null;
  readonly tags: readonly Tag[];
  readonly madeBy: string | null;
}

export async function createPolicy(ports: ControlPorts, account: AccountId, request: CreatePolicy): Promise<Managed> {
  const { name, path, document, description, madeBy } = request;
  checkName('policyName', name, 128);
  checkPath(path);
  const tags = mergeTags([], request.tags);
  checkDocument(document);
  return await ports.meta.transact(async (tx) => {
    const known = await tx.documents.find(POLICIES, inAccount(account), name.toLowerCase());
    if (known !== null) {
      if (madeBy !== null && known.madeBy === madeBy) return { arn: policyArn(account, known), record: known };
      refuseIdentity({ kind: 'exists', entity: 'policy', name });
    }
    if ((await tx.documents.count(POLICIES, inAccount(account), null)) >= QUOTAS.policies) {
      refuseIdentity({ kind: 'quota', what: 'Policies', max: QUOTAS.policies });
    }
    const createdAtMs = ports.clock.nowMs();
    const record: PolicyRecord = {
      id: newUniqueId(ports.random, 'ANPA'),
      name,
      path,
      description,
      createdAtMs,
      updatedAtMs: createdAtMs,
      tags,
      versions: [{ number: 1, document, createdAtMs, madeBy }],
      defaultVersion: 1,
      lastVersion: 1,
      madeBy,
    };
    await tx.documents.insert(POLICIES, inAccount(account), record);
    return { arn: policyArn(account, record), record };
  });
}

export async function createPolicyVersion(
  ports: ControlPorts,
  account: AccountId,
  request: {
    readonly arn: string;
    readonly document: string;
    readonly setDefault: boolean;
    readonly madeBy: string | null;
  },
): Promise<{ readonly version: PolicyVersion; readonly isDefault: boolean }> {
  const { arn, document, setDefault, madeBy } = request;
  checkDocument(document);
  return await ports.meta.transact(async (tx) => {
    const record = await requireOwn(tx, account, arn);
    const made = madeBy === null ? undefined : record.versions.find((version) => version.madeBy === madeBy);
    if (made !== undefined) return { version: made, isDefault: made.number === record.defaultVersion };
    if (record.versions.length >= QUOTAS.versions) {
      const reason = `A managed policy can have up to ${QUOTAS.versions} versions. Before you create a new version, you must delete an existing version.`;
      refuseIdentity({ kind: 'quota', what: reason, max: QUOTAS.versions });
    }
    const number = record.lastVersion + 1;
    const version = { number, document, createdAtMs: ports.clock.nowMs(), madeBy };
    await tx.documents.update(POLICIES, inAccount(account), {
      ...record,
      versions: [...record.versions, version],
      lastVersion: number,
      defaultVersion: setDefault ? number : record.defaultVersion,
      updatedAtMs: version.createdAtMs,
    });
    return { version, isDefault: setDefault };
  });
}

export async function deletePolicyVersion(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly arn: string; readonly versionId: string },
): Promise<void> {
  await changeOwn(ports, account, request.arn, (record) => {
    const { number } = versionOf(record, request.versionId);
    if (number === record.defaultVersion) {
      refuseIdentity({ kind: 'conflict', reason: 'Cannot delete the default version of a policy.' });
    }
    return { ...record, versions: record.versions.filter((version) => version.number !== number) };
  });
}

/** Refuses: no-entity. */
export async function setDefaultVersion(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly arn: string; readonly versionId: string },
): Promise<void> {
  await changeOwn(ports, account, request.arn, (record) => ({
    ...record,
    defaultVersion: versionOf(record, request.versionId).number,
    updatedAtMs: ports.clock.nowMs(),
  }));
}

/** Refuses: no-entity, invalid-form, invalid-input, quota. */
export async function tagPolicy(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly arn: string; readonly tags: readonly Tag[] },
): Promise<void> {
  await changeOwn(ports, account, request.arn, (record) => ({ ...record, tags: mergeTags(record.tags, request.tags) }));
}

/** Refuses: no-entity. */
export async function untagPolicy(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly arn: string; readonly keys: readonly string[] },
): Promise<void> {
  await changeOwn(ports, account, request.arn, (record) => ({
    ...record,
    tags: withoutTags(record.tags, request.keys),
  }));
}

/** Refuses: no-entity. */
export function versionOf({ versions }: PolicyRecord, versionId: string): PolicyVersion {
  return versions.find(({ number }) => `v${number}` === versionId) ?? noEntity('policy version', versionId);
}

export async function deletePolicy(ports: ControlPorts, account: AccountId, arn: string): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const record = await requireOwn(tx, account, arn);
    const { attachments, boundaries } = (await usesOf(tx, account)).get(arn) ?? { attachments: 0, boundaries: 0 };
    if (attachments + boundaries > 0) {
      refuseIdentity({ kind: 'conflict', reason: 'Cannot delete a policy attached to entities.' });
    }
    if (record.versions.length > 1) {
      const reason =
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.";
      refuseIdentity({ kind: 'conflict', reason });
    }
    await tx.documents.remove(POLICIES, inAccount(account), record.name.toLowerCase());
  });
}

/** How often each policy is attached, by ARN; those that are not have no entry. */
export async function usesOf(tx: ReadTx, account: AccountId): Promise<ReadonlyMap<string, Uses>> {
  const uses = new Map<string, Uses>();
  const add = (arn: string, more: Uses): void => {
    const known = uses.get(arn) ?? { attachments: 0, boundaries: 0 };
    uses.set(arn, {
      attachments: known.attachments + more.attachments,
      boundaries: known.boundaries + more.boundaries,
    });
  };
  const identities = [...(await allOf(tx, USERS, account)), ...(await allOf(tx, ROLES, account))];
  for (const { attached, boundary } of identities) {
    for (const arn of attached) add(arn, { attachments: 1, boundaries: 0 });
    if (boundary !== null) add(boundary, { attachments: 0, boundaries: 1 });
  }
  return uses;
}

async function changeOwn(
  ports: ControlPorts,
  account: AccountId,
  arn: string,
  change: (record: PolicyRecord) => PolicyRecord,
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    await tx.documents.update(POLICIES, inAccount(account), change(await requireOwn(tx, account, arn)));
  });
}

/** Refuses what is AWS's own, and: no-entity. */
async function requireOwn(tx: ReadTx, account: AccountId, arn: string): Promise<PolicyRecord> {
  if (AWS_MANAGED.has(arn)) {
    refuseIdentity({ kind: 'unmodifiable', reason: `Policy ${arn} is an AWS managed policy and cannot be changed.` });
  }
  return (await requireManaged(tx, account, arn)).record;
}

function checkDocument(document: string): void {
  requirePolicy(document, 'identity');
  if (policyCharacters(document) > QUOTAS.policyCharacters) {
    refuseIdentity({ kind: 'quota', what: 'PolicySize', max: QUOTAS.policyCharacters });
  }
}
