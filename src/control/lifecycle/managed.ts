import type { LifecyclePolicy, ManagedCopy, ManagedSnapshot } from '#domain/lifecycle/policy.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { visibleState } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';

/** By their snapshot's id; owned by their policy. */
export const managedSnapshots: DocumentKind<ManagedSnapshot> = {
  name: 'managed-snapshot',
  idOf: ({ snapshot }) => snapshot,
  ownerOf: ({ policy }) => policy,
};

/** By the copy's id, where its policy is; owned by that. */
export const managedCopies: DocumentKind<ManagedCopy> = {
  name: 'managed-copy',
  idOf: ({ copy }) => copy,
  ownerOf: ({ policy }) => policy,
};

/** Rows of one part of a list. */
const BATCH_ROWS = 500;

/** All of a policy's, oldest first. */
export async function ofPolicy<R>(
  tx: Pick<Tx | ReadTx, 'documents'>,
  kind: DocumentKind<R>,
  scope: Scope,
  policy: string,
): Promise<readonly R[]> {
  const all: R[] = [];
  for (let after = 0; ;) {
    const rows = await tx.documents.list(kind, scope, policy, { after, countMax: BATCH_ROWS });
    all.push(...rows.map(({ record }) => record));
    const last = rows.at(-1);
    if (last === undefined || rows.length < BATCH_ROWS) return all;
    after = last.sequence;
  }
}

/** What a policy made that is there and completed. */
export interface Kept {
  readonly managed: ManagedSnapshot;
  readonly snapshot: Snapshot;
}

/** Oldest first; what is gone is forgotten. */
export async function findKept(ports: ControlPorts, scope: Scope, policy: LifecyclePolicy): Promise<readonly Kept[]> {
  return await ports.meta.transact(async (tx) => {
    const kept: Kept[] = [];
    for (const managed of await ofPolicy(tx, managedSnapshots, scope, policy.id)) {
      const snapshot = await tx.snapshots.find(managed.snapshot);
      if (snapshot === null || snapshot.state === 'deleting') {
        await tx.documents.remove(managedSnapshots, scope, managed.snapshot);
      } else if (visibleState(snapshot) === 'completed') kept.push({ managed, snapshot });
    }
    return kept;
  });
}

/** Of one schedule, volume by volume. */
export function byVolume(kept: readonly Kept[], schedule: number): readonly (readonly Kept[])[] {
  const ofSchedule = kept.filter(({ managed }) => managed.schedule === schedule);
  return [...Map.groupBy(ofSchedule, ({ managed }) => managed.volume).values()];
}

/** Writes down what was done for a snapshot; nothing where it, or its policy, is gone meanwhile. */
export async function remember(
  ports: ControlPorts,
  scope: Scope,
  { snapshot }: ManagedSnapshot,
  done: (managed: ManagedSnapshot, tx: Tx) => ManagedSnapshot | Promise<ManagedSnapshot>,
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const managed = await tx.documents.find(managedSnapshots, scope, snapshot);
    if (managed !== null) await tx.documents.update(managedSnapshots, scope, await done(managed, tx));
  });
}

/** Tags that clients may not set, of everything that a schedule makes. */
export function ownTags(policy: string, schedule: string): Readonly<Record<string, string>> {
  return {
    'aws:dlm:lifecycle-policy-id': policy,
    'aws:dlm:lifecycle-schedule-name': schedule,
    'dlm:managed': 'true',
  };
}

export function scheduleName(name: string | undefined, index: number): string {
  return name ?? `Schedule ${index + 1}`;
}
