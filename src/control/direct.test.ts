import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { completeSnapshot, putBlock, startSnapshot, type StartSnapshot } from './direct-write.ts';
import { changedBlocks, getBlock, listBlocks } from './direct.ts';
import { refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, deleteSnapshot, findSnapshot, listSnapshots } from './snapshots.ts';
import { failSnapshot } from './upload.ts';
import { createVolume, deleteVolume, listVolumes } from './volumes.ts';
import { World } from './world.fake.ts';

const FIRST_PAGE = { start: null, after: null, countMax: 100 } as const;

function request(some: Partial<StartSnapshot> = {}): StartSnapshot {
  return { sizeGib: 1, parent: null, description: '', tags: [], token: null, timeoutMinutes: null, ...some };
}

function filled(fill: number): { readonly bytes: Uint8Array; readonly digest: Buffer; readonly sha256: string } {
  const bytes = new Uint8Array(CHUNK_BYTES).fill(fill);
  const digest = createHash('sha256').update(bytes).digest();
  return { bytes, digest, sha256: digest.toString('base64') };
}

async function put(world: World, scope: Scope, id: SnapshotId, index: number, fill: number): Promise<void> {
  const { bytes, sha256 } = filled(fill);
  await putBlock(world.ports, scope, id, index, bytes, sha256);
}

async function complete(world: World, scope: Scope, id: SnapshotId, changedBlocksCount: number): Promise<void> {
  await completeSnapshot(world.ports, scope, id, { changedBlocksCount, checksum: null });
  await world.settle();
}

test('a snapshot made block by block is a snapshot like any other, and its draft is not to be seen', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const started = await startSnapshot(world.ports, scope, request({ description: 'made' }));
  assert.equal(started.state, 'pending');
  assert.equal(started.sealed, false);
  await put(world, scope, started.id, 5, 1);
  await put(world, scope, started.id, 5, 2);
  await put(world, scope, started.id, 0, 0);
  assert.deepEqual(
    (await listVolumes(world.ports, scope, { ids: null, face: null, after: null, countMax: 9 })).volumes,
    [],
  );
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, started.id)).state, 'pending', 'it waits for its client');
  await complete(world, scope, started.id, 2);
  const done = await findSnapshot(world.ports, scope, started.id);
  assert.equal(done.state, 'completed');
  assert.equal(world.host.volumes.size, 0, 'the draft is gone');
  const list = await listBlocks(world.ports, scope, started.id, FIRST_PAGE);
  assert.deepEqual(
    list.blocks.map(({ index }) => index),
    [0, 5],
    'a block of zeros that was put is there',
  );
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ origin: started.id }));
  assert.equal(world.host.read(volume.id, 5)[0], 2);
  const { snapshots } = await listSnapshots(world.ports, scope, { ids: null, face: 'ec2', after: null, countMax: 9 });
  assert.deepEqual(snapshots, [done]);
});

test('completing checks the count of different blocks and the checksum over theirs', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  for (const index of [9, 2, 9]) await put(world, scope, id, index, index);
  const wrong = { kind: 'block-count-mismatch', expected: 2, given: 3 } as const;
  await assert.rejects(
    completeSnapshot(world.ports, scope, id, { changedBlocksCount: 3, checksum: null }),
    refusal(wrong),
  );
  const checksum = createHash('sha256').update(filled(2).digest).update(filled(9).digest).digest('base64');
  await assert.rejects(
    completeSnapshot(world.ports, scope, id, { changedBlocksCount: 2, checksum: filled(1).sha256 }),
    refusal({ kind: 'checksum-mismatch' }),
  );
  assert.equal((await findSnapshot(world.ports, scope, id)).sealed, false);
  const sealed = await completeSnapshot(world.ports, scope, id, { changedBlocksCount: 2, checksum });
  assert.equal(sealed.sealed, true);
  await assert.rejects(put(world, scope, id, 3, 3), refusal({ kind: 'wrong-state' }));
  await world.settle();
  const again = await completeSnapshot(world.ports, scope, id, { changedBlocksCount: 2, checksum });
  assert.equal(again.state, 'completed');
});

test('a sealed snapshot completes by itself after a crash of both processes', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  await put(world, scope, id, 1, 1);
  world.host.restart();
  await world.restartControl();
  await put(world, scope, id, 2, 2);
  await completeSnapshot(world.ports, scope, id, { changedBlocksCount: 2, checksum: null });
  world.host.restart();
  await world.restartControl();
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, id)).state, 'completed');
  assert.deepEqual([...(world.host.snapshots.get(id)?.content.keys() ?? [])], [1, 2]);
});

