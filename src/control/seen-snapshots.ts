import type { Snapshot } from '#domain/snapshot.ts';
import type { Face, Scope } from '#domain/volume.ts';
import type { Page, ReadTx, Row, SnapshotSearch } from '#meta/meta-store.ts';
import { isUsableBy } from './lookup.ts';
import { mergedRows } from './pages.ts';

/** A row of a list as an account sees it. */
export interface SeenSnapshot {
  readonly snapshot: Snapshot;
  /** Not so for one that is shared with everybody, while its account blocks that: it has a place in the list, and is not shown. */
  readonly isUsable: boolean;
}

/** Another account's tags are not shown to those that it shares a snapshot with. */
export function asSeenBy({ account }: Scope, snapshot: Snapshot): Snapshot {
  return snapshot.account === account ? snapshot : { ...snapshot, tags: {} };
}

/** The account's own, and with `shared` those of others that are shared with it or with everybody, in the order of creation. */
export async function seenRows(
  tx: ReadTx,
  scope: Scope,
  request: {
    readonly face: Face | null;
    readonly searches?: readonly SnapshotSearch[] | null;
    readonly shared?: boolean;
  },
  page: Page,
): Promise<readonly Row<SeenSnapshot>[]> {
  const { face, shared = false } = request;
  const own: readonly (SnapshotSearch | null)[] = request.searches ?? [null];
  const others: readonly SnapshotSearch[] = shared
    ? [
        { kind: 'shared-with', grantee: scope.account },
        { kind: 'shared-with', grantee: 'all' },
      ]
    : [];
  const rows = await mergedRows(page, [...own, ...others], (search) =>
    tx.snapshots.list({ scope, face, search }, page),
  );
  const seen: Row<SeenSnapshot>[] = [];
  for (const { sequence, record } of rows) {
    const isUsable = record.account === scope.account || (await isUsableBy(tx, record, scope.account));
    seen.push({ sequence, record: { snapshot: asSeenBy(scope, record), isUsable } });
  }
  return seen;
}
