import { test } from 'node:test';
import { RunningServer } from '../running-server.ts';
import { requireBoto3, runScript } from './boto3.ts';

test('C16: boto3 meets every refusal of EC2 that needs no limit, no second account and no time to pass', async (t) => {
  if (!requireBoto3(t)) return;
  await using server = await RunningServer.start();
  await runScript(server, 'ec2-refusals-client.py');
});
