import assert from 'node:assert/strict';
import type { Scope } from '#domain/volume.ts';
import type { World } from './world.fake.ts';

/**
 * Metadata and host say the same, and nothing is on its way: what the reconcilers promise once nothing fails any more.
 * `names`: every name that the test used in the scope; `where` is said with what does not hold.
 */
export async function assertConsistent(
  world: World,
  scope: Scope,
  names: readonly string[],
  where: string,
): Promise<void> {
  const page = { after: 0, countMax: 1000 };
  const found = await world.ports.meta.read(async (tx) => ({
    volumes: await tx.volumes.inState(['creating', 'available', 'recoverable', 'deleting', 'error'], page),
    snapshots: await tx.snapshots.inState(
      ['cutting', 'pending', 'completed', 'error', 'recoverable', 'recovering', 'deleting'],
      page,
    ),
    unreleased: await tx.snapshots.unreleased(page),
    operations: await tx.operations.list(scope, null, page),
  }));
  const volumes = found.volumes.map(({ record }) => record);
  const snapshots = found.snapshots.map(({ record }) => record);
  // An unsealed direct snapshot is not half done: it waits for its client.
  const drafts = snapshots.filter(({ direct, sealed }) => direct && !sealed).map(({ volume }) => volume);
  for (const { id, state, draft } of volumes) {
    assert.equal(state, 'available', `${where}: volume ${id}`);
    assert.ok(!draft || drafts.includes(id), `${where}: the draft ${id} is still there`);
  }
  assert.deepEqual([...world.host.volumes.keys()].toSorted(), volumes.map(({ id }) => id).toSorted(), where);
  const sealed = snapshots.filter((one) => one.sealed);
  for (const { id, state } of sealed) assert.equal(state, 'completed', `${where}: snapshot ${id}`);
  assert.deepEqual([...world.host.snapshots.keys()].toSorted(), sealed.map(({ id }) => id).toSorted(), where);
  assert.equal(found.unreleased.length, drafts.length, `${where}: cuts are released`);
  for (const { cuts } of world.host.volumes.values()) assert.equal(cuts.size, 0, `${where}: the host keeps no cut`);
  for (const { record } of found.operations) {
    assert.notEqual(record.status, 'Started', `${where}: ${record.type} of ${record.resourceName}`);
  }
  for (const name of names) {
    const holder = await world.ports.meta.read((tx) => tx.names.find(scope, name));
    const holders = [...volumes, ...snapshots].filter((one) => one.name === name).map(({ id }) => id);
    assert.deepEqual(holders, holder === null ? [] : [holder], `${where}: the name ${name}`);
  }
}
