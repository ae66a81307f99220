import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireTool } from '../clients.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';

/** Debian's boto3 belongs to Debian's Python, whatever else is on the path. */
const PYTHON = process.env['VARVE_TEST_PYTHON'] ?? '/usr/bin/python3';

test('boto3 meets every refusal of KMS as its exception, and every page', async (t) => {
  if (!requireTool(t, PYTHON)) return;
  if ((await run(PYTHON, ['-c', 'import boto3'])).code !== 0) {
    assert.notEqual(process.env['VARVE_REQUIRE_CLIENTS'], '1', 'boto3 is required here (python3-boto3)');
    t.skip('boto3 is not installed');
    return;
  }
  await using server = await RunningServer.start();
  const made = await server.varve(['accounts', 'create', '--json']);
  const other = JSON.parse(made.stdout) as Readonly<Record<'AccountId' | 'AccessKeyId' | 'SecretAccessKey', string>>;
  const script = join(import.meta.dirname, 'kms-client.py');
  const result = await run(
    PYTHON,
    [script, server.endpoint, other.AccessKeyId, other.SecretAccessKey, other.AccountId],
    { env: server.environment() },
  );
  assert.equal(result.code, 0, result.stdout.slice(-2000) + result.stderr);
  assert.match(result.stdout, /\ndone\n$/, 'it went to its end');
  assert.deepEqual(
    server.log.filter((line) => line['level'] === 'error'),
    [],
  );
});
