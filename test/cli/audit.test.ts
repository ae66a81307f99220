import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { CreateVolumeCommand, DeleteVolumeCommand, DescribeVolumesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');

interface Verified {
  readonly lineCount: number;
  readonly last: { readonly sequence: number; readonly mac: string } | null;
  readonly problems: readonly { readonly file: string; readonly line: number; readonly reason: string }[];
}

type Report = Readonly<Record<'changes' | 'uses' | 'refused', Verified>>;

function clientOf(server: RunningServer): EC2Client {
  return new EC2Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: server.credentials,
    maxAttempts: 1,
  });
}

/** Changes until the server dies. Answers the request ids of those that were answered. */
async function change(client: EC2Client, onAnswer: (requestId: string) => void): Promise<void> {
  try {
    for (;;) {
      const place = { AvailabilityZone: 'us-east-1a', Size: 1, ClientToken: randomUUID() };
      const made = await client.send(new CreateVolumeCommand(place));
      onAnswer(made.$metadata.requestId ?? '');
      const gone = await client.send(new DeleteVolumeCommand({ VolumeId: made.VolumeId ?? '' }));
      onAnswer(gone.$metadata.requestId ?? '');
    }
  } catch {
    // It is dead; what was on its way is of no account.
  }
}

test('what was answered before a kill is in the audit log, whose chain holds; who changes a line is found', async () => {
  const data = join(scratchDirectory('cli-audit'), 'data');
  const verify = async (...more: string[]): Promise<{ readonly code: number | null; readonly report: Report }> => {
    const told = await run(process.execPath, [CLI, 'audit', 'verify', '--data', data, '--json', ...more]);
    return { code: told.code, report: JSON.parse(told.stdout) as Report };
  };
  const list = async (...more: string[]): Promise<readonly string[]> => {
    const told = await run(process.execPath, [CLI, 'audit', '--data', data, ...more]);
    assert.equal(told.code, 0, told.stderr);
    return told.stdout.split('\n').filter((line) => line !== '');
  };

  const answered = new Set<string>();
  {
    const server = await RunningServer.start({ data });
    const client = clientOf(server);
    const loops = Array.from({ length: 4 }, () =>
      change(client, (requestId) => {
        answered.add(requestId);
        if (answered.size === 40) server.signal('SIGKILL');
      }),
    );
    await Promise.all(loops);
    await server.stop();
    client.destroy();
  }
  const killed = await verify();
  assert.deepEqual([killed.code, killed.report.changes.problems], [0, []]);
  const lines = (await list('--json', '--operation', '*Volume')).map(
    (line) => JSON.parse(line) as { requestId: string },
  );
  const recorded = new Set(lines.map(({ requestId }) => requestId));
  for (const requestId of answered) assert(recorded.has(requestId), `${requestId} was answered`);

  await using server = await RunningServer.start({ data });
  const client = clientOf(server);
  await client.send(new DescribeVolumesCommand({}));
  await client.send(new DeleteVolumeCommand({ VolumeId: 'vol-0123456789abcdef0' })).catch(() => {});
  client.destroy();
  const told = (await list('--since', '1h')).join('\n');
  assert.match(told, /:root ec2:DescribeVolumes 200/);
  assert.match(told, /ec2:DeleteVolume InvalidVolume\.NotFound/);
  const { code, report } = await verify();
  assert.equal(code, 0, JSON.stringify(report));
  assert.deepEqual([report.uses.problems, report.refused.problems], [[], []]);
  const { sequence, mac } = report.changes.last ?? { sequence: 0, mac: '' };

  assert.match((await server.varve(['clock', 'accept'])).stdout, /^the clock is as the time that passed says$/m);

  // The server knows where it ended, and who kept it does, too.
  const path = join(data, 'audit.log');
  const lastLess = (await readFile(path, 'utf8')).trimEnd().split('\n').slice(0, -1);
  await writeFile(path, `${lastLess.toSpliced(5, 1).join('\n')}\n`);
  const forged = await verify('--anchor', `changes:${sequence}:${mac}`);
  assert.equal(forged.code, 1);
  assert.deepEqual(
    forged.report.changes.problems.map(({ line, reason }) => [line, reason.split(':')[0]]),
    [
      [6, 'line 6 is missing'],
      [0, 'the last lines are missing'],
      [0, 'the last lines are missing'],
    ],
  );
});
