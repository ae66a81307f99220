import {
  type CrossRegionCopyRule,
  eventCopiesOf,
  type LifecyclePolicy,
  type SeenShare,
} from '#domain/lifecycle/policy.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { askForCopy, noteCopy } from './copies.ts';
import { matchesWithin } from './description-pattern.ts';
import { ofPolicy } from './managed.ts';
import type { Leave } from './role.ts';
import { attempt } from './trouble.ts';

/*
 * A policy that waits for snapshots to be shared with its account. An event is that a snapshot is among the shared ones and
 * was not when it was looked last: what was shared when the policy was made, changed or enabled is none; what is not shared
 * any more, and then is again, is another one.
 */

/** By policy and snapshot; owned by the policy. */
export const seenShares: DocumentKind<SeenShare> = {
  name: 'seen-share',
  idOf: ({ policy, snapshot }) => `${policy} ${snapshot}`,
  ownerOf: ({ policy }) => policy,
};

const BATCH_ROWS = 500;

/** From now on, what is shared already is no event. Nothing to do for policies of other types. */
export async function beginWatching(tx: Tx, scope: Scope, policy: LifecyclePolicy, nowMs: number): Promise<void> {
  await look(tx, scope, policy, nowMs, true);
}

/** Copies what was shared since, once for each rule. Answers what could not be done, which is tried again. */
export async function followShares(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  leave: Leave,
): Promise<readonly string[]> {
  if (policy.details.policyType !== 'EVENT_BASED_POLICY') return [];
  const events = await ports.meta.transact((tx) => look(tx, scope, policy, ports.clock.nowMs(), false));
  const troubles: string[] = [];
  for (const { seen, snapshot } of events) {
    // Until it is whole there is nothing to copy.
    if (snapshot.state === 'pending') continue;
    const isMeant = matchesWithin(patternOf(policy), snapshot.description);
    if (isMeant === null) return [...troubles, `${snapshot.id}: the pattern takes too long to compare its description`];
    for (const [index, rule] of isMeant ? eventCopiesOf(policy.details).entries() : []) {
      const trouble = await copyShared(ports, scope, policy, { seen, snapshot, index, rule }, leave);
      if (trouble !== null) troubles.push(trouble);
    }
  }
  return troubles;
}

interface Event {
  readonly seen: SeenShare;
  readonly snapshot: Snapshot;
}

/** Notes what is shared now, and forgets what is not any more. Answers those that are events. */
async function look(
  tx: Tx,
  scope: Scope,
  policy: LifecyclePolicy,
  nowMs: number,
  isBeginning: boolean,
): Promise<readonly Event[]> {
  if (policy.details.policyType !== 'EVENT_BASED_POLICY') return [];
  const before = new Map((await ofPolicy(tx, seenShares, scope, policy.id)).map((seen) => [seen.snapshot, seen]));
  const owners = policy.details.eventSource?.parameters?.snapshotOwner ?? [];
  const events: Event[] = [];
  for (const snapshot of await sharedWith(tx, scope)) {
    if (!owners.includes(snapshot.account)) continue;
    const known = before.get(snapshot.id);
    before.delete(snapshot.id);
    const seen: SeenShare =
      known !== undefined && !isBeginning
        ? known
        : { policy: policy.id, snapshot: snapshot.id, notedAtMs: nowMs, copied: isBeginning ? null : [] };
    if (known === undefined) await tx.documents.insert(seenShares, scope, seen);
    else if (seen !== known) await tx.documents.update(seenShares, scope, seen);
    if (seen.copied !== null) events.push({ seen, snapshot });
  }
  for (const gone of before.values()) await tx.documents.remove(seenShares, scope, seenShares.idOf(gone));
  return events;
}

async function sharedWith(tx: ReadTx, scope: Scope): Promise<readonly Snapshot[]> {
  const shared: Snapshot[] = [];
  for (let after = 0; ;) {
    const search = { kind: 'shared-with', grantee: scope.account } as const;
    const rows = await tx.snapshots.list({ scope, face: null, search }, { after, countMax: BATCH_ROWS });
    const visible = rows.filter(({ record: { state } }) => state === 'pending' || state === 'completed');
    shared.push(...visible.map(({ record }) => record));
    const last = rows.at(-1);
    if (last === undefined || rows.length < BATCH_ROWS) return shared;
    after = last.sequence;
  }
}

function patternOf({ details }: LifecyclePolicy): string {
  return details.eventSource?.parameters?.descriptionRegex ?? '';
}

async function copyShared(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  { seen, snapshot, index, rule }: Event & { readonly index: number; readonly rule: CrossRegionCopyRule },
  leave: Leave,
): Promise<string | null> {
  if (seen.copied?.includes(index) === true) return null;
  return await attempt(snapshot.id, async () => {
    const token = `lifecycle ${policy.id} ${snapshot.id} ${seen.notedAtMs} ${index}`;
    const copy = await askForCopy(ports, scope, snapshot, { rule, token, leave });
    await ports.meta.transact(async (tx) => {
      const current = await tx.documents.find(seenShares, scope, seenShares.idOf(seen));
      if (current?.copied?.includes(index) !== false) return;
      const scheduleName = policy.details.actions?.[0]?.name ?? 'Action 1';
      await noteCopy(tx, scope, { copy, source: snapshot, rule, policy: policy.id, scheduleName });
      await tx.documents.update(seenShares, scope, { ...current, copied: [...current.copied, index] });
    });
  });
}
