import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { requireTools } from '../clients.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const scratch = scratchDirectory('cli-master-key');

async function varve(words: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const inherited = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return await run(process.execPath, [CLI, ...words], { env: { ...Object.fromEntries(inherited), ...environment } });
}

async function snapshotOf(server: RunningServer): Promise<string> {
  const zone = ['--availability-zone', 'us-east-1a', '--size', '1'];
  const { VolumeId: volume } = await server.awsJson<{ readonly VolumeId: string }>(['ec2', 'create-volume', ...zone]);
  const create = ['ec2', 'create-snapshot', '--volume-id', volume, '--query', 'SnapshotId'];
  const id = await server.awsJson<string>(create);
  const state = ['ec2', 'describe-snapshots', '--snapshot-ids', id, '--query', 'Snapshots[0].State'];
  while ((await server.awsJson(state)) !== 'completed') await systemClock.sleep(50);
  return id;
}

test('verify and rescue have the key from where the server has it, and write none', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  const data = join(scratch, 'environment');
  const key = { VARVE_MASTER_KEY: randomBytes(32).toString('base64') };
  let id: string;
  {
    await using server = await RunningServer.start({ data, environment: key });
    id = await snapshotOf(server);
  }
  const store = join(data, 'objects');
  assert.equal((await varve(['verify', '--data', data], key)).code, 0);
  assert.match((await varve(['rescue', 'list', '--store', store], key)).stdout, new RegExp(`\n${id} `));
  const without = await varve(['verify', '--data', data]);
  assert.equal(without.code, 1);
  assert.match(without.stderr, /the master key cannot be read: .*master\.key: there is no such file/);
  assert.match((await varve(['rescue', 'list', '--store', store])).stderr, /--key: where is the master key\?/);
  const other = await varve(['rescue', 'list', '--store', store], { VARVE_MASTER_KEY: 'short' });
  assert.match(other.stderr, /the master key cannot be had: VARVE_MASTER_KEY is not 32 bytes/);
  assert.ok(!(await readdir(data)).some((name) => name.startsWith('master.key')), 'no key was made');
});

test('a key that a command wraps is unwrapped by it for verify and rescue, too', async (t) => {
  if (!requireTools(t, ['aws', 'base64', 'sh'])) return;
  const data = join(scratch, 'command');
  const script = join(scratch, 'wrap.sh');
  await writeFile(script, 'case $1 in wrap) base64 ;; unwrap) base64 -d ;; esac\n');
  const command = ['--master-key-command', `sh ${script}`];
  let id: string;
  {
    await using server = await RunningServer.start({ data, args: command });
    id = await snapshotOf(server);
  }
  assert.equal((await varve(['verify', '--data', data, ...command])).code, 0);
  const place = ['--store', join(data, 'objects'), ...command];
  const listed = await varve(['rescue', 'list', ...place, '--key', join(data, 'master.key.wrapped')]);
  assert.match(listed.stdout, new RegExp(`\n${id} `), listed.stderr);
  for (const [more, expected] of [
    [[], /--master-key-command goes with --key DIR\/master\.key\.wrapped/],
    [['--key', join(data, 'master.key')], /a key that is wrapped is a file master\.key\.wrapped/],
    [['--key', join(scratch, 'master.key.wrapped')], /there is no wrapped key /],
  ] as const) {
    const refused = await varve(['rescue', 'list', ...place, ...more]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, expected);
  }
  const moved = await varve(['verify', '--data', scratch, ...command]);
  assert.match(moved.stderr, /there is no wrapped key /);
  assert.ok(!(await readdir(scratch)).includes('master.key.wrapped'), 'a verification writes none');
});
