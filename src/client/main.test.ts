/** Whole lines of words, and what they leave behind where the machine or the reply is at fault. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { answeringServer, surroundingsOf } from './connection/surroundings.fixture.ts';
import { runClient } from './main.ts';

const environment = { AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'secret', AWS_DEFAULT_REGION: 'us-east-1' };

interface Ran {
  readonly code: number;
  readonly said: string;
}

async function run(words: readonly string[], stdoutFailure: string | null = null): Promise<Ran> {
  const surroundings = surroundingsOf('main', { environment });
  const failing = new Writable({
    write(_part, _encoding, done) {
      if (stdoutFailure === null) done();
      else done(Object.assign(new Error('write'), { code: stdoutFailure, errno: -28, syscall: 'write' }));
    },
  });
  const code = await runClient(words, { ...surroundings, stdout: failing });
  return { code, said: surroundings.errorText() };
}

test('a full disk below standard output is told of, a reader that has gone is not', async () => {
  const skeleton = ['ec2', 'describe-snapshots', '--generate-cli-skeleton'];
  assert.deepEqual(await run(skeleton, 'ENOSPC'), { code: 255, said: '\n[Errno 28] No space left on device\n' });
  assert.deepEqual(await run(skeleton, 'EPIPE'), { code: 0, said: '' });
});

test('documents that nest without end are refused, wherever they stand', async () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  await using server = await answeringServer([{ status: 200, body: `{"disks": [{"name": ${deep}}]}` }]);
  const disks = ['lightsail', 'get-disks', '--endpoint-url', server.endpoint];
  const refusals = [
    await run(disks),
    await run([...disks, '--cli-input-json', `{"pageToken": ${deep}}`]),
    await run([...disks, '--query', deep]),
  ];
  for (const { code, said } of refusals) {
    assert.equal(code, 255);
    assert.match(
      said.slice(0, 80),
      /^\n(?:maximum recursion depth exceeded|Parameter validation failed:|Bad value for --query )/,
    );
  }
});
