import {
  type AccountId,
  parseInstanceId,
  parseSnapshotId,
  parseVolumeId,
  type RegionName,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import type { Alarm } from '#domain/alarm.ts';
import type { InstanceSnapshot } from '#domain/instance-snapshot.ts';
import type { Image } from '#domain/image.ts';
import type { Instance } from '#domain/instance.ts';
import type { KeyPair } from '#domain/key-pair.ts';
import type { Policy } from '#domain/policy/document.ts';
import type { RetainedType } from '#domain/retention-rule.ts';
import { type Snapshot, visibleState } from '#domain/snapshot.ts';
import type { Tag } from '#domain/tags.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { lifecyclePolicies } from '#control/lifecycle/policies.ts';
import { isIn, isUsableBy } from '#control/lookup.ts';
import { type StaticIp, STATIC_IPS } from '#control/machines/addresses.ts';
import { ALARMS } from '#control/machines/alarms.ts';
import { IMAGES } from '#control/machines/image-records.ts';
import { KEY_PAIRS } from '#control/machines/key-pairs.ts';
import { instanceSnapshotSeen, isInstanceSnapshotId } from '#control/machines/instance-snapshot-records.ts';
import { INSTANCES } from '#control/machines/records.ts';
import type { ControlPorts } from '#control/ports.ts';
import { retentionRules } from '#control/retention-rules.ts';
import { findManaged } from './managed.ts';
import { type IdentityRecord, inAccount, roleArn, ROLES, userArn, USERS } from './records.ts';
import { findRoleByArn, trustOf } from './roles.ts';

/** A resource as a request names it. */
export type Ref =
  | { readonly kind: 'volume'; readonly id: string }
  /** `region`: where it is looked for, when not in the request's own. */
  | { readonly kind: 'snapshot'; readonly id: string; readonly region?: RegionName }
  /** Lightsail's name of anything. `region`: where it is looked for, when not in the request's own. */
  | { readonly kind: 'named'; readonly name: string; readonly region?: RegionName }
  | { readonly kind: 'instance'; readonly id: string }
  /** The volumes that an instance has. */
  | { readonly kind: 'volumes-of'; readonly instance: string }
  /** The account's own. */
  | { readonly kind: 'image'; readonly id: string }
  /** The snapshots of an image of the account's own. */
  | { readonly kind: 'snapshots-of'; readonly image: string }
  /** By its name or its id. */
  | { readonly kind: 'key-pair'; readonly key: string }
  | { readonly kind: 'lifecycle-policy'; readonly id: string }
  | { readonly kind: 'retention-rule'; readonly id: string }
  | { readonly kind: 'user'; readonly name: string }
  | { readonly kind: 'role'; readonly name: string }
  | { readonly kind: 'managed-policy'; readonly arn: string }
  /** Of any account: for who wants to become it. */
  | { readonly kind: 'role-arn'; readonly arn: string };

/** What the metadata know of a Ref. Nothing, also, when it is another account's: then no policy can ask about it. */
export type Fact =
  | { readonly kind: 'volume'; readonly volume: Volume }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly kind: 'instance'; readonly instance: Instance }
  | { readonly kind: 'instance-snapshot'; readonly snapshot: InstanceSnapshot }
  | { readonly kind: 'key-pair'; readonly keyPair: KeyPair }
  | { readonly kind: 'volumes'; readonly volumes: readonly Volume[] }
  | { readonly kind: 'image'; readonly image: Image }
  | { readonly kind: 'snapshots'; readonly snapshots: readonly Snapshot[] }
  | { readonly kind: 'static-ip'; readonly staticIp: StaticIp }
  | { readonly kind: 'alarm'; readonly alarm: Alarm }
  | { readonly kind: 'tagged'; readonly tags: readonly Tag[] }
  | { readonly kind: 'retention-rule'; readonly type: RetainedType; readonly tags: readonly Tag[] }
  | {
      readonly kind: 'identity';
      readonly arn: string;
      readonly tags: readonly Tag[];
      /** ARN of its permissions boundary; null: none. */
      readonly boundary: string | null;
    }
  | {
      readonly kind: 'trusting-role';
      readonly account: AccountId;
      readonly arn: string;
      readonly trust: Policy;
      readonly tags: readonly Tag[];
    }
  | { readonly kind: 'nothing' };

const NOTHING: Fact = { kind: 'nothing' };

/** The fact of each ref, in one view of the metadata. */
export async function findFacts(
  ports: Pick<ControlPorts, 'meta'>,
  scope: Scope,
  refs: readonly Ref[],
): Promise<readonly Fact[]> {
  if (refs.length === 0) return [];
  return await ports.meta.read(async (tx) => {
    const facts: Fact[] = [];
    for (const ref of refs) facts.push(await findFact(tx, scope, ref));
    return facts;
  });
}

