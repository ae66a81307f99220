import { DomainError, type Failure, refuse } from '#domain/errors.ts';
import { type FastRestore, fastRestoreIn, isWanted, newFastRestore } from '#domain/fast-restore.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { findZone } from '#domain/region.ts';
import { hindrance, type Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { snapshotUsable } from './lookup.ts';
import { refuseLocal } from './outposts.ts';
import { readPage } from './pages.ts';
import type { ControlPorts } from './ports.ts';

/*
 * That a snapshot is kept ready for a zone is a record that begins as `enabling`; the task `tend-fast-restores` has the host
 * make the snapshot warm and brings the record on, so that `enabled` is said of nothing that is not ready. All zones are
 * one place here: a snapshot is warm while one account wants it in one zone.
 */

/** By snapshot and zone; owned by the snapshot. */
export const fastRestores: DocumentKind<FastRestore> = {
  name: 'fast-restore',
  idOf: ({ snapshot, zone }) => `${snapshot} ${zone}`,
  ownerOf: ({ snapshot }) => snapshot,
};

/** More than one snapshot may ever have: its zones. */
const ZONES_MAX = 100;

export interface FastRestoreRequest {
  readonly snapshots: readonly SnapshotId[];
  readonly zones: readonly string[];
}

export interface RefusedFastRestore {
  readonly snapshot: SnapshotId;
  readonly zone: string;
  readonly failure: Failure;
}

/** Each snapshot in each zone by itself: some may succeed where others do not. */
export interface FastRestoreOutcome {
  readonly successful: readonly FastRestore[];
  readonly unsuccessful: readonly RefusedFastRestore[];
}

/** One that is enabled, or on its way, stays as it is. Refuses: zone-not-found. For an item: not-found, wrong-state (not completed, archived), limit. */
export async function enableFastRestores(
  ports: ControlPorts,
  scope: Scope,
  request: FastRestoreRequest,
): Promise<FastRestoreOutcome> {
  const outcome = await each(ports, scope, request, (tx, snapshot, zone) => enable(ports, tx, scope, snapshot, zone));
  ports.wake('tend-fast-restores');
  return outcome;
}

/** One that is being disabled stays as it is. Refuses: zone-not-found. For an item: not-found, wrong-state (it is not enabled). */
export async function disableFastRestores(
  ports: ControlPorts,
  scope: Scope,
  request: FastRestoreRequest,
): Promise<FastRestoreOutcome> {
  const outcome = await each(ports, scope, request, (tx, snapshot, zone) => disable(ports, tx, scope, snapshot, zone));
  ports.wake('tend-fast-restores');
  return outcome;
}

/** What a request that asks only whether it would succeed needs, too. Refuses: zone-not-found. */
export function checkZones({ region }: Scope, zones: readonly string[]): void {
  const unknown = zones.find((zone) => findZone(region, zone) === null);
  if (unknown !== undefined) refuse({ kind: 'zone-not-found', zone: unknown });
}

async function each(
  ports: ControlPorts,
  scope: Scope,
  { snapshots, zones }: FastRestoreRequest,
  work: (tx: Tx, snapshot: SnapshotId, zone: string) => Promise<FastRestore>,
): Promise<FastRestoreOutcome> {
  checkZones(scope, zones);
  const successful: FastRestore[] = [];
  const unsuccessful: RefusedFastRestore[] = [];
  for (const snapshot of new Set(snapshots)) {
    for (const zone of new Set(zones)) {
      try {
        successful.push(await ports.meta.transact((tx) => work(tx, snapshot, zone)));
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        unsuccessful.push({ snapshot, zone, failure: error.failure });
      }
    }
  }
  return { successful, unsuccessful };
}

async function enable(ports: ControlPorts, tx: Tx, scope: Scope, id: SnapshotId, zone: string): Promise<FastRestore> {
  const snapshot = await snapshotUsable(tx, scope, id);
  refuseLocal(snapshot, 'Fast snapshot restore');
  const state = unreadyState(snapshot);
  if (state !== null) refuse({ kind: 'wrong-state', resource: 'snapshot', id, state });
  const record = newFastRestore(id, zone, ports.clock.nowMs());
  const current = await tx.documents.find(fastRestores, scope, fastRestores.idOf(record));
  if (current !== null && isWanted(current)) return current;
  const wanted = await wantedIn(tx, scope);
  const max = ports.limitsOf(scope.account).fastRestoreSnapshotCountMax;
  if (!wanted.has(id) && wanted.size >= max) refuse({ kind: 'limit', limit: 'resources', max });
  if (current === null) await tx.documents.insert(fastRestores, scope, record);
  else await tx.documents.update(fastRestores, scope, record);
  return record;
}

async function disable(ports: ControlPorts, tx: Tx, scope: Scope, id: SnapshotId, zone: string): Promise<FastRestore> {
  const nowMs = ports.clock.nowMs();
  const current = await tx.documents.find(fastRestores, scope, fastRestores.idOf(newFastRestore(id, zone, nowMs)));
  if (current === null) {
    await snapshotUsable(tx, scope, id);
    refuse({ kind: 'wrong-state', resource: 'snapshot', id, state: 'disabled' });
  }
  if (current.state === 'disabling') return current;
  if (current.state === 'disabled') refuse({ kind: 'wrong-state', resource: 'snapshot', id, state: 'disabled' });
  const disabling = fastRestoreIn(current, 'disabling', nowMs, true);
  await tx.documents.update(fastRestores, scope, disabling);
  return disabling;
}

/** Snapshots of a scope that are to be ready in some zone. */
async function wantedIn(tx: ReadTx, scope: Scope): Promise<ReadonlySet<SnapshotId>> {
  const wanted = new Set<SnapshotId>();
  for (let after = 0; ;) {
    const countMax = 500;
    const rows = await tx.documents.list(fastRestores, scope, null, { after, countMax });
    for (const { record } of rows) if (isWanted(record)) wanted.add(record.snapshot);
    const last = rows.at(-1);
    if (last === undefined || rows.length < countMax) return wanted;
    after = last.sequence;
  }
}

/** The state in which it is not kept ready: not completed, in the archive, or on its way there; null: it may be. */
export function unreadyState(snapshot: Snapshot): string | null {
  return hindrance(snapshot) ?? (snapshot.tier?.state === 'archiving' ? 'archiving' : null);
}

/** Whether a volume that is made now of the snapshot in the zone is a fast one. */
export async function isFastRestored(tx: ReadTx, scope: Scope, snapshot: SnapshotId, zone: string): Promise<boolean> {
  const rows = await tx.documents.list(fastRestores, scope, snapshot, { after: 0, countMax: ZONES_MAX });
  return rows.some(({ record }) => record.zone === zone && record.state === 'enabled');
}

export interface ListFastRestores {
  readonly after: string | null;
  readonly countMax: number;
  readonly match: (one: FastRestore) => boolean;
}

/** In the order in which they were enabled first; for an hour also those that were disabled. Refuses: page-token-invalid. */
export async function listFastRestores(
  ports: ControlPorts,
  scope: Scope,
  request: ListFastRestores,
): Promise<{ readonly fastRestores: readonly FastRestore[]; readonly next: string | null }> {
  const page = await readPage<FastRestore>(ports, scope, 'fast restores', request, (part) =>
    ports.meta.read((tx) => tx.documents.list(fastRestores, scope, null, part)),
  );
  return { fastRestores: page.records, next: page.next };
}
