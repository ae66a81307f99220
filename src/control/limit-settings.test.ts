import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountId } from '#domain/ids.ts';
import { parseLimitSettings } from './limit-settings.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot } from './snapshots.ts';
import { modifyVolume } from './volume-modifications.ts';
import { createVolume } from './volumes.ts';
import { World } from './world.fake.ts';

test('limits of all accounts, and of one', () => {
  const { general, accounts } = parseLimitSettings(
    '{"volumeCountMax": 10, "accounts": {"123456789012": {"volumeCountMax": 500, "snapshotIntervalMsMin": 15000}}}',
  );
  assert.deepEqual(general, { volumeCountMax: 10 });
  assert.deepEqual([...accounts], [['123456789012', { volumeCountMax: 500, snapshotIntervalMsMin: 15_000 }]]);
  assert.deepEqual(parseLimitSettings('{}'), { general: {}, accounts: new Map() });
});

test('what is wrong is said in a sentence', () => {
  for (const [text, message] of [
    ['{', /not JSON/],
    ['[]', /it is not an object/],
    ['{"volumeCount": 1}', /no limit "volumeCount"; there are volumeCountMax, /],
    ['{"__proto__x": 1}', /no limit/],
    ['{"volumeCountMax": "1"}', /volumeCountMax is a whole number/],
    ['{"volumeCountMax": 1.5}', /whole number/],
    ['{"volumeCountMax": -1}', /whole number/],
    ['{"tagCountMax": 5000}', /1000 at most/],
    ['{"blockTokenMs": 1}', /no limit/],
    ['{"accounts": {"12": {}}}', /"12" is not an account/],
    ['{"accounts": {"123456789012": 5}}', /123456789012 is not an object/],
  ] as const) {
    assert.throws(() => parseLimitSettings(text), message, text);
  }
});

test('a resource has as many tags as its account may have', async () => {
  await using world = await World.make({ tagCountMax: 60 });
  const scope = await world.account();
  const tags = Array.from({ length: 61 }, (_, at) => ({ key: `k${at}`, value: '' }));
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ tags: tags.slice(0, 60) }));
  assert.equal(Object.keys(volume.tags).length, 60);
  await assert.rejects(
    createVolume(world.ports, scope, volumeRequest({ tags })),
    refusal({ kind: 'limit', limit: 'tags', max: 60 }),
  );
});

test('provisioned IOPS of an account are limited, of new volumes and of modified ones', async () => {
  await using world = await World.make({ provisionedIopsTotalMax: 1000 });
  const scope = await world.account();
  const made = (iops: number) => createVolume(world.ports, scope, volumeRequest({ type: 'io2', sizeGib: 4, iops }));
  const { volume } = await made(600);
  await made(300);
  const tooMany = refusal({ kind: 'limit', limit: 'provisioned-iops', max: 1000 });
  await assert.rejects(made(101), tooMany);
  await createVolume(world.ports, scope, volumeRequest({ type: 'gp3', iops: 3000 })); // Has them anyway.
  const wish = { type: null, sizeGib: null, throughputMibps: null, multiAttach: null };
  await assert.rejects(modifyVolume(world.ports, scope, volume.id, { ...wish, iops: 701 }), tooMany);
  await modifyVolume(world.ports, scope, volume.id, { ...wish, iops: 700 });
});

test('an account has its own limits, and the others those of all', async () => {
  await using world = await World.make({ volumeCountMax: 1, pendingSnapshotsPerVolumeMax: 2 });
  const [some, more] = [await world.account(), await world.account()];
  const own = { ...DEFAULT_LIMITS, volumeCountMax: 2, pendingSnapshotsPerVolumeMax: 3 };
  const ports = {
    ...world.ports,
    limitsOf: (account: AccountId) => (account === more.account ? own : world.ports.limitsOf(account)),
  };
  for (const [scope, max, pendingMax] of [
    [some, 1, 2],
    [more, 2, 3],
  ] as const) {
    let last = null;
    for (let count = 0; count < max; count += 1) {
      last = (await createVolume(ports, scope, volumeRequest({ sizeGib: 1 }))).volume.id;
    }
    const another = createVolume(ports, scope, volumeRequest({ sizeGib: 1 }));
    await assert.rejects(another, refusal({ kind: 'limit', limit: 'volumes', max }));
    assert.ok(last !== null);
    world.host.holdUploads();
    for (let count = 0; count < pendingMax; count += 1) await createSnapshot(ports, scope, snapshotRequest(last));
    await assert.rejects(
      createSnapshot(ports, scope, snapshotRequest(last)),
      refusal({ kind: 'limit', limit: 'pending-snapshots-per-volume', max: pendingMax }),
    );
  }
  world.host.releaseUploads();
});
