import assert from 'node:assert/strict';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const scratch = scratchDirectory('cli-names');

type Volume = { readonly VolumeId: string };
type Snapshot = { readonly SnapshotId: string };

const named = (kind: string, name: string): readonly string[] => [
  '--tag-specifications',
  `ResourceType=${kind},Tags=[{Key=Name,Value=${name}}]`,
];

async function ec2Volume(server: RunningServer, name: string): Promise<string> {
  const where = ['--availability-zone', 'us-east-1a', '--size', '1'];
  const words = ['ec2', 'create-volume', ...where, ...named('volume', name)];
  return (await server.awsJson<Volume>(words)).VolumeId;
}

async function completed(server: RunningServer, id: string): Promise<void> {
  const words = ['ec2', 'describe-snapshots', '--snapshot-ids', id, '--query', 'Snapshots[0].State'];
  while ((await server.awsJson(words)) !== 'completed') await systemClock.sleep(50);
}

test('disks and snapshots are found by what people call them; what is of several is asked about', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'qemu-img'])) return;
  await using server = await RunningServer.start();
  const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  const web = await ec2Volume(server, 'web');
  const [twin, other] = [await ec2Volume(server, 'twin'), await ec2Volume(server, 'twin')];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone]);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 0 64k', '-c', 'flush', await server.uri('web')]);

  // By the tag Name, the id, and Lightsail's support code.
  const address = await server.uri(web);
  assert.match(address, new RegExp(`/${web}\\?`));
  assert.equal(await server.uri('web'), address);
  assert.equal(await server.uri(`${server.credentials.accountId}/${web}`), address);
  const json = await server.varve(['connect', 'web', '--json']);
  assert.deepEqual(JSON.parse(json.stdout), { uri: address, readOnly: false });
  const code = await server.awsJson<string>([
    ...['lightsail', 'get-disk', '--disk-name', 'disk-1', '--query', 'disk.supportCode'],
  ]);
  assert.equal(await server.uri(code), await server.uri('disk-1'));
  const stranger = await server.varve(['connect', `000000000000/${web}`]);
  assert.match(stranger.stderr, /there is no disk, volume or snapshot "000000000000\/vol-/);

  for (const words of [
    ['connect', 'twin'],
    ['export', 'twin', join(scratch, 'twin.raw')],
  ]) {
    const asked = await server.varve(words);
    assert.equal(asked.code, 1);
    assert.match(asked.stderr, /"twin" names several: /);
    for (const id of [twin, other]) assert.ok(asked.stderr.includes(`${id} (volume, account `), asked.stderr);
  }

  // A disk and its snapshot may have one name between them.
  const { SnapshotId: snapshot } = await server.awsJson<Snapshot>([
    ...['ec2', 'create-snapshot', '--volume-id', web, '--description', 'first', ...named('snapshot', 'web-1')],
  ]);
  await server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', 'disk-1', '--disk-snapshot-name', 'shot']);
  await completed(server, snapshot);
  const out = join(scratch, 'web-1.raw');
  const exported = await server.varve(['export', 'web-1', out]);
  assert.equal(exported.code, 0, exported.stderr);
  await runOk('qemu-io', ['-f', 'raw', '-r', '-c', 'read -P 7 0 64k', out]);

  const table = (await server.varve(['snapshots', '--all'])).stdout;
  assert.match(table, /^SNAPSHOT +NAME +DISK +ACCOUNT +REGION +OUTPOST +SIZE /);
  assert.match(table, new RegExp(`\\n${snapshot} +web-1 +\\S+ +${server.credentials.accountId} +us-east-1 +- +1 GiB`));
  const volumes = (await server.varve(['volumes', '--all'])).stdout;
  assert.match(volumes, new RegExp(`\\n${web} +web +${server.credentials.accountId} +us-east-1 +- +0 +1 GiB .* no `));

  // And without any database: from the objects and the key.
  const shot = await server.awsJson<string>([
    ...['lightsail', 'get-disk-snapshot', '--disk-snapshot-name', 'shot', '--query', 'diskSnapshot.supportCode'],
  ]);
  await completed(server, shot.split('/')[1] ?? '');
  const place = ['--store', join(scratch, 'store'), '--key', join(server.dataDirectory, 'master.key')];
  await cp(join(server.dataDirectory, 'objects'), join(scratch, 'store'), { recursive: true });
  const rescue = (...words: readonly string[]) => run(process.execPath, [CLI, 'rescue', ...words, ...place]);
  const list = (await rescue('list')).stdout;
  assert.match(list, new RegExp(`\\n${snapshot} +web-1 +web +\\d{12} .* first\\n`));
  assert.match(list, /\nsnap-\w+ +shot +disk-1 +\d{12} /);
  const rescued = JSON.parse((await rescue('list', '--json')).stdout) as { name: string; volumeName: string }[];
  assert.deepEqual(
    rescued.map(({ name, volumeName }) => [name, volumeName]),
    [
      ['web-1', 'web'],
      ['shot', 'disk-1'],
    ],
  );
  const image = join(scratch, 'rescued.raw');
  assert.equal((await rescue('export', 'web-1', image)).code, 0);
  assert.ok((await readFile(image)).subarray(0, 65_536).equals(Buffer.alloc(65_536, 7)));
  assert.match((await rescue('verify', 'nobody')).stderr, /no snapshot has the id or the name "nobody"/);
});
