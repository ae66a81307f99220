import { assert } from '#base/assert.ts';
import { Turns } from '#base/turns.ts';
import { refuse } from '#domain/errors.ts';
import { type InstanceId, parseInstanceId, type ResourceId, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { TAG_RULES, type Tag, type TagRemoval, tagsOf, withoutTags, withTags } from '#domain/tags.ts';
import type { Face, Scope, Tags, Volume } from '#domain/volume.ts';
import type { ListFilter, Page, ReadTx, Row, Sequence, Tx } from '#meta/meta-store.ts';
import { eachOnce, isSnapshotId, isVolumeId, snapshotIn, snapshotSeen, volumeIn, volumeSeen } from './lookup.ts';
import { type OperationDraft, recordDone } from './operations.ts';
import { KEY_PAIRS } from './machines/key-pairs.ts';
import { INSTANCE_SNAPSHOTS, instanceSnapshotOf, isInstanceSnapshotId } from './machines/instance-snapshot-records.ts';
import { INSTANCES, instanceIn } from './machines/records.ts';
import { makePageToken, readPageToken } from './page-token.ts';
import { slicePage } from './pages.ts';
import type { ControlPorts } from './ports.ts';

/** What EC2 lists by tags. */
export type TaggedId = VolumeId | SnapshotId;

interface ChangeTags {
  readonly resources: readonly ResourceId[];
  /** Lightsail's operation type to record (`TagResource`) for each resource; null: none. */
  readonly operation: string | null;
}

export interface SetTags extends ChangeTags {
  readonly face: Face;
  readonly tags: readonly Tag[];
}

export interface RemoveTags extends ChangeTags {
  /** Null: all. */
  readonly removals: readonly TagRemoval[] | null;
}

/** Tags change at once, so the operations have Succeeded when they are recorded. */
export interface TagsChanged {
  readonly operations: readonly Operation[];
}

/**
 * Sets tags on all resources or, when one refuses, on none; the rules are the face's. Refuses: not-found, invalid-value,
 * tag-key-reserved, limit.
 */
export async function setTags(ports: ControlPorts, scope: Scope, request: SetTags): Promise<TagsChanged> {
  const { tagCountMax } = ports.limitsOf(scope.account);
  const set = tagsOf(TAG_RULES[request.face], request.tags, tagCountMax);
  return await changeTags(ports, scope, request, (tags) => withTags(tags, set, tagCountMax));
}

/** A tag that is not there is no error. Refuses: not-found. */
export async function removeTags(ports: ControlPorts, scope: Scope, request: RemoveTags): Promise<TagsChanged> {
  const { removals } = request;
  return await changeTags(ports, scope, request, (tags) => (removals === null ? {} : withoutTags(tags, removals)));
}

async function changeTags(
  ports: ControlPorts,
  scope: Scope,
  { resources, operation }: ChangeTags,
  change: (tags: Tags) => Tags,
): Promise<TagsChanged> {
  return await ports.meta.transact(async (tx) => {
    const operations = await eachOnce(resources, async (id) => {
      const draft = await changeOne(tx, scope, id, change);
      return operation === null ? [] : await recordDone(ports, tx, scope, id, { ...draft, type: operation });
    });
    return { operations: operations.flat() };
  });
}

async function changeOne(
  tx: Tx,
  scope: Scope,
  id: ResourceId,
  change: (tags: Tags) => Tags,
): Promise<Omit<OperationDraft, 'type'>> {
  if (isVolumeId(id)) return await changeVolume(tx, scope, id, change);
  if (isSnapshotId(id)) return await changeSnapshot(tx, scope, id, change);
  const instance = parseInstanceId(id);
  if (instance !== null) return await changeInstance(tx, scope, instance, change);
  if (isInstanceSnapshotId(id)) {
    const whole = await instanceSnapshotOf(tx, scope, id);
    await tx.documents.update(INSTANCE_SNAPSHOTS, scope, { ...whole, tags: change(whole.tags) });
    return { resourceName: whole.name, resourceType: 'InstanceSnapshot', zone: 'all', details: null };
  }
  const keyPair = await tx.documents.find(KEY_PAIRS, scope, id);
  if (keyPair === null) refuse({ kind: 'not-found', resource: 'key-pair', id });
  await tx.documents.update(KEY_PAIRS, scope, { ...keyPair, tags: change(keyPair.tags) });
  return { resourceName: keyPair.name, resourceType: 'KeyPair', zone: 'all', details: null };
}

async function changeInstance(
  tx: Tx,
  scope: Scope,
  id: InstanceId,
  change: (tags: Tags) => Tags,
): Promise<Omit<OperationDraft, 'type'>> {
  const instance = await instanceIn(tx, scope, id);
  await tx.documents.update(INSTANCES, scope, { ...instance, tags: change(instance.tags) });
  return { resourceName: instance.name ?? id, resourceType: 'Instance', zone: instance.zone, details: null };
}

async function changeVolume(
  tx: Tx,
  scope: Scope,
  id: VolumeId,
  change: (tags: Tags) => Tags,
): Promise<Omit<OperationDraft, 'type'>> {
  const volume = await volumeIn(tx, scope, id);
  await tx.volumes.update({ ...volume, tags: change(volume.tags) });
  return { resourceName: volume.name ?? id, resourceType: 'Disk', zone: volume.zone, details: null };
}

async function changeSnapshot(
  tx: Tx,
  scope: Scope,
  id: SnapshotId,
  change: (tags: Tags) => Tags,
): Promise<Omit<OperationDraft, 'type'>> {
  const snapshot = await snapshotIn(tx, scope, id);
  await tx.snapshots.update({ ...snapshot, tags: change(snapshot.tags) });
  return { resourceName: snapshot.name ?? id, resourceType: 'DiskSnapshot', zone: 'all', details: null };
}

export interface TagItem {
  readonly resource: TaggedId;
  readonly kind: 'volume' | 'snapshot';
  readonly key: string;
  readonly value: string;
}

export interface ListTags {
  /** Tags of these, of whichever face; one that is not there has none. Null: of all that the face lists. */
  readonly ids: readonly TaggedId[] | null;
  /** Without ids: of this face only; null: of both. */
  readonly face: Face | null;
  readonly after: string | null;
  readonly countMax: number;
  readonly match?: (tag: TagItem) => boolean;
}

const BATCH_ROWS = 500;

/** Where a list goes on: at tag `index` of the row. One number in a page token: kind, then sequence, then index. */
interface TagPosition {
  readonly kind: TagItem['kind'];
  readonly sequence: Sequence;
  readonly index: number;
}

/** More than any resource has. */
const INDEX_SPAN = 1024;
const KIND_SPAN = 2 ** 52;

/** Every tag of every resource, volumes first, or of those that are asked for, in their order. Refuses: page-token-invalid. */
export async function listTags(
  ports: ControlPorts,
  scope: Scope,
  request: ListTags,
): Promise<{ readonly tags: readonly TagItem[]; readonly next: string | null }> {
  const { ids, face } = request;
  if (ids !== null) {
    const items = await ports.meta.read((tx) => eachOnce(ids, (id) => tagsById(tx, scope, id)));
    const page = await slicePage(ports, scope, 'tags by id', request, items.flat());
    return { tags: page.records, next: page.next };
  }
  const list = `tags ${face}`;
  const start = positionOf(readPageToken(ports, scope, list, request.after));
  const tags: TagItem[] = [];
  const turns = new Turns(ports.clock);
  for await (const { item, position } of tagsFrom(ports, scope, face, start)) {
    if (turns.isOver) await turns.give();
    if (!(request.match?.(item) ?? true)) continue;
    if (tags.length === request.countMax) {
      return { tags, next: makePageToken(ports, scope, list, numberOf(position)) };
    }
    tags.push(item);
  }
  return { tags, next: null };
}

/** None when a client does not see the resource. */
async function tagsById(tx: ReadTx, scope: Scope, id: TaggedId): Promise<readonly TagItem[]> {
  const resource = isVolumeId(id) ? await volumeSeen(tx, scope, id) : await snapshotSeen(tx, scope, id);
  return resource === null ? [] : itemsOf(resource);
}

function itemsOf({ id, tags }: Volume | Snapshot): readonly TagItem[] {
  const kind = isVolumeId(id) ? 'volume' : 'snapshot';
  return Object.entries(tags).map(([key, value]) => ({ resource: id, kind, key, value }));
}

async function* tagsFrom(
  ports: ControlPorts,
  scope: Scope,
  face: Face | null,
  start: TagPosition,
): AsyncGenerator<{ readonly item: TagItem; readonly position: TagPosition }> {
  const kinds: readonly TagItem['kind'][] = start.kind === 'volume' ? ['volume', 'snapshot'] : ['snapshot'];
  for (const kind of kinds) {
    const isFirst = kind === start.kind;
    let after = isFirst ? Math.max(0, start.sequence - 1) : 0;
    for (;;) {
      const rows = await taggedRows(ports, { scope, face, tagged: true }, kind, { after, countMax: BATCH_ROWS });
      for (const { sequence, record } of rows) {
        after = sequence;
        for (const [index, item] of itemsOf(record).entries()) {
          if (isFirst && sequence === start.sequence && index < start.index) continue;
          yield { item, position: { kind, sequence, index } };
        }
      }
      if (rows.length < BATCH_ROWS) break;
    }
  }
}

function numberOf(position: TagPosition): number {
  const number = (position.kind === 'snapshot' ? KIND_SPAN : 0) + position.sequence * INDEX_SPAN + position.index;
  assert(Number.isSafeInteger(number), 'a position in the list of tags is a safe integer');
  return number;
}

function positionOf(number: number): TagPosition {
  const rest = number % KIND_SPAN;
  return {
    kind: number >= KIND_SPAN ? 'snapshot' : 'volume',
    sequence: Math.floor(rest / INDEX_SPAN),
    index: rest % INDEX_SPAN,
  };
}

function taggedRows(
  ports: ControlPorts,
  filter: ListFilter,
  kind: TagItem['kind'],
  page: Page,
): Promise<readonly Row<Volume | Snapshot>[]> {
  return ports.meta.read((tx): Promise<readonly Row<Volume | Snapshot>[]> =>
    kind === 'volume' ? tx.volumes.list(filter, page) : tx.snapshots.list(filter, page),
  );
}
