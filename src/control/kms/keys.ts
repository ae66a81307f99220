import { uuid } from '#base/random.ts';
import { keyArn } from '#domain/kms/arn.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import { type KmsKey, NOT_PENDING_DELETION, requireState } from '#domain/kms/key.ts';
import { DAY_MS, KMS_LIMITS } from '#domain/kms/limits.ts';
import { EC2_TAG_RULES, type Tag } from '#domain/tags.ts';
import type { Tags } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { readPage, slicePage } from '#control/pages.ts';
import { authorizeAccount, keyFor, type KeyUse, type KmsCall } from './access.ts';
import { ensureManagedKey } from './managed-keys.ts';
import { insertKey } from './new-key.ts';
import { checkKeyPolicy, defaultPolicy } from './policies.ts';
import { keyKind } from './records.ts';

export interface CreateKey {
  readonly description: string;
  readonly origin: KmsKey['origin'];
  /** JSON; null: the account decides. */
  readonly policy: string | null;
  /** Whether the policy may shut its maker out. */
  readonly mayLockOut: boolean;
  readonly tags: readonly Tag[];
}

export interface PageOf {
  readonly after: string | null;
  readonly countMax: number;
}

/** Refuses: denied, policy, tag, limit. */
export async function createKey(call: KmsCall, request: CreateKey): Promise<KmsKey> {
  const { ports, scope, caller } = call;
  const tags = tagsOf({}, request.tags);
  const tagging = requestTags(tags);
  authorizeAccount(call, 'CreateKey', {
    keys: [
      ['kms:bypasspolicylockoutsafetycheck', [String(request.mayLockOut)]],
      ['kms:keyorigin', [request.origin === 'generated' ? 'AWS_KMS' : 'EXTERNAL']],
      ['kms:keyspec', ['SYMMETRIC_DEFAULT']],
      ['kms:keyusage', ['ENCRYPT_DECRYPT']],
      ['kms:multiregion', ['false']],
      ...tagging,
    ],
  });
  if (request.tags.length > 0) authorizeAccount(call, 'TagResource', { keys: tagging });
  const id = uuid(ports.random);
  const policy = request.policy ?? defaultPolicy(scope.account);
  return await ports.meta.transact(async (tx) => {
    const trustees = request.policy === null ? [] : await checkKeyPolicy(tx, caller, { ...scope, id }, policy, request);
    if ((await tx.documents.count(keyKind, scope, null)) >= KMS_LIMITS.keyCountMax) {
      refuseKms({ kind: 'limit', what: 'keys', max: KMS_LIMITS.keyCountMax });
    }
    const { description, origin } = request;
    return await insertKey(ports, tx, scope, {
      id,
      description,
      origin,
      policy,
      trustees,
      tags,
      manager: 'customer',
      rotation: null,
    });
  });
}

/** Any key that the caller may describe; the key of a service is made when it is asked for first. */
export async function describeKey(call: KmsCall, key: string, grantTokens: readonly string[]): Promise<KmsKey> {
  await ensureManagedKey(call.ports, call.scope, key);
  const use = { action: 'DescribeKey', grantTokens, isGrantable: true, isCrossAccount: true, takesAlias: true };
  return await call.ports.meta.read((tx) => keyFor(call, tx, key, use));
}

/** In the order of creation. Refuses: denied; page-token-invalid. */
export async function listKeys(
  call: KmsCall,
  page: PageOf,
): Promise<{ readonly records: readonly KmsKey[]; readonly next: string | null }> {
  authorizeAccount(call, 'ListKeys');
  const { ports, scope } = call;
  return await readPage<KmsKey>(ports, scope, 'kms keys', page, (part) =>
    ports.meta.read((tx) => tx.documents.list(keyKind, scope, null, part)),
  );
}

/** Changes a key in one transaction. Refuses: as keyFor and `change`. */
export async function changeKey(
  call: KmsCall,
  text: string,
  use: KeyUse,
  change: (key: KmsKey, nowMs: number, tx: Tx) => KmsKey | Promise<KmsKey>,
): Promise<KmsKey> {
  const { ports } = call;
  return await ports.meta.transact(async (tx) => {
    const key = await keyFor(call, tx, text, use);
    const changed = await change(key, ports.clock.nowMs(), tx);
    if (changed !== key) await tx.documents.update(keyKind, changed, changed);
    return changed;
  });
}

/** Refuses: key-state (pending deletion or import). */
export async function enableKey(call: KmsCall, text: string): Promise<void> {
  await changeKey(call, text, { action: 'EnableKey' }, (key, nowMs) => {
    requireState(key, nowMs, ['enabled', 'disabled']);
    return { ...key, enabled: true };
  });
  call.ports.wake('tend-keys'); // A rotation may have become due while it was disabled.
}

/** Refuses: key-state (pending deletion or import). */
export async function disableKey(call: KmsCall, text: string): Promise<void> {
  await changeKey(call, text, { action: 'DisableKey' }, (key, nowMs) => {
    requireState(key, nowMs, ['enabled', 'disabled']);
    return { ...key, enabled: false };
  });
}

/** Refuses: key-state (pending deletion). */
export async function updateDescription(call: KmsCall, text: string, description: string): Promise<void> {
  await changeKey(call, text, { action: 'UpdateKeyDescription' }, (key, nowMs) => {
    requireState(key, nowMs, NOT_PENDING_DELETION);
    return { ...key, description };
  });
}

export async function getPolicy(call: KmsCall, text: string, action = 'GetKeyPolicy'): Promise<string> {
  return (await call.ports.meta.read((tx) => keyFor(call, tx, text, { action }))).policy;
}

