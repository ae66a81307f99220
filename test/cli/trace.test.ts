import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { lineWords } from '#src/cli/trace.ts';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');

test('varve trace shows the calls that are asked for as they are answered, and ends with the server', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await using server = await RunningServer.start();
  const child = spawn(
    process.execPath,
    [CLI, 'trace', '--data', server.dataDirectory, '--json', '--errors', '--operation', 'Describe*'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const exited = once(child, 'exit');
  const lines: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout }).on('line', (line) =>
    lines.push(JSON.parse(line) as Record<string, unknown>),
  );
  await once(child.stderr, 'data'); // It says that it listens.
  await server.awsJson(['ec2', 'describe-volumes']);
  assert.notEqual((await server.aws(['ec2', 'delete-volume', '--volume-id', 'vol-00000000000000001'])).code, 0);
  assert.notEqual((await server.aws(['ec2', 'describe-volumes', '--volume-ids', 'vol-00000000000000001'])).code, 0);
  await server.stop();
  assert.deepEqual(await exited, [0, null]);
  assert.deepEqual(
    lines.map(({ service, operation, status, code }) => [service, operation, status, code]),
    [['ec2', 'DescribeVolumes', 400, 'InvalidVolume.NotFound']],
  );
  assert.match(
    lineWords(lines[0] ?? {}),
    /^\d\d:\d\d:\d\d\.\d{3} {2}ec2 DescribeVolumes +InvalidVolume\.NotFound +\d+ ms {2}AKIA/,
  );
});
