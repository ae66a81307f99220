import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';

import { GRANTS_PER_EXPORT_MAX, GrantRefusedError, NbdGrants } from './nbd-grants.ts';

const VOLUME = 'vol-00000000000000001' as VolumeId;
const SNAPSHOT = 'snap-00000000000000001' as SnapshotId;
const HOUR_MS = 3_600_000;

async function opened() {
  const path = join(scratchDirectory('nbd-grants'), 'nbd-grants.json');
  const clock = new VirtualClock();
  const options = { path, masterKey: Buffer.alloc(32, 1), clock, random: new SeededRandom(1) };
  return { path, clock, options, grants: await NbdGrants.open(options) };
}

test('a grant has a key of its own, that is known after a start and written nowhere', async () => {
  const { path, options, grants } = await opened();
  const first = await grants.issue(VOLUME, null);
  const second = await grants.issue(VOLUME, null);
  assert.equal(first.key.length, 32);
  assert.ok(!first.key.equals(second.key));
  const again = await NbdGrants.open(options);
  assert.deepEqual(again.list(VOLUME), [first.grant, second.grant]);
  assert.ok(again.keyOf(first.grant.id)?.equals(first.key));
  const text = await readFile(path, 'utf8');
  assert.ok(!text.includes(first.key.toString('hex')) && !text.includes(first.key.toString('base64')));
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const foreign = await NbdGrants.open({ ...options, masterKey: Buffer.alloc(32, 2) });
  assert.ok(foreign.keyOf(first.grant.id)?.equals(first.key) === false, 'another master key gives other keys');
});

test('what is not granted, is over, or was revoked has no key, also after a start', async () => {
  const { clock, options, grants } = await opened();
  const kept = await grants.issue(SNAPSHOT, null);
  const short = await grants.issue(VOLUME, HOUR_MS);
  const revoked = await grants.issue(VOLUME, null);
  assert.equal(grants.keyOf(`${VOLUME}.0000000000000000`), null);
  assert.equal(grants.keyOf('__proto__'), null);
  assert.equal(await grants.revoke(revoked.grant.id), true);
  assert.equal(await grants.revoke(revoked.grant.id), false);
  await clock.advance(HOUR_MS - 1);
  assert.notEqual(grants.keyOf(short.grant.id), null);
  await clock.advance(1);
  for (const one of [grants, await NbdGrants.open(options)]) {
    assert.equal(one.keyOf(short.grant.id), null);
    assert.equal(one.keyOf(revoked.grant.id), null);
    assert.ok(one.keyOf(kept.grant.id)?.equals(kept.key));
    assert.deepEqual(one.list(null), [kept.grant]);
    assert.deepEqual(one.list(VOLUME), []);
  }
});

test('the grants of an export go with it, and there is an end to them', async () => {
  const { clock, grants } = await opened();
  for (let index = 0; index < GRANTS_PER_EXPORT_MAX; index += 1) await grants.issue(VOLUME, HOUR_MS);
  await assert.rejects(grants.issue(VOLUME, null), GrantRefusedError);
  await grants.issue(SNAPSHOT, null);
  await clock.advance(HOUR_MS);
  await grants.issue(VOLUME, null);
  await grants.forget(VOLUME);
  assert.deepEqual(
    grants.list(null).map(({ exportId }) => exportId),
    [SNAPSHOT],
  );
});

test('grants issued at once are all kept', async () => {
  const { options, grants } = await opened();
  const issued = await Promise.all(Array.from({ length: 20 }, () => grants.issue(VOLUME, null)));
  const again = await NbdGrants.open(options);
  for (const { grant, key } of issued) assert.ok(again.keyOf(grant.id)?.equals(key));
});

test('what is revoked or forgotten while another change is being written is gone at once, and stays so', async () => {
  const { options, grants } = await opened();
  const { grant } = await grants.issue(VOLUME, null);
  const issuing = grants.issue(SNAPSHOT, null);
  const revoking = grants.revoke(grant.id);
  assert.equal(grants.keyOf(grant.id), null);
  const { grant: late } = await issuing;
  assert.equal(grants.keyOf(grant.id), null);
  assert.equal(await revoking, true);
  assert.equal(grants.keyOf(grant.id), null);

  const again = grants.issue(VOLUME, null);
  await grants.forget(VOLUME);
  await again;
  for (const one of [grants, await NbdGrants.open(options)]) assert.deepEqual(one.list(null), [late]);
});

test('a damaged file is an error, not a file without grants', async () => {
  const { path, options, grants } = await opened();
  const { grant } = await grants.issue(VOLUME, null);
  const good = await readFile(path, 'utf8');
  const bad = [
    good.slice(0, -10),
    good.replace('"version": 1', '"version": 2'),
    good.replace(`"exportId": "${VOLUME}"`, `"exportId": "${SNAPSHOT}"`),
    good.replace(`"${grant.id}"`, '7'),
    '[]',
  ];
  for (const text of bad) {
    assert.notEqual(text, good);
    await writeFile(path, text);
    await assert.rejects(NbdGrants.open(options), /cannot be read/);
  }
});