test('a block is checked before it is written', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  const { bytes, sha256 } = filled(1);
  const attempt = (index: number, block: Uint8Array, checksum: string) =>
    putBlock(world.ports, scope, id, index, block, checksum);
  for (const index of [-1, 2048, 0.5]) {
    await assert.rejects(attempt(index, bytes, sha256), refusal({ kind: 'invalid-value', field: 'block-index' }));
  }
  const short = bytes.subarray(1);
  const shortDigest = createHash('sha256').update(short).digest('base64');
  await assert.rejects(attempt(0, short, shortDigest), refusal({ kind: 'invalid-value', field: 'data-length' }));
  for (const wrong of [filled(2).sha256, '', sha256.slice(4)]) {
    await assert.rejects(attempt(0, bytes, wrong), refusal({ kind: 'checksum-mismatch' }));
  }
  await attempt(2047, bytes, sha256);
  await complete(world, scope, id, 1);
});

test('two requests that write one block at once conflict; one after the other do not', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  const outcomes = await Promise.allSettled([
    put(world, scope, id, 1, 1),
    put(world, scope, id, 1, 2),
    put(world, scope, id, 2, 1),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  const [, second] = outcomes;
  assert.ok(second?.status === 'rejected' && refusal({ kind: 'block-conflict', index: 1 })(second.reason));
  await put(world, scope, id, 1, 3);
  await complete(world, scope, id, 2);
  assert.equal(world.host.snapshots.get(id)?.content.get(1)?.[0], 3);
});

/** The host's writes of one block wait until they are let go. */
function holdWrites(world: World, held: number): PromiseWithResolvers<void> & { readonly begun: Promise<void> } {
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const writeBlock = world.host.writeBlock.bind(world.host);
  world.host.writeBlock = async (volume, generation, index, bytes) => {
    if (index === held) {
      begun.resolve();
      await gate.promise;
    }
    await writeBlock(volume, generation, index, bytes);
  };
  return { ...gate, begun: begun.promise };
}

/** Until no put is let in any more; before that, one of the block that is being written conflicts. */
async function untilRefused(world: World, scope: Scope, id: SnapshotId, held: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const [outcome] = await Promise.allSettled([put(world, scope, id, held, 9)]);
    assert.ok(outcome.status === 'rejected');
    if (refusal({ kind: 'wrong-state' })(outcome.reason)) return;
    assert.ok(refusal({ kind: 'block-conflict' })(outcome.reason));
  }
  assert.fail('puts are still let in');
}

test('completing waits for the blocks being written; what comes after is refused and not in the snapshot', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  const write = holdWrites(world, 1);
  const first = put(world, scope, id, 1, 1);
  await write.begun;
  const checksum = createHash('sha256').update(filled(1).digest).digest('base64');
  const completing = [1, 2].map(() => completeSnapshot(world.ports, scope, id, { changedBlocksCount: 1, checksum }));
  const completed = Promise.all(completing);
  await untilRefused(world, scope, id, 1);
  await assert.rejects(put(world, scope, id, 2, 2), refusal({ kind: 'wrong-state' }));
  const stranger = await world.account();
  await assert.rejects(put(world, stranger, id, 2, 2), refusal({ kind: 'not-found' }));
  assert.equal((await findSnapshot(world.ports, scope, id)).sealed, false);
  write.resolve();
  await first;
  assert.deepEqual(
    (await completed).map(({ sealed }) => sealed),
    [true, true],
  );
  await world.settle();
  const content = world.host.snapshots.get(id)?.content;
  assert.deepEqual(
    [...(content ?? [])].map(([index, bytes]) => [index, bytes[0]]),
    [[1, 1]],
  );
});

test('completing that fails for a block that was being written leaves the snapshot open for more', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  const write = holdWrites(world, 1);
  const first = put(world, scope, id, 1, 1);
  await write.begun;
  const early = assert.rejects(
    completeSnapshot(world.ports, scope, id, { changedBlocksCount: 0, checksum: null }),
    refusal({ kind: 'block-count-mismatch', expected: 1, given: 0 }),
  );
  await untilRefused(world, scope, id, 1);
  write.resolve();
  await Promise.all([first, early]);
  await put(world, scope, id, 2, 2);
  await complete(world, scope, id, 2);
  assert.deepEqual([...(world.host.snapshots.get(id)?.content.keys() ?? [])], [1, 2]);
});

