import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene, codeOf, type Member } from './scene.fake.ts';

// Copies are decided by their source, where that is: the request is in the region to which the copy comes.

async function call(member: Member, operation: string, input: object, region = 'us-east-1'): Promise<string | null> {
  return codeOf(await member.client.json(operation, input, { region }));
}

test('who may copy by the tags of a source is asked in the region of the source', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  for (const [name, team] of [
    ['ours', 'red'],
    ['theirs', 'blue'],
  ] as const) {
    await call(root, 'CreateDisk', { diskName: `${name}-disk`, availabilityZone: 'us-east-1a', sizeInGb: 8 });
    await scene.world.settle();
    const tags = [{ key: 'team', value: team }];
    const made = { diskName: `${name}-disk`, diskSnapshotName: name, tags };
    assert.equal(await call(root, 'CreateDiskSnapshot', made), null);
  }
  // Of the same name, where the copy comes to: it decides nothing.
  await call(
    root,
    'CreateDisk',
    { diskName: 'theirs', availabilityZone: 'eu-west-1a', sizeInGb: 8, tags: [{ key: 'team', value: 'red' }] },
    'eu-west-1',
  );
  await scene.world.settle();
  const red = await scene.user(root.account, 'red', {
    Effect: 'Allow',
    Action: ['lightsail:CopySnapshot', 'lightsail:ExportSnapshot'],
    Resource: '*',
    Condition: { StringEquals: { 'aws:ResourceTag/team': 'red' } },
  });
  const copy = (source: string): Promise<string | null> =>
    call(
      red,
      'CopySnapshot',
      { sourceSnapshotName: source, sourceRegion: 'us-east-1', targetSnapshotName: `${source}-copy` },
      'eu-west-1',
    );
  assert.equal(await copy('theirs'), 'AccessDeniedException');
  assert.equal(await copy('nothing'), 'AccessDeniedException');
  assert.equal(await copy('ours'), null);
  assert.equal(await call(red, 'ExportSnapshot', { sourceSnapshotName: 'theirs' }), 'AccessDeniedException');
  assert.equal(await call(red, 'ExportSnapshot', { sourceSnapshotName: 'ours' }), null);
});
