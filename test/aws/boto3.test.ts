import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireTool } from '../clients.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';

/** Debian's boto3 belongs to Debian's Python, whatever else is on the path. */
const PYTHON = process.env['VARVE_TEST_PYTHON'] ?? '/usr/bin/python3';

test('A32 C18 D10 D12 D17 D19: boto3 sees exceptions, types, waiters and pages as its users expect', async (t) => {
  if (!requireTool(t, PYTHON)) return;
  const known = await run(PYTHON, ['-c', 'import boto3']);
  if (known.code !== 0) {
    assert.notEqual(process.env['VARVE_REQUIRE_CLIENTS'], '1', 'boto3 is required here (python3-boto3)');
    t.skip('boto3 is not installed');
    return;
  }
  await using server = await RunningServer.start();
  const result = await run(PYTHON, [join(import.meta.dirname, 'boto3-client.py'), server.endpoint], {
    env: server.environment(),
  });
  assert.equal(result.code, 0, result.stdout + result.stderr);
  assert.match(result.stdout, /ok: the caller owns the snapshot\n$/, 'it went to its end');
});

test('users, roles, policies and sessions work as programs on boto3 use them', async (t) => {
  if (!requireTool(t, PYTHON)) return;
  const known = await run(PYTHON, ['-c', 'import boto3']);
  if (known.code !== 0) {
    assert.notEqual(process.env['VARVE_REQUIRE_CLIENTS'], '1', 'boto3 is required here (python3-boto3)');
    t.skip('boto3 is not installed');
    return;
  }
  await using server = await RunningServer.start();
  const result = await run(PYTHON, [join(import.meta.dirname, 'boto3-access.py'), server.endpoint], {
    env: server.environment(),
  });
  assert.equal(result.code, 0, result.stdout + result.stderr);
  assert.match(result.stdout, /ok: what is deleted is over at once\n$/, 'it went to its end');
});
