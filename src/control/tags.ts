import { assert } from '#base/assert.ts';
import { Turns } from '#base/turns.ts';
import { refuse } from '#domain/errors.ts';
import {
  type ImageId,
  type InstanceId,
  type KeyPairId,
  parseImageId,
  parseInstanceId,
  type ResourceId,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import type { Image } from '#domain/image.ts';
import type { Operation } from '#domain/operation.ts';
import { TAG_RULES, type Tag, type TagRemoval, tagsOf, withoutTags, withTags } from '#domain/tags.ts';
import type { Face, Scope, Tags } from '#domain/volume.ts';
import type { ListFilter, Page, ReadTx, Row, Sequence, Tx } from '#meta/meta-store.ts';
import { eachOnce, isSnapshotId, isVolumeId, snapshotIn, snapshotSeen, volumeIn, volumeSeen } from './lookup.ts';
import { type OperationDraft, recordDone } from './operations.ts';
import { ALARMS } from './machines/alarms.ts';
import { CONTACT_METHODS, type ContactMethod } from './machines/contact-methods.ts';
import { IMAGES } from './machines/image-records.ts';
import { KEY_PAIRS } from './machines/key-pairs.ts';
import { INSTANCE_SNAPSHOTS, instanceSnapshotOf, isInstanceSnapshotId } from './machines/instance-snapshot-records.ts';
import { INSTANCES, instanceIn, instanceSeen } from './machines/records.ts';
import { makePageToken, readPageToken } from './page-token.ts';
import { slicePage } from './pages.ts';
import type { ControlPorts } from './ports.ts';

/** What EC2 lists by tags. */
export type TaggedId = VolumeId | SnapshotId | InstanceId | ImageId | KeyPairId;

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
  const imageId = parseImageId(id);
  if (imageId !== null) return await changeImage(tx, scope, imageId, change);
  const alarm = await tx.documents.find(ALARMS, scope, id);
  if (alarm !== null) {
    await tx.documents.update(ALARMS, scope, { ...alarm, tags: change(alarm.tags) });
    return { resourceName: alarm.name, resourceType: 'Alarm', zone: 'all', details: null };
  }
  const contact = await contactMethodOf(tx, scope, id);
  if (contact !== null) {
    await tx.documents.update(CONTACT_METHODS, scope, { ...contact, tags: change(contact.tags) });
    return { resourceName: contact.protocol, resourceType: 'ContactMethod', zone: 'all', details: null };
  }
  const keyPair = await tx.documents.find(KEY_PAIRS, scope, id);
  if (keyPair === null) refuse({ kind: 'not-found', resource: 'key-pair', id });
  await tx.documents.update(KEY_PAIRS, scope, { ...keyPair, tags: change(keyPair.tags) });
  return { resourceName: keyPair.name, resourceType: 'KeyPair', zone: 'all', details: null };
}