test('a block whose snapshot fails while it is written is refused, not acknowledged', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const snapshot = await startSnapshot(world.ports, scope, request());
  const writeBlock = world.host.writeBlock.bind(world.host);
  world.host.writeBlock = async (...all) => {
    await writeBlock(...all);
    await failSnapshot(world.ports, snapshot, 'expired');
  };
  await assert.rejects(put(world, scope, snapshot.id, 1, 1), refusal({ kind: 'wrong-state', state: 'error' }));
  assert.equal(await world.ports.meta.read((tx) => tx.blocks.count(snapshot.id)), 0);
});

test('a child has what its parent has, and lists what differs from it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const parent = await startSnapshot(world.ports, scope, request());
  for (const index of [0, 1, 2]) await put(world, scope, parent.id, index, 1);
  const early = request({ parent: parent.id });
  await assert.rejects(startSnapshot(world.ports, scope, early), refusal({ kind: 'wrong-state' }));
  await complete(world, scope, parent.id, 3);
  const child = await startSnapshot(world.ports, scope, request({ parent: parent.id, sizeGib: 2 }));
  await put(world, scope, child.id, 1, 9);
  await put(world, scope, child.id, 4000, 9);
  await complete(world, scope, child.id, 2);
  const changed = await changedBlocks(world.ports, scope, { ...FIRST_PAGE, first: parent.id, second: child.id });
  assert.deepEqual(
    changed.blocks.map(({ index, firstToken, secondToken }) => [index, firstToken !== null, secondToken !== null]),
    [
      [1, true, true],
      [4000, false, true],
    ],
  );
  const all = await changedBlocks(world.ports, scope, { ...FIRST_PAGE, first: null, second: child.id });
  assert.deepEqual(
    all.blocks.map(({ index }) => index),
    [0, 1, 2, 4000],
  );
  assert.equal((await findSnapshot(world.ports, scope, child.id)).parent, parent.id);
  await deleteSnapshot(world.ports, scope, parent.id, { token: null, operation: null });
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ origin: child.id, sizeGib: null }));
  assert.deepEqual([world.host.read(volume.id, 0)[0], world.host.read(volume.id, 1)[0]], [1, 9]);
});

test('changed blocks are listed within a lineage only, which restored volumes carry on', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const snap = async (volume: Parameters<typeof snapshotRequest>[0]): Promise<SnapshotId> => {
    const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume));
    await world.settle();
    return snapshot.id;
  };
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  world.host.write(volume.id, 0, 1);
  const first = await snap(volume.id);
  const { volume: restored } = await createVolume(world.ports, scope, volumeRequest({ origin: first }));
  world.host.write(restored.id, 1, 1);
  const second = await snap(restored.id);
  const { blocks } = await changedBlocks(world.ports, scope, { ...FIRST_PAGE, first, second });
  assert.deepEqual(
    blocks.map(({ index }) => index),
    [1],
  );
  const { volume: other } = await createVolume(world.ports, scope, volumeRequest());
  const foreign = await snap(other.id);
  const unrelated = refusal({ kind: 'unrelated-snapshots', first, second: foreign });
  await assert.rejects(changedBlocks(world.ports, scope, { ...FIRST_PAGE, first, second: foreign }), unrelated);
});

test('blocks are listed in pages, from an index on', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  for (const index of [1, 3, 5, 7]) await put(world, scope, id, index, index);
  await complete(world, scope, id, 4);
  const first = await listBlocks(world.ports, scope, id, { start: 2, after: null, countMax: 2 });
  const second = await listBlocks(world.ports, scope, id, { start: null, after: first.next, countMax: 2 });
  assert.deepEqual(
    [first, second].map(({ blocks }) => blocks.map(({ index }) => index)),
    [[3, 5], [7]],
  );
  assert.equal(second.next, null);
  const beyond = { start: 2048, after: null, countMax: 2 };
  await assert.rejects(listBlocks(world.ports, scope, id, beyond), refusal({ kind: 'invalid-value', field: 'start' }));
});

test('a block token reads its block, for its account, until it expires', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  await put(world, scope, id, 1, 8);
  await put(world, scope, id, 2, 8);
  await complete(world, scope, id, 2);
  const list = await listBlocks(world.ports, scope, id, FIRST_PAGE);
  assert.equal(list.expiresAtMs, world.clock.nowMs() + 585_000_000);
  const [one, two] = list.blocks.map(({ token }) => token);
  assert.ok(one !== undefined && two !== undefined);
  assert.match(one, /^[A-Za-z0-9+/=]{1,256}$/);
  const block = await getBlock(world.ports, scope, id, 1, one);
  assert.deepEqual([block.bytes[0], block.sha256Base64], [8, filled(8).sha256]);
  const invalid = refusal({ kind: 'block-token-invalid' });
  await assert.rejects(getBlock(world.ports, scope, id, 1, two), invalid, 'equal content, another index');
  for (const bad of ['', 'AAAA', `${one}=`, one.replace(/^../, 'AB'), one.slice(4)]) {
    await assert.rejects(getBlock(world.ports, scope, id, 1, bad), invalid);
  }
  const stranger = await world.account();
  await assert.rejects(getBlock(world.ports, stranger, id, 1, one), refusal({ kind: 'not-found' }));
  await world.clock.advance(585_000_001);
  await assert.rejects(getBlock(world.ports, scope, id, 1, one), invalid);
});