/** Refuses: policy, limit. */
export async function putPolicy(
  call: KmsCall,
  text: string,
  policy: string,
  options: { readonly mayLockOut: boolean },
): Promise<void> {
  const keys = [['kms:bypasspolicylockoutsafetycheck', [String(options.mayLockOut)]]] as const;
  await changeKey(call, text, { action: 'PutKeyPolicy', keys }, async (key, _nowMs, tx) => {
    const trustees = await checkKeyPolicy(tx, call.caller, key, policy, options);
    return { ...key, policy, trustees };
  });
}

/** Refuses: as keyFor; page-token-invalid. */
export async function listTags(
  call: KmsCall,
  text: string,
  page: PageOf,
): Promise<{ readonly records: readonly Tag[]; readonly next: string | null }> {
  const { ports, scope } = call;
  const key = await ports.meta.read((tx) => keyFor(call, tx, text, { action: 'ListResourceTags' }));
  const tags = Object.entries(key.tags).map(([name, value]) => ({ key: name, value }));
  return await slicePage(ports, scope, `kms tags ${key.id}`, page, tags);
}

/** Refuses: tag, limit, key-state. */
export async function tagKey(call: KmsCall, text: string, tags: readonly Tag[]): Promise<void> {
  const asked = tagsOf({}, tags);
  const keys = requestTags(asked);
  await changeKey(call, text, { action: 'TagResource', keys }, (key, nowMs) => {
    requireState(key, nowMs, NOT_PENDING_DELETION);
    return { ...key, tags: tagsOf(key.tags, tags) };
  });
}

/** A tag that is not there is no error. Refuses: tag, key-state. */
export async function untagKey(call: KmsCall, text: string, names: readonly string[]): Promise<void> {
  const keys = [['aws:tagkeys', names]] as const;
  await changeKey(call, text, { action: 'UntagResource', keys }, (key, nowMs) => {
    requireState(key, nowMs, NOT_PENDING_DELETION);
    for (const name of names) checkTagKey(name);
    return { ...key, tags: Object.fromEntries(Object.entries(key.tags).filter(([name]) => !names.includes(name))) };
  });
}

/** What a request says about tags, as condition keys. */
function requestTags(tags: Tags): readonly (readonly [string, readonly string[]])[] {
  return [
    ['aws:tagkeys', Object.keys(tags)],
    ...Object.entries(tags).map(([key, value]) => [`aws:requesttag/${key.toLowerCase()}`, [value]] as const),
  ];
}

/** Tags set over others: each checked, none given twice. */
function tagsOf(over: Tags, list: readonly Tag[]): Tags {
  const given = new Map<string, string>();
  for (const { key, value } of list) {
    checkTagKey(key);
    if (value.length > EC2_TAG_RULES.valueLengthMax || !TAG_TEXT.test(value)) {
      refuseKms({ kind: 'tag', reason: `The value of the tag ${key} is not valid.` });
    }
    if (given.has(key)) refuseKms({ kind: 'tag', reason: `Duplicate tag keys: ${key}` });
    given.set(key, value);
  }
  const all = new Map([...Object.entries(over), ...given]);
  if (all.size > KMS_LIMITS.tagsPerKeyMax) {
    refuseKms({ kind: 'limit', what: 'tags of a key', max: KMS_LIMITS.tagsPerKeyMax });
  }
  return Object.fromEntries(all);
}

const TAG_TEXT = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

function checkTagKey(key: string): void {
  if (key === '' || key.length > EC2_TAG_RULES.keyLengthMax || !TAG_TEXT.test(key)) {
    refuseKms({ kind: 'tag', reason: `The tag key ${JSON.stringify(key.slice(0, 128))} is not valid.` });
  }
  if (key.toLowerCase().startsWith(EC2_TAG_RULES.reservedPrefix)) {
    refuseKms({ kind: 'tag', reason: 'aws: prefixed tag key names are not allowed for external use.' });
  }
}

/** When the key and everything sealed with it will be gone. Refuses: key-state, invalid. */
export async function scheduleDeletion(
  call: KmsCall,
  text: string,
  windowDays: number,
): Promise<{ readonly key: KmsKey; readonly atMs: number }> {
  const { min, max } = KMS_LIMITS.deletionWindowDays;
  if (windowDays < min || windowDays > max) {
    refuseKms({ kind: 'invalid', reason: `PendingWindowInDays must be between ${min} and ${max} inclusive` });
  }
  const keys = [['kms:scheduledeletionpendingwindowindays', [String(windowDays)]]] as const;
  const atMs = call.ports.time.latestMs() + windowDays * DAY_MS;
  const key = await changeKey(call, text, { action: 'ScheduleKeyDeletion', keys }, (found, nowMs) => {
    requireState(found, nowMs, NOT_PENDING_DELETION);
    return { ...found, deletion: { atMs, windowDays } };
  });
  return { key, atMs };
}

/** The key is disabled then. Refuses: key-state. */
export async function cancelDeletion(call: KmsCall, text: string): Promise<KmsKey> {
  return await changeKey(call, text, { action: 'CancelKeyDeletion' }, (key) => {
    // Due, and the task has not come to it yet: what was promised to be gone does not come back.
    if (key.deletion !== null && key.deletion.atMs <= call.ports.time.earliestMs())
      refuseKms({ kind: 'key-not-found', key: keyArn(key) });
    if (key.deletion === null) refuseKms({ kind: 'key-state', key: keyArn(key), state: 'is not pending deletion' });
    return { ...key, deletion: null, enabled: false };
  });
}
