import type { Blueprint } from '#domain/blueprint.ts';
import { blueprintProblem } from '#domain/blueprint.ts';
import { refuse } from '#domain/errors.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { hindrance, type Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { type DocumentKind, GLOBAL } from '#meta/document-table.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { snapshotBegun } from './lookup.ts';
import type { ControlPorts } from './ports.ts';
import { shareSnapshot } from './snapshot-sharing.ts';
import { deleteSnapshot } from './snapshots.ts';

const kind: DocumentKind<Blueprint> = {
  name: 'blueprint',
  idOf: ({ id }) => id,
  ownerOf: ({ snapshot }) => snapshot,
};

/** As many are read at once; a server has a handful. */
const PAGE_COUNT = 100;

/** What whoever brings a blueprint says of it; its size and the rest come from the snapshot. */
export type NewBlueprint = Omit<Blueprint, 'platform' | 'type' | 'diskGibMin' | 'isActive' | 'createdAtMs'> & {
  /** Another of that id ends, with its snapshot. */
  readonly replaces: boolean;
};

/** All whose snapshot is there to make machines of, in the order of their registration. */
export async function listBlueprints(ports: ControlPorts): Promise<readonly Blueprint[]> {
  return await ports.meta.read(async (tx) => {
    const found: Blueprint[] = [];
    for (let after = 0; ;) {
      const rows = await tx.documents.all(kind, { after, countMax: PAGE_COUNT });
      for (const { sequence, record } of rows) {
        after = sequence;
        if (await isUsable(tx, record.record)) found.push(record.record);
      }
      if (rows.length < PAGE_COUNT) return found;
    }
  });
}

/**
 * The blueprint of that id; null: there is none, or its snapshot cannot be used. Its snapshot is found by its id
 * (`tx.snapshots.find`) and may be used by every account in every region: it is shared with all, and its bytes are in the
 * one store.
 */
export async function findBlueprint(ports: ControlPorts, id: string): Promise<Blueprint | null> {
  return await ports.meta.read((tx) => findBlueprintIn(tx, id));
}

/** As `findBlueprint`, within a transaction. */
export async function findBlueprintIn(tx: ReadTx, id: string): Promise<Blueprint | null> {
  const [found] = await tx.documents.everywhere(kind, id);
  return found !== undefined && (await isUsable(tx, found.record)) ? found.record : null;
}

/**
 * Makes a blueprint of a completed snapshot, and shares that with everybody. Refuses: not-found, wrong-state (of the
 * snapshot), name-taken (there is a blueprint of that id, and `replaces` is not said), invalid-value, in-use (the snapshot
 * is another blueprint's), not-permitted (an encrypted snapshot, one on an Outpost, or an account that shares nothing with everybody).
 */
export async function registerBlueprint(ports: ControlPorts, { replaces, ...words }: NewBlueprint): Promise<Blueprint> {
  const problem = blueprintProblem(words);
  if (problem !== null) refuse({ kind: 'invalid-value', ...problem });
  const snapshot = await ports.meta.read(async (tx) => {
    await refuseTaken(tx, words, replaces);
    return await completedSnapshot(tx, words.snapshot);
  });
  await shareSnapshot(ports, snapshot, snapshot.id, { add: ['all'], remove: [] });
  const { made, replaced } = await ports.meta.transact(async (tx) => {
    await refuseTaken(tx, words, replaces);
    const current = await completedSnapshot(tx, words.snapshot);
    const blueprint: Blueprint = {
      ...words,
      platform: 'LINUX_UNIX',
      type: 'os',
      diskGibMin: current.volumeSizeGib,
      isActive: true,
      createdAtMs: ports.clock.nowMs(),
    };
    const [before] = await tx.documents.everywhere(kind, words.id);
    if (before !== undefined) await tx.documents.remove(kind, before, words.id);
    await tx.documents.insert(kind, { account: current.account, region: GLOBAL }, blueprint);
    return { made: blueprint, replaced: before?.record ?? null };
  });
  if (replaced !== null && replaced.snapshot !== made.snapshot) {
    // What keeps it (a lock) is no reason to have no blueprint: it stays as the snapshot that it is.
    await deleteSnapshotOf(ports, replaced).catch((error: unknown) => {
      ports.log.warn('blueprint.replaced-snapshot', { blueprint: made.id, snapshot: replaced.snapshot, error });
    });
  }
  return made;
}

/**
 * Removes a blueprint and its snapshot. Machines that were made from it do not care: what they have not read yet is kept
 * for them. Refuses: not-found, and what a deletion of the snapshot refuses (it is locked), with the blueprint as it was.
 */
export async function removeBlueprint(ports: ControlPorts, id: string): Promise<Blueprint> {
  const found = await ports.meta.read(async (tx) => (await tx.documents.everywhere(kind, id))[0]);
  if (found === undefined) refuse({ kind: 'not-found', resource: 'resource', id });
  // The snapshot first: while it is there, a second attempt finds the blueprint that leads to it.
  await deleteSnapshotOf(ports, found.record);
  await ports.meta.transact((tx) => tx.documents.remove(kind, found, id));
  return found.record;
}

async function deleteSnapshotOf(ports: ControlPorts, blueprint: Blueprint): Promise<void> {
  const snapshot = await ports.meta.read((tx) => tx.snapshots.find(blueprint.snapshot));
  if (snapshot === null || snapshot.state === 'deleting' || snapshot.state === 'recoverable') return;
  await deleteSnapshot(ports, scopeOf(snapshot), snapshot.id, { token: null, operation: null });
}

async function refuseTaken(tx: ReadTx, words: { id: string; snapshot: SnapshotId }, replaces: boolean): Promise<void> {
  const [before] = await tx.documents.everywhere(kind, words.id);
  if (before !== undefined && !replaces) refuse({ kind: 'name-taken', name: words.id });
  const rows = await tx.documents.all(kind, { after: 0, countMax: Number.MAX_SAFE_INTEGER });
  const other = rows.find(({ record }) => record.record.snapshot === words.snapshot && record.record.id !== words.id);
  if (other !== undefined) {
    refuse({ kind: 'in-use', resource: 'snapshot', id: words.snapshot, by: `blueprint ${other.record.record.id}` });
  }
}

async function completedSnapshot(tx: ReadTx, id: SnapshotId): Promise<Snapshot> {
  const snapshot = await snapshotBegun(tx, id);
  const state = hindrance(snapshot);
  if (state !== null) refuse({ kind: 'wrong-state', resource: 'snapshot', id, state });
  // Instances of every region read it.
  if (snapshot.outpost !== null) refuse({ kind: 'not-permitted', what: 'it is local to an Outpost' });
  return snapshot;
}

async function isUsable(tx: ReadTx, blueprint: Blueprint): Promise<boolean> {
  const snapshot = await tx.snapshots.find(blueprint.snapshot);
  return snapshot !== null && hindrance(snapshot) === null;
}

function scopeOf({ account, region }: Scope): Scope {
  return { account, region };
}