test('a token starts one snapshot, however often it is used', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const once = request({ token: 'once' });
  const made = await Promise.all([1, 2, 3].map(() => startSnapshot(world.ports, scope, once)));
  assert.equal(new Set(made.map(({ id }) => id)).size, 1);
  assert.equal(world.host.volumes.size, 1);
  const other = request({ token: 'once', description: 'else' });
  await assert.rejects(startSnapshot(world.ports, scope, other), refusal({ kind: 'token-mismatch' }));
});

test('a snapshot that gets no block for its timeout fails, by the monotonic clock', async () => {
  await using world = await World.make();
  const scope = await world.account();
  for (const timeoutMinutes of [9, 4321, 10.5]) {
    const bad = request({ timeoutMinutes });
    await assert.rejects(startSnapshot(world.ports, scope, bad), refusal({ kind: 'invalid-value', field: 'timeout' }));
  }
  const { id } = await startSnapshot(world.ports, scope, request({ timeoutMinutes: 10 }));
  const minutes = async (count: number): Promise<void> => {
    await world.clock.advance(count * 60_000);
    await world.control.run('expire-direct');
  };
  await minutes(0);
  await minutes(9);
  await put(world, scope, id, 1, 1);
  await minutes(9);
  assert.equal((await findSnapshot(world.ports, scope, id)).state, 'pending', 'each block starts it again');
  await world.restartControl();
  await minutes(9);
  assert.equal((await findSnapshot(world.ports, scope, id)).state, 'pending', 'and so does a restart');
  await minutes(10);
  const expired = await findSnapshot(world.ports, scope, id);
  assert.equal(expired.state, 'error');
  await world.settle();
  assert.equal(world.host.volumes.size, 0);
  await assert.rejects(put(world, scope, id, 2, 2), refusal({ kind: 'wrong-state' }));
  await deleteSnapshot(world.ports, scope, id, { token: null, operation: null });
});

test('snapshots being written are limited, and what is deleted meanwhile leaves nothing', async () => {
  await using world = await World.make({ directSnapshotCountMax: 1 });
  const scope = await world.account();
  const { id } = await startSnapshot(world.ports, scope, request());
  await assert.rejects(
    startSnapshot(world.ports, scope, request()),
    refusal({ kind: 'limit', limit: 'direct-snapshots', max: 1 }),
  );
  await put(world, scope, id, 1, 1);
  await deleteSnapshot(world.ports, scope, id, { token: null, operation: null });
  await world.settle();
  assert.equal(world.host.volumes.size, 0);
  await startSnapshot(world.ports, scope, request());
});

test("EBS direct reads what a volume's snapshot holds, and only when it is complete", async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  world.host.write(volume.id, 3, 4);
  world.host.write(volume.id, 4, 0);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await assert.rejects(listBlocks(world.ports, scope, snapshot.id, FIRST_PAGE), refusal({ kind: 'wrong-state' }));
  await assert.rejects(put(world, scope, snapshot.id, 0, 1), refusal({ kind: 'wrong-state' }));
  await assert.rejects(
    completeSnapshot(world.ports, scope, snapshot.id, { changedBlocksCount: 0, checksum: null }),
    refusal({ kind: 'wrong-state' }),
  );
  await world.settle();
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
  const { blocks } = await listBlocks(world.ports, scope, snapshot.id, FIRST_PAGE);
  const [block] = blocks;
  assert.ok(block !== undefined && blocks.length === 1, 'zeros are left out');
  assert.equal((await getBlock(world.ports, scope, snapshot.id, block.index, block.token)).bytes[0], 4);
});

test('a start that is repeated finds its first result, although the parent is gone since', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const parent = await startSnapshot(world.ports, scope, request());
  await put(world, scope, parent.id, 0, 1);
  await complete(world, scope, parent.id, 1);
  const again = request({ parent: parent.id, token: 'one' });
  const first = await startSnapshot(world.ports, scope, again);
  await deleteSnapshot(world.ports, scope, parent.id, { token: null, operation: null });
  await world.settle();
  assert.equal((await startSnapshot(world.ports, scope, again)).id, first.id);
});
