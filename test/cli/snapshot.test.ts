import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askServer } from '#src/cli/admin-client.ts';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

interface Tree {
  readonly id: string;
  readonly name: string | null;
  readonly children: readonly Tree[];
}

test('varve snapshot makes, watches, restores, draws and deletes snapshots of both services by their names', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  await using server = await RunningServer.start();
  const ok = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await server.varve(words);
    assert.equal(code, 0, `${words.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  const zone = ['--availability-zone', 'us-east-1a'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone, '--size-in-gb', '8']);
  const tags = ['--tag-specifications', 'ResourceType=volume,Tags=[{Key=Name,Value=web}]'];
  const { VolumeId: web } = await server.awsJson<{ VolumeId: string }>([
    ...['ec2', 'create-volume', '--region', 'eu-west-1', '--availability-zone', 'eu-west-1a', '--size', '1', ...tags],
  ]);
  for (const name of ['disk-1', 'web']) {
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 1M 2M', '-c', 'flush', await server.uri(name)]);
  }

  // Its id on standard output, how it came along on standard error.
  const made = await server.varve(['snapshot', 'create', 'disk-1', '--name', 'snap-of-disk']);
  assert.equal(made.code, 0, made.stderr);
  const first = made.stdout.trim();
  assert.match(first, /^snap-[0-9a-f]{17}$/);
  assert.match(made.stderr, new RegExp(`snap-of-disk \\(${first}\\): completed; the store grew by `));
  assert.equal(
    await server.awsJson<string>([
      ...['lightsail', 'get-disk-snapshot', '--disk-snapshot-name', 'snap-of-disk', '--query', 'diskSnapshot.state'],
    ]),
    'completed',
  );
  const second = await ok('snapshot', 'create', 'web', '--description', 'of a test', '--no-wait');
  const watched = await server.varve(['snapshot', 'watch', second, '--json']);
  assert.equal(watched.code, 0, watched.stderr);
  const steps = watched.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: string; state: string });
  assert.deepEqual([steps.at(-1)?.id, steps.at(-1)?.state], [second, 'completed']);
  const described = await server.awsJson<{ Description: string; Tags: readonly { Key: string; Value: string }[] }>([
    ...['ec2', 'describe-snapshots', '--region', 'eu-west-1', '--snapshot-ids', second, '--query', 'Snapshots[0]'],
  ]);
  assert.equal(described.Description, 'of a test');
  assert.match(described.Tags.find(({ Key }) => Key === 'Name')?.Value ?? '', /^web-\d{8}-\d{6}$/);

  // A disk of it, that has its bytes.
  const restored = await ok('snapshot', 'restore', 'snap-of-disk', '--name', 'disk-2');
  await runOk('qemu-io', ['-f', 'raw', '-c', 'read -P 7 1M 2M', await server.uri('disk-2')]);
  const larger = JSON.parse(
    await ok('snapshot', 'restore', second, '--name', 'web-2', '--size-in-gb', '2', '--json'),
  ) as {
    readonly id: string;
  };
  assert.equal(
    await server.awsJson<number>([
      ...['ec2', 'describe-volumes', '--region', 'eu-west-1', '--volume-ids', larger.id, '--query', 'Volumes[0].Size'],
    ]),
    2,
  );

  const { trees } = JSON.parse(await ok('snapshot', 'tree', '--json')) as { readonly trees: readonly Tree[] };
  const shape = (tree: Tree): unknown => [tree.name, tree.children.map(shape)];
  assert.deepEqual(trees.map(shape)[0], ['disk-1', [['snap-of-disk', [['disk-2', []]]]]]);
  assert.deepEqual(
    (await ok('snapshot', 'tree', 'web-2')).split('\n').map((line) => /[a-z0-9]+-[0-9a-f]{17}/.exec(line)?.[0]),
    [web, second, larger.id],
  );
  assert.equal((JSON.parse(await ok('snapshot', 'list', '--json')) as { snapshots: unknown[] }).snapshots.length, 2);

  assert.match(await ok('snapshot', 'delete', 'snap-of-disk', '--dry-run'), /would free/);

  // Two snapshots of one content share it: together they free what none of them would alone.
  await ok('snapshot', 'create', 'disk-1', '--name', 'again');
  type Du = { readonly snapshots: readonly { readonly ownBytes: number }[]; readonly freedBytes: number };
  const du = async (...names: readonly string[]): Promise<Du> => JSON.parse(await ok('du', ...names, '--json')) as Du;
  const [one, two] = [await du('again'), await du('disk-1')];
  assert.deepEqual([one.snapshots.length, two.snapshots.length], [1, 2]);
  assert.equal(one.freedBytes, one.snapshots[0]?.ownBytes);
  assert.match(await ok('du'), /\nDeleting 3 snapshots would free /);
  await ok('snapshot', 'delete', 'again');

  assert.match(await ok('snapshot', 'delete', second), new RegExp(`^${second}: deleted; .* are given back$`));
  assert.match(await ok('gc'), /given back; the store takes/);
  for (const [words, message] of [
    [['delete', second], /there is no disk, volume or snapshot/],
    [['delete', 'disk-1'], /disk-1 is no snapshot; nothing was deleted/],
    [['create', 'snap-of-disk'], /is a snapshot already; "varve snapshot restore"/],
    [['restore', 'disk-1', '--name', 'x'], /is no snapshot; "varve snapshot create"/],
    [['restore', 'snap-of-disk', '--name', 'disk-1'], /InvalidInputException/],
  ] as const) {
    const refused = await server.varve(['snapshot', ...words]);
    assert.deepEqual([refused.code, message.test(refused.stderr)], [1, true], `${words.join(' ')}: ${refused.stderr}`);
  }
  const wrong = await server.varve(['snapshot', 'remove', 'x']);
  assert.deepEqual([wrong.code, /the verbs are create, restore/.test(wrong.stderr)], [2, true]);
  assert.match(restored, /^vol-[0-9a-f]{17}$/);
});

test('varve bench measures with a disk of its own, and leaves nothing', async () => {
  await using server = await RunningServer.start();
  // As many snapshots as are watched or counted at once have room in one question.
  const ids = Array.from({ length: 1000 }, (_, at): [string, string] => [
    'id',
    `snap-${at.toString(16).padStart(17, '0')}`,
  ]);
  const path = `/uploads?${new URLSearchParams(ids).toString()}`;
  const { gone } = (await askServer({ data: server.dataDirectory }, 'GET', path)) as { readonly gone: unknown[] };
  assert.equal(gone.length, 1000);
  await assert.rejects(askServer({ data: server.dataDirectory }, 'GET', '/not-yet'), /of another version/);

  const { code, stdout, stderr } = await server.varve(['bench', '--size-mib', '16', '--seconds', '0.1', '--json']);
  assert.equal(code, 0, stderr);
  const { figures } = JSON.parse(stdout) as { readonly figures: readonly { name: string; medianMs: number }[] };
  assert.equal(figures.length, 10);
  for (const { name, medianMs } of figures) assert.ok(medianMs > 0, name);
  for (const words of [['volumes'], ['snapshots']]) {
    const listed = JSON.parse((await server.varve([...words, '--json'])).stdout) as Record<string, unknown[]>;
    assert.deepEqual(listed[words[0] ?? ''], []);
  }
});
