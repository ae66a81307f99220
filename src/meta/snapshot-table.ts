import { type Insertable, type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { assert, unreachable } from '#base/assert.ts';
import type { AccountId, CutId, Lineage, RegionName, SnapshotId, VolumeId } from '#domain/ids.ts';
import { NO_SNAPSHOT_DETAILS, type Snapshot, type SnapshotState } from '#domain/snapshot.ts';
import type { Face, Scope, Tags } from '#domain/volume.ts';
import { detailsOf, detailsText } from './details.ts';
import type { Page, Row, SnapshotSearch, SnapshotTable } from './meta-store.ts';
import { hasNameTag } from './name-tag.ts';
import type { SnapshotRow, Tables } from './schema/tables.ts';

const VISIBLE: readonly SnapshotState[] = ['pending', 'completed', 'error', 'recovering'];

export function snapshotTable(db: Kysely<Tables>): SnapshotTable {
  const counted = () => db.selectFrom('snapshots').select((e) => e.fn.countAll<number>().as('count'));
  return {
    find: async (id) => {
      const row = await db.selectFrom('snapshots').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : snapshotOf(row);
    },

    list: async ({ scope, face, tagged, binned, search = null }, page: Page) => {
      const { from, where, order } = wayTo(scope, search, binned === true ? ['recoverable'] : VISIBLE);
      const isOfFace = face === null ? sql`` : sql`and snapshots.face = ${face}`;
      // Written as in the partial index, or SQLite would not use it.
      const isTagged = tagged === true ? sql`and snapshots.tags <> '{}'` : sql``;
      const { rows } = await sql<Selectable<SnapshotRow>>`
        select snapshots.* from ${from} where ${where} and ${order} > ${page.after} ${isOfFace} ${isTagged}
        order by ${order} limit ${page.countMax}`.execute(db);
      return rows.map(numbered);
    },

    inState: async (states: readonly SnapshotState[], page: Page) => {
      const rows = await db
        .selectFrom('snapshots')
        .selectAll()
        .where('state', 'in', states)
        .where('sequence', '>', page.after)
        .orderBy('sequence')
        .limit(page.countMax)
        .execute();
      return rows.map(numbered);
    },

    tiered: async (page: Page) => {
      const rows = await db
        .selectFrom('snapshots')
        .selectAll()
        .where(sql<boolean>`json_extract(details, '$.tier') is not null`)
        .where('sequence', '>', page.after)
        .orderBy('sequence')
        .limit(page.countMax)
        .execute();
      return rows.map(numbered);
    },

    ofVolume: async (volume, state, beforeEpoch, countMax) => {
      let query = db.selectFrom('snapshots').selectAll().where('volume', '=', volume).where('state', '=', state);
      // Gone soon: nothing is to be an increment of it.
      if (state === 'completed') query = query.where(sql`instr(details, '"isStaging":true')`, '=', 0);
      if (beforeEpoch !== null) query = query.where('epoch', '<', beforeEpoch);
      return (await query.orderBy('epoch', 'desc').limit(countMax).execute()).map(snapshotOf);
    },

    unreleased: async (page: Page) => {
      const rows = await db
        .selectFrom('snapshots')
        .selectAll()
        .where('released', '=', (e) => e.lit(0))
        .where('sequence', '>', page.after)
        .orderBy('sequence')
        .limit(page.countMax)
        .execute();
      return rows.map(numbered);
    },

    named: async (name) => {
      const rows = await db
        .selectFrom('snapshots')
        .selectAll()
        .where((e) => e.or([e('name', '=', name), hasNameTag(name)]))
        .where('state', 'in', VISIBLE)
        .orderBy('sequence')
        .execute();
      return rows.map(snapshotOf);
    },

    count: async (scope) => {
      const row = await db
        .selectFrom('tallies')
        .select('count')
        .where('kind', '=', 'snapshots')
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .executeTakeFirst();
      return row?.count ?? 0;
    },

    countPending: async (scope) => {
      const row = await counted()
        .where('state', 'in', ['cutting', 'pending'])
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .executeTakeFirstOrThrow();
      return row.count;
    },

    countCopies: async (scope) => {
      const row = await counted()
        .where('state', '=', 'pending')
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where(sql`json_extract(details, '$.copiedFrom')`, 'is not', null)
        // Those that the server makes for volumes are nobody's copies.
        .where(sql`instr(details, '"isStaging":true')`, '=', 0)
        .executeTakeFirstOrThrow();
      return row.count;
    },

    countStaging: async (scope) => {
      const row = await counted()
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('state', '=', 'pending')
        .where(sql`instr(details, '"isStaging":true')`, '>', 0)
        .executeTakeFirstOrThrow();
      return row.count;
    },

    isCopied: async (id) => {
      const row = await db
        .selectFrom('snapshots')
        .select('id')
        .where('state', '=', 'pending')
        .where(sql`json_extract(details, '$.copiedFrom.snapshot')`, '=', id)
        .limit(1)
        .executeTakeFirst();
      return row !== undefined;
    },

    countDirect: async (scope) => {
      const row = await counted()
        .where('state', 'in', ['cutting', 'pending'])
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('direct', '=', 1)
        .where('sealed', '=', 0)
        .executeTakeFirstOrThrow();
      return row.count;
    },

    insert: async (snapshot) => {
      await db.insertInto('snapshots').values(rowOf(snapshot)).execute();
    },

    update: async (snapshot) => {
      const result = await db
        .updateTable('snapshots')
        .set(rowOf(snapshot))
        .where('id', '=', snapshot.id)
        .executeTakeFirst();
      assert(result.numUpdatedRows === 1n, 'a snapshot that is updated exists');
    },

    raiseProgress: async (id, percent) => {
      await db
        .updateTable('snapshots')
        .set({ progress_percent: percent })
        .where('id', '=', id)
        .where('state', '=', 'pending')
        .where('progress_percent', '<', percent)
        .execute();
    },

    remove: async (id) => {
      await db.deleteFrom('snapshots').where('id', '=', id).execute();
    },
  };
}

interface Way {
  readonly from: RawBuilder<unknown>;
  readonly where: RawBuilder<unknown>;
  /** In the order of creation, which is the order in which the index gives them. */
  readonly order: RawBuilder<unknown>;
}

/** Which index is walked for a list. A unary plus keeps SQLite from another one, and a cross join from another order. */
function wayTo({ account, region }: Scope, search: SnapshotSearch | null, states: readonly SnapshotState[]): Way {
  const isVisible = sql`+snapshots.state in (${sql.join(states.map((state) => sql.lit(state)))})`;
  // As detailsText writes it; within a string of the JSON, the quotes would be escaped.
  const isShown = sql`instr(snapshots.details, '"isStaging":true') = 0 and ${isVisible}`;
  const own = sql`snapshots.account = ${account} and snapshots.region = ${region}`;
  const snapshots = { from: sql`snapshots`, order: sql`snapshots.sequence` };
  switch (search?.kind) {
    case undefined:
      return { ...snapshots, where: sql`${own} and ${isShown}` };
    case 'state':
      return { ...snapshots, where: sql`${own} and snapshots.state = ${search.state} and ${isShown}` };
    case 'id':
      return { ...snapshots, where: sql`snapshots.id = ${search.id} and +${own} and ${isShown}` };
    case 'volume':
      return {
        ...snapshots,
        where: sql`snapshots.volume = ${search.volume} and +snapshots.account = ${account}
          and +snapshots.region = ${region} and ${isShown}`,
      };
    case 'tag': {
      const isValue = search.value === null ? sql`` : sql`and found.value = ${search.value}`;
      return {
        from: sql`snapshot_tags as found cross join snapshots on snapshots.sequence = found.sequence`,
        where: sql`found.account = ${account} and found.region = ${region} and found.key = ${search.key} ${isValue}
          and ${isShown}`,
        order: sql`found.sequence`,
      };
    }
    case 'shared-with':
      return {
        from: sql`snapshot_shares as found cross join snapshots on snapshots.sequence = found.sequence`,
        where: sql`found.grantee = ${search.grantee} and found.region = ${region} and ${isShown}`,
        order: sql`found.sequence`,
      };
    default:
      return unreachable(search);
  }
}

function numbered(row: Selectable<SnapshotRow>): Row<Snapshot> {
  return { sequence: row.sequence, record: snapshotOf(row) };
}

function snapshotOf(row: Selectable<SnapshotRow>): Snapshot {
  return {
    id: row.id as SnapshotId,
    account: row.account as AccountId,
    region: row.region as RegionName,
    face: row.face as Face,
    name: row.name,
    volume: row.volume as VolumeId,
    volumeName: row.volume_name,
    volumeSizeGib: row.volume_size_gib,
    state: row.state as SnapshotState,
    stateMessage: row.state_message,
    progressPercent: row.progress_percent,
    description: row.description,
    startedAtMs: row.started_at_ms,
    completedAtMs: row.completed_at_ms,
    cut: row.cut as CutId,
    epoch: row.epoch,
    parent: row.parent as SnapshotId | null,
    fullBytes: row.full_bytes,
    changedBytes: row.changed_bytes,
    storedBytes: row.stored_bytes,
    direct: row.direct === 1,
    sealed: row.sealed === 1,
    released: row.released === 1,
    timeoutMinutes: row.timeout_minutes,
    touchedAtMs: row.touched_at_ms,
    lineage: row.lineage as Lineage,
    tags: JSON.parse(row.tags) as Tags,
    ...detailsOf(NO_SNAPSHOT_DETAILS, row.details),
  };
}

function rowOf(snapshot: Snapshot): Insertable<SnapshotRow> {
  return {
    id: snapshot.id,
    account: snapshot.account,
    region: snapshot.region,
    face: snapshot.face,
    name: snapshot.name,
    volume: snapshot.volume,
    volume_name: snapshot.volumeName,
    volume_size_gib: snapshot.volumeSizeGib,
    state: snapshot.state,
    state_message: snapshot.stateMessage,
    progress_percent: snapshot.progressPercent,
    description: snapshot.description,
    started_at_ms: snapshot.startedAtMs,
    completed_at_ms: snapshot.completedAtMs,
    cut: snapshot.cut,
    epoch: snapshot.epoch,
    parent: snapshot.parent,
    full_bytes: snapshot.fullBytes,
    changed_bytes: snapshot.changedBytes,
    stored_bytes: snapshot.storedBytes,
    direct: Number(snapshot.direct),
    sealed: Number(snapshot.sealed),
    released: Number(snapshot.released),
    timeout_minutes: snapshot.timeoutMinutes,
    touched_at_ms: snapshot.touchedAtMs,
    lineage: snapshot.lineage,
    tags: JSON.stringify(snapshot.tags),
    details: detailsText(NO_SNAPSHOT_DETAILS, snapshot),
  };
}
