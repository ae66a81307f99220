import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newVolumeId } from '#domain/ids.ts';
import { tagValue } from '#domain/tags.ts';
import { diskRequest, refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, findSnapshot } from './snapshots.ts';
import { listTags, removeTags, setTags } from './tags.ts';
import { createVolume, findVolume } from './volumes.ts';
import { World } from './world.fake.ts';

const PLAIN = { face: 'ec2', operation: null } as const;
const ALL = { ids: null, face: null, after: null } as const;

test('tags are set on all resources or on none', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ tags: [{ key: 'a', value: '1' }] }));
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  const both = [volume.id, snapshot.id];
  await setTags(world.ports, scope, { ...PLAIN, resources: both, tags: [{ key: 'b', value: '2' }] });
  assert.deepEqual({ ...(await findVolume(world.ports, scope, volume.id)).tags }, { a: '1', b: '2' });
  assert.deepEqual({ ...(await findSnapshot(world.ports, scope, snapshot.id)).tags }, { b: '2' });
  const stranger = await world.account();
  const { volume: foreign } = await createVolume(world.ports, stranger, volumeRequest());
  const request = { ...PLAIN, resources: [volume.id, foreign.id], tags: [{ key: 'c', value: '3' }] } as const;
  await assert.rejects(setTags(world.ports, scope, request), refusal({ kind: 'not-found', id: foreign.id }));
  assert.equal(tagValue((await findVolume(world.ports, scope, volume.id)).tags, 'c'), null);
});

test('tags are removed by key, by key and value, or all', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const tags = ['a', 'b', 'c'].map((key) => ({ key, value: '1' }));
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ tags }));
  const resources = [volume.id];
  const left = async (): Promise<readonly string[]> =>
    Object.keys((await findVolume(world.ports, scope, volume.id)).tags);
  const removals = [
    { key: 'a', value: null },
    { key: 'b', value: '2' },
    { key: 'none', value: null },
  ];
  await removeTags(world.ports, scope, { ...PLAIN, resources, removals });
  assert.deepEqual(await left(), ['b', 'c']);
  await removeTags(world.ports, scope, { ...PLAIN, resources, removals: [{ key: 'b', value: '1' }] });
  assert.deepEqual(await left(), ['c']);
  await removeTags(world.ports, scope, { ...PLAIN, resources, removals: null });
  assert.deepEqual(await left(), []);
});

test('a resource has at most fifty tags, counted after the change', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const tags = Array.from({ length: 50 }, (_, index) => ({ key: `k${index}`, value: '' }));
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ tags }));
  const set = (key: string) =>
    setTags(world.ports, scope, { ...PLAIN, resources: [volume.id], tags: [{ key, value: 'x' }] });
  await set('k0');
  await assert.rejects(set('k50'), refusal({ kind: 'limit', limit: 'tags', max: 50 }));
  const more = volumeRequest({ tags: [...tags, { key: 'k50', value: '' }] });
  await assert.rejects(createVolume(world.ports, scope, more), refusal({ kind: 'limit', limit: 'tags' }));
});

test('names of Object.prototype are tags like others', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const tags = ['__proto__', 'constructor', 'toString'].map((key) => ({ key, value: `of ${key}` }));
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ tags: tags.slice(1) }));
  assert.equal(tagValue(volume.tags, '__proto__'), null);
  await setTags(world.ports, scope, { ...PLAIN, resources: [volume.id], tags: tags.slice(0, 1) });
  const stored = (await findVolume(world.ports, scope, volume.id)).tags;
  for (const { key, value } of tags) assert.equal(tagValue(stored, key), value);
  assert.equal(Object.keys(stored).length, 3);
  const listed = await listTags(world.ports, scope, { ...ALL, countMax: 9 });
  assert.deepEqual(listed.tags.map(({ key }) => key).toSorted(), tags.map(({ key }) => key).toSorted());
});

test('every tag is listed once over pages that end anywhere', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const expected: string[] = [];
  const tagsOf = (count: number) => Array.from({ length: count }, (_, index) => ({ key: `k${index}`, value: 'v' }));
  for (const [index, count] of [3, 0, 1].entries()) {
    const request =
      index === 1 ? volumeRequest({ tags: tagsOf(count) }) : diskRequest(`d${index}`, { tags: tagsOf(count) });
    const { volume } = await createVolume(world.ports, scope, request);
    expected.push(...tagsOf(count).map(({ key }) => `volume ${volume.id} ${key}`));
    if (index !== 2) continue;
    const tagged = snapshotRequest(volume.id, { tags: tagsOf(2) });
    const { snapshot } = await createSnapshot(world.ports, scope, tagged);
    expected.push(...tagsOf(2).map(({ key }) => `snapshot ${snapshot.id} ${key}`));
  }
  for (let countMax = 1; countMax <= 7; countMax += 1) {
    const listed: string[] = [];
    let after: string | null = null;
    do {
      const page = await listTags(world.ports, scope, { ...ALL, after, countMax });
      assert.ok(page.tags.length <= countMax);
      listed.push(...page.tags.map(({ kind, resource, key }) => `${kind} ${resource} ${key}`));
      after = page.next;
    } while (after !== null);
    assert.deepEqual(listed, expected, `pages of ${countMax}`);
  }
  const match = { ...ALL, countMax: 9, match: ({ kind }: { readonly kind: string }) => kind === 'snapshot' };
  assert.equal((await listTags(world.ports, scope, match)).tags.length, 2);
});

test('a face lists the tags of its own resources, and of whichever is named by its id', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const stranger = await world.account();
  const tags = ['a', 'b'].map((key) => ({ key, value: 'v' }));
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ tags }));
  const { volume: disk } = await createVolume(world.ports, scope, diskRequest('disk', { tags }));
  const { volume: foreign } = await createVolume(world.ports, stranger, volumeRequest({ tags }));
  const wish = { face: 'lightsail', name: 'snap', tags } as const;
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(disk.id, wish));
  const list = async (some: Partial<Parameters<typeof listTags>[2]>): Promise<readonly string[]> => {
    const listed = await listTags(world.ports, scope, { ...ALL, countMax: 9, ...some });
    return listed.tags.map(({ kind, resource, key }) => `${kind} ${resource} ${key}`);
  };
  const both = (kind: string, id: string): readonly string[] => tags.map(({ key }) => `${kind} ${id} ${key}`);
  assert.deepEqual(await list({ face: 'ec2' }), both('volume', volume.id));
  assert.deepEqual(await list({ face: 'lightsail' }), [...both('volume', disk.id), ...both('snapshot', snapshot.id)]);
  const ids = [snapshot.id, foreign.id, newVolumeId(world.random), disk.id, snapshot.id];
  const named = [...both('snapshot', snapshot.id), ...both('volume', disk.id)];
  assert.deepEqual(await list({ face: 'ec2', ids }), named);
  assert.deepEqual(await list({ face: 'ec2', ids: [] }), []);
  const first = await listTags(world.ports, scope, { ...ALL, ids, countMax: 3 });
  assert.deepEqual(await list({ ids, after: first.next, countMax: 3 }), named.slice(3));
});