async function findFact(tx: ReadTx, scope: Scope, ref: Ref): Promise<Fact> {
  switch (ref.kind) {
    case 'volume': {
      const id = parseVolumeId(ref.id);
      return id === null ? NOTHING : await volumeFact(tx, scope, id);
    }
    case 'snapshot': {
      const id = parseSnapshotId(ref.id);
      const place = { account: scope.account, region: ref.region ?? scope.region };
      return id === null ? NOTHING : await snapshotFact(tx, place, id);
    }
    case 'named':
      return await namedFact(tx, { ...scope, region: ref.region ?? scope.region }, ref.name);
    case 'instance': {
      const id = parseInstanceId(ref.id);
      const instance = id === null ? null : await tx.documents.find(INSTANCES, scope, id);
      return instance === null ? NOTHING : { kind: 'instance', instance };
    }
    case 'volumes-of':
      return await volumesFact(tx, scope, ref.instance);
    case 'image': {
      const image = await tx.documents.find(IMAGES, scope, ref.id);
      return image === null ? NOTHING : { kind: 'image', image };
    }
    case 'snapshots-of':
      return await snapshotsFact(tx, scope, ref.image);
    case 'key-pair': {
      const byId = await tx.documents.find(KEY_PAIRS, scope, ref.key);
      const [byName] = await tx.documents.list(KEY_PAIRS, scope, ref.key, { after: 0, countMax: 1 });
      const keyPair = byId ?? byName?.record ?? null;
      return keyPair === null ? NOTHING : { kind: 'key-pair', keyPair };
    }
    case 'lifecycle-policy': {
      const policy = await tx.documents.find(lifecyclePolicies, scope, ref.id);
      return policy === null ? NOTHING : { kind: 'tagged', tags: tagList(policy.tags) };
    }
    case 'retention-rule': {
      const rule = await tx.documents.find(retentionRules, scope, ref.id);
      return rule === null ? NOTHING : { kind: 'retention-rule', type: rule.type, tags: tagList(rule.tags) };
    }
    case 'user': {
      const user = await tx.documents.find(USERS, inAccount(scope.account), ref.name.toLowerCase());
      return user === null ? NOTHING : identityFact(userArn(scope.account, user), user);
    }
    case 'role': {
      const role = await tx.documents.find(ROLES, inAccount(scope.account), ref.name.toLowerCase());
      return role === null ? NOTHING : identityFact(roleArn(scope.account, role), role);
    }
    case 'managed-policy': {
      const policy = await findManaged(tx, scope.account, ref.arn);
      return policy === null ? NOTHING : { kind: 'tagged', tags: policy.record.tags };
    }
    case 'role-arn': {
      const found = await findRoleByArn(tx, ref.arn);
      if (found === null) return NOTHING;
      const { account, role } = found;
      const trust = trustOf(role);
      return { kind: 'trusting-role', account, arn: ref.arn, trust, tags: account === scope.account ? role.tags : [] };
    }
  }
}

async function volumesFact(tx: ReadTx, scope: Scope, text: string): Promise<Fact> {
  const id = parseInstanceId(text);
  const instance = id === null ? null : await tx.documents.find(INSTANCES, scope, id);
  const volumes: Volume[] = [];
  for (const { volume } of instance?.attachments ?? []) {
    const fact = await volumeFact(tx, scope, volume);
    if (fact.kind === 'volume') volumes.push(fact.volume);
  }
  return { kind: 'volumes', volumes };
}

async function snapshotsFact(tx: ReadTx, scope: Scope, id: string): Promise<Fact> {
  const image = await tx.documents.find(IMAGES, scope, id);
  const snapshots: Snapshot[] = [];
  for (const { snapshot } of image?.devices ?? []) {
    const fact = snapshot === null ? NOTHING : await snapshotFact(tx, scope, snapshot);
    if (fact.kind === 'snapshot') snapshots.push(fact.snapshot);
  }
  return { kind: 'snapshots', snapshots };
}

function identityFact(arn: string, { tags, boundary }: IdentityRecord): Fact {
  return { kind: 'identity', arn, tags, boundary };
}

async function namedFact(tx: ReadTx, scope: Scope, name: string): Promise<Fact> {
  const holder = await tx.names.find(scope, name);
  if (holder === null) return NOTHING;
  const volume = parseVolumeId(holder);
  if (volume !== null) return await volumeFact(tx, scope, volume);
  const snapshot = parseSnapshotId(holder);
  if (snapshot !== null) return await snapshotFact(tx, scope, snapshot);
  const id = parseInstanceId(holder);
  const instance = id === null ? null : await tx.documents.find(INSTANCES, scope, id);
  if (instance !== null) return { kind: 'instance', instance };
  const whole = isInstanceSnapshotId(holder) ? await instanceSnapshotSeen(tx, scope, holder) : null;
  if (whole !== null) return { kind: 'instance-snapshot', snapshot: whole };
  const keyPair = await tx.documents.find(KEY_PAIRS, scope, holder);
  if (keyPair !== null) return { kind: 'key-pair', keyPair };
  const staticIp = await tx.documents.find(STATIC_IPS, scope, holder);
  if (staticIp !== null) return { kind: 'static-ip', staticIp };
  const alarm = await tx.documents.find(ALARMS, scope, holder);
  return alarm === null ? NOTHING : { kind: 'alarm', alarm };
}

/** Also of what lies in the recycle bin, for who wants it back. */
async function volumeFact(tx: ReadTx, scope: Scope, id: VolumeId): Promise<Fact> {
  const volume = await tx.volumes.find(id);
  const isThere = volume !== null && isIn(scope, volume) && !volume.draft && volume.state !== 'deleting';
  return isThere ? { kind: 'volume', volume } : NOTHING;
}

/** The same; and of what another account shares with this one, all but its tags, which are the owner's. */
async function snapshotFact(tx: ReadTx, scope: Scope, id: SnapshotId): Promise<Fact> {
  const snapshot = await tx.snapshots.find(id);
  if (snapshot === null || snapshot.region !== scope.region) return NOTHING;
  if (snapshot.account === scope.account) {
    const isThere = snapshot.state !== 'cutting' && snapshot.state !== 'deleting';
    return isThere ? { kind: 'snapshot', snapshot } : NOTHING;
  }
  const isShared = visibleState(snapshot) !== null && (await isUsableBy(tx, snapshot, scope.account));
  return isShared ? { kind: 'snapshot', snapshot: { ...snapshot, tags: {} } } : NOTHING;
}

function tagList(tags: Readonly<Record<string, string>>): readonly Tag[] {
  return Object.entries(tags).map(([key, value]) => ({ key, value }));
}
