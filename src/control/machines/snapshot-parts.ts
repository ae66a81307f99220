import { assert } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import type { InstanceSnapshotId, SnapshotId } from '#domain/ids.ts';
import type { InstanceSnapshot } from '#domain/instance-snapshot.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { isSnapshotId, refuseUnusable, snapshotIn } from '#control/lookup.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { instanceSnapshotOf, isInstanceSnapshotId, partsOf } from './instance-snapshot-records.ts';

// What copies and exports are made of: a disk's snapshot, or a machine's with its parts.

export type SnapshotChosen =
  | { readonly type: 'Disk'; readonly id: SnapshotId }
  | { readonly type: 'Instance'; readonly id: InstanceSnapshotId };

/** Refuses: not-found, also when the name is no snapshot's. */
export async function snapshotCalled(tx: ReadTx, scope: Scope, name: string): Promise<SnapshotChosen> {
  const holder = await tx.names.find(scope, name);
  if (holder !== null && isSnapshotId(holder)) return { type: 'Disk', id: holder };
  if (holder !== null && isInstanceSnapshotId(holder)) return { type: 'Instance', id: holder };
  refuse({ kind: 'not-found', resource: 'snapshot', id: name });
}

/** Of a machine's its system volume's first. Refuses: not-found, wrong-state. */
export async function sourcesOf(tx: ReadTx, scope: Scope, chosen: SnapshotChosen): Promise<readonly Snapshot[]> {
  if (chosen.type === 'Disk') return [await diskSource(tx, scope, chosen.id)];
  return (await machineSource(tx, scope, chosen.id)).parts.map(({ source }) => source);
}

/** Refuses: not-found, wrong-state. */
export async function diskSource(tx: ReadTx, from: Scope, id: SnapshotId): Promise<Snapshot> {
  const source = await snapshotIn(tx, from, id);
  refuseUnusable(source);
  return source;
}

export interface MachineParts {
  readonly whole: InstanceSnapshot;
  readonly parts: readonly { readonly part: InstanceSnapshot['parts'][number]; readonly source: Snapshot }[];
}

/** Refuses: not-found, wrong-state. */
export async function machineSource(tx: ReadTx, from: Scope, id: InstanceSnapshotId): Promise<MachineParts> {
  const whole = await instanceSnapshotOf(tx, from, id);
  if (whole.state !== 'available') {
    refuse({ kind: 'wrong-state', resource: 'instance-snapshot', id: whole.name, state: whole.state });
  }
  const found = await partsOf(tx, whole);
  return {
    whole,
    parts: whole.parts.map((part) => {
      const source = found.find((one) => one.id === part.snapshot);
      assert(source !== undefined, 'an available snapshot of a machine has all its parts');
      refuseUnusable(source);
      return { part, source };
    }),
  };
}
