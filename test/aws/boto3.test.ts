import { test } from 'node:test';
import { RunningServer } from '../running-server.ts';
import { requireBoto3, runScript } from './boto3.ts';

test('A32 C18 D10 D12 D17 D19: boto3 sees exceptions, types, waiters and pages as its users expect', async (t) => {
  if (!requireBoto3(t)) return;
  await using server = await RunningServer.start();
  await runScript(server, 'boto3-client.py');
});

test('users, roles, policies and sessions work as programs on boto3 use them', async (t) => {
  if (!requireBoto3(t)) return;
  await using server = await RunningServer.start();
  await runScript(server, 'boto3-access.py');
});
