import assert from 'node:assert/strict';
import { test } from 'node:test';

import { TEST_OUTPOSTS } from './outposts.fake.ts';
import { checkOutposts, OutpostMissingError } from './outposts.ts';
import { volumeRequest } from './request.fake.ts';
import { createVolume, deleteVolume } from './volumes.ts';
import { World } from './world.fake.ts';

const [first, second] = TEST_OUTPOSTS;

test('a server does not start without an Outpost that something is on', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { meta } = world.ports;
  await checkOutposts(meta, []);
  await checkOutposts(meta, [first, second]);
  await checkOutposts(meta, [first]);
  await checkOutposts(meta, [first, second]);
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ outpost: first.arn }));
  await assert.rejects(checkOutposts(meta, [second]), (error) => {
    assert.ok(error instanceof OutpostMissingError);
    assert.match(error.message, /the Outpost site-1 \(op-0{16}1\), which --outposts does not name/);
    return true;
  });
  await assert.rejects(checkOutposts(meta, []), OutpostMissingError);
  // Nothing is on the other, and nothing was forgotten by being refused.
  await checkOutposts(meta, [first]);
  await assert.rejects(checkOutposts(meta, [second]), OutpostMissingError);
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
  await world.settle();
  await checkOutposts(meta, []);
});
