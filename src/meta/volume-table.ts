import { type Insertable, type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { assert } from '#base/assert.ts';
import type { AccountId, Lineage, RegionName, SnapshotId, VolumeId } from '#domain/ids.ts';
import {
  type Face,
  NO_VOLUME_DETAILS,
  type Scope,
  type Tags,
  type Volume,
  type VolumeState,
  type VolumeType,
} from '#domain/volume.ts';
import { detailsOf, detailsText } from './details.ts';
import type { Page, Row, TagSearch, VolumeTable } from './meta-store.ts';
import { hasNameTag } from './name-tag.ts';
import type { Tables, VolumeRow } from './schema/tables.ts';

export function volumeTable(db: Kysely<Tables>): VolumeTable {
  return {
    find: async (id) => {
      const row = await db.selectFrom('volumes').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : volumeOf(row);
    },

    list: async ({ scope, face, tagged, binned, search = null }, page: Page) => {
      const { from, where, order } = search === null ? allOf(scope) : taggedOf(scope, search);
      const isOfFace = face === null ? sql`` : sql`and volumes.face = ${face}`;
      // Written as in the partial index, or SQLite would not use it.
      const isTagged = tagged === true ? sql`and volumes.tags <> '{}'` : sql``;
      const isListed =
        binned === true ? sql`volumes.state = 'recoverable'` : sql`volumes.state not in ('deleting', 'recoverable')`;
      const { rows } = await sql<Selectable<VolumeRow>>`
        select volumes.* from ${from} where ${where} and ${order} > ${page.after} ${isOfFace} ${isTagged}
        and volumes.draft = 0 and ${isListed} order by ${order} limit ${page.countMax}`.execute(db);
      return rows.map(numbered);
    },

    inState: async (states: readonly VolumeState[], page: Page) => {
      const rows = await db
        .selectFrom('volumes')
        .selectAll()
        .where('state', 'in', states)
        .where('sequence', '>', page.after)
        .orderBy('sequence')
        .limit(page.countMax)
        .execute();
      return rows.map(numbered);
    },

    named: async (name) => {
      const rows = await db
        .selectFrom('volumes')
        .selectAll()
        .where((e) => e.or([e('name', '=', name), hasNameTag(name)]))
        .where('draft', '=', 0)
        .where('state', '!=', 'deleting')
        .orderBy('sequence')
        .execute();
      return rows.map(volumeOf);
    },

    count: async (scope) => {
      const row = await db
        .selectFrom('tallies')
        .select(['count', 'size_gib'])
        .where('kind', '=', 'volumes')
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .executeTakeFirst();
      return { count: row?.count ?? 0, sizeGib: row?.size_gib ?? 0 };
    },

    provisionedIops: async (scope) => {
      const row = await db
        .selectFrom('volumes')
        .select((e) => e.fn.sum<number | null>('iops').as('iops'))
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('type', 'in', ['io1', 'io2'])
        .where('draft', '=', 0)
        .where('state', '!=', 'deleting')
        .executeTakeFirstOrThrow();
      return row.iops ?? 0;
    },

    insert: async (volume) => {
      await db.insertInto('volumes').values(rowOf(volume)).execute();
    },

    update: async (volume) => {
      const result = await db.updateTable('volumes').set(rowOf(volume)).where('id', '=', volume.id).executeTakeFirst();
      assert(result.numUpdatedRows === 1n, 'a volume that is updated exists');
    },

    remove: async (id) => {
      await db.deleteFrom('volumes').where('id', '=', id).execute();
    },
  };
}

interface Way {
  readonly from: RawBuilder<unknown>;
  readonly where: RawBuilder<unknown>;
  /** In the order of creation. */
  readonly order: RawBuilder<unknown>;
}

function allOf({ account, region }: Scope): Way {
  return {
    from: sql`volumes`,
    where: sql`volumes.account = ${account} and volumes.region = ${region}`,
    order: sql`volumes.sequence`,
  };
}

/** By the index of tags, which gives the volumes in their order; a cross join keeps SQLite from another one. */
function taggedOf({ account, region }: Scope, { key, value }: TagSearch): Way {
  const isValue = value === null ? sql`` : sql`and found.value = ${value}`;
  return {
    from: sql`volume_tags as found cross join volumes on volumes.sequence = found.sequence`,
    where: sql`found.account = ${account} and found.region = ${region} and found.key = ${key} ${isValue}`,
    order: sql`found.sequence`,
  };
}

function numbered(row: Selectable<VolumeRow>): Row<Volume> {
  return { sequence: row.sequence, record: volumeOf(row) };
}

function volumeOf(row: Selectable<VolumeRow>): Volume {
  return {
    id: row.id as VolumeId,
    account: row.account as AccountId,
    region: row.region as RegionName,
    face: row.face as Face,
    draft: row.draft === 1,
    name: row.name,
    zone: row.zone,
    sizeGib: row.size_gib,
    type: row.type as VolumeType,
    iops: row.iops,
    throughputMibps: row.throughput_mibps,
    multiAttach: row.multi_attach === 1,
    state: row.state as VolumeState,
    createdAtMs: row.created_at_ms,
    origin: row.origin as SnapshotId | null,
    generation: row.generation,
    lineage: row.lineage as Lineage,
    tags: JSON.parse(row.tags) as Tags,
    ...detailsOf(NO_VOLUME_DETAILS, row.details),
  };
}

function rowOf(volume: Volume): Insertable<VolumeRow> {
  return {
    id: volume.id,
    account: volume.account,
    region: volume.region,
    face: volume.face,
    draft: Number(volume.draft),
    name: volume.name,
    zone: volume.zone,
    size_gib: volume.sizeGib,
    type: volume.type,
    iops: volume.iops,
    throughput_mibps: volume.throughputMibps,
    multi_attach: Number(volume.multiAttach),
    state: volume.state,
    created_at_ms: volume.createdAtMs,
    origin: volume.origin,
    generation: volume.generation,
    lineage: volume.lineage,
    tags: JSON.stringify(volume.tags),
    details: detailsText(NO_VOLUME_DETAILS, volume),
  };
}