/** They are found by their protocols, of which there are two. */
async function contactMethodOf(tx: Tx, scope: Scope, id: ResourceId): Promise<ContactMethod | null> {
  const rows = await tx.documents.list(CONTACT_METHODS, scope, null, { after: 0, countMax: 2 });
  return rows.find(({ record }) => record.id === id)?.record ?? null;
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

/** The account's own: a blueprint has no tags. */
async function changeImage(
  tx: Tx,
  scope: Scope,
  id: ImageId,
  change: (tags: Tags) => Tags,
): Promise<Omit<OperationDraft, 'type'>> {
  const image = await tx.documents.find(IMAGES, scope, id);
  if (image === null) refuse({ kind: 'not-found', resource: 'blueprint', id });
  await tx.documents.update(IMAGES, scope, { ...image, tags: change(image.tags) });
  return { resourceName: image.name, resourceType: 'Instance', zone: 'all', details: null };
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

/** In the order in which lists have them. */
const TAGGED_KINDS = ['volume', 'snapshot', 'instance', 'image', 'key-pair'] as const;
export type TaggedKind = (typeof TAGGED_KINDS)[number];

export interface TagItem {
  readonly resource: TaggedId;
  readonly kind: TaggedKind;
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
const KIND_SPAN = 2 ** 50;

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

/** What has tags, of whichever kind. */
interface Tagged {
  readonly id: TaggedId;
  readonly kind: TaggedKind;
  readonly face: Face;
  readonly tags: Tags;
}

/** None when a client does not see the resource. */
async function tagsById(tx: ReadTx, scope: Scope, id: TaggedId): Promise<readonly TagItem[]> {
  const tagged = await taggedById(tx, scope, id);
  return tagged === null ? [] : itemsOf(tagged);
}

async function taggedById(tx: ReadTx, scope: Scope, id: TaggedId): Promise<Tagged | null> {
  if (isVolumeId(id)) return asTagged('volume', await volumeSeen(tx, scope, id));
  if (isSnapshotId(id)) return asTagged('snapshot', await snapshotSeen(tx, scope, id));
  const instance = parseInstanceId(id);
  if (instance !== null) return asTagged('instance', await instanceSeen(tx, scope, instance));
  const image = parseImageId(id);
  if (image !== null) return ofImage(await tx.documents.find(IMAGES, scope, image));
  return asTagged('key-pair', await tx.documents.find(KEY_PAIRS, scope, id));
}

function asTagged(kind: TaggedKind, record: Omit<Tagged, 'kind'> | null): Tagged | null {
  return record && { id: record.id, kind, face: record.face, tags: record.tags };
}

function ofImage(image: Image | null): Tagged | null {
  return image && { id: image.id, kind: 'image', face: 'ec2', tags: image.tags };
}

function itemsOf({ id, kind, tags }: Tagged): readonly TagItem[] {
  return Object.entries(tags).map(([key, value]) => ({ resource: id, kind, key, value }));
}

async function* tagsFrom(
  ports: ControlPorts,
  scope: Scope,
  face: Face | null,
  start: TagPosition,
): AsyncGenerator<{ readonly item: TagItem; readonly position: TagPosition }> {
  for (const kind of TAGGED_KINDS.slice(TAGGED_KINDS.indexOf(start.kind))) {
    const isFirst = kind === start.kind;
    let after = isFirst ? Math.max(0, start.sequence - 1) : 0;
    for (;;) {
      const rows = await taggedRows(ports, { scope, face, tagged: true }, kind, { after, countMax: BATCH_ROWS });
      for (const { sequence, record } of rows) {
        after = sequence;
        if (record === null || (face !== null && record.face !== face)) continue;
        for (const [index, item] of itemsOf(record).entries()) {
          if (isFirst && sequence === start.sequence && index < start.index) continue;
          yield { item, position: { kind, sequence, index } };
        }
      }
      if (rows.length < BATCH_ROWS) break;
    }
  }
}

function numberOf({ kind, sequence, index }: TagPosition): number {
  const number = TAGGED_KINDS.indexOf(kind) * KIND_SPAN + sequence * INDEX_SPAN + index;
  assert(Number.isSafeInteger(number), 'a position in the list of tags is a safe integer');
  return number;
}

function positionOf(number: number): TagPosition {
  const rest = number % KIND_SPAN;
  return {
    kind: TAGGED_KINDS[Math.floor(number / KIND_SPAN)] ?? 'volume',
    sequence: Math.floor(rest / INDEX_SPAN),
    index: rest % INDEX_SPAN,
  };
}

/** Null: of a row that a client does not see. */
function taggedRows(
  ports: ControlPorts,
  filter: ListFilter & { readonly scope: Scope },
  kind: TaggedKind,
  page: Page,
): Promise<readonly Row<Tagged | null>[]> {
  const { scope } = filter;
  return ports.meta.read(async (tx) => {
    switch (kind) {
      case 'volume':
        return rowsOf(await tx.volumes.list(filter, page), (record) => asTagged(kind, record));
      case 'snapshot':
        return rowsOf(await tx.snapshots.list(filter, page), (record) => asTagged(kind, record));
      case 'instance':
        return rowsOf(await tx.documents.list(INSTANCES, scope, null, page), (record) => asTagged(kind, record));
      case 'image':
        return rowsOf(await tx.documents.list(IMAGES, scope, null, page), ofImage);
      case 'key-pair':
        return rowsOf(await tx.documents.list(KEY_PAIRS, scope, null, page), (record) => asTagged(kind, record));
    }
  });
}

function rowsOf<R>(rows: readonly Row<R>[], map: (record: R) => Tagged | null): readonly Row<Tagged | null>[] {
  return rows.map(({ sequence, record }) => ({ sequence, record: map(record) }));
}
