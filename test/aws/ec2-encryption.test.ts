import { join } from 'node:path';
import { test } from 'node:test';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import { requireBoto3, runScript } from './boto3.ts';

test('C10 C11 C12 C13 C14 C22 C26 C31 C32 C33 C34 D7 D20: what is encrypted stays so, and who may not is refused, with boto3', async (t) => {
  if (!requireBoto3(t) || !requireTools(t, ['qemu-io'])) return;
  await using server = await RunningServer.start();
  const cli = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
  const { dataDirectory: data } = server;
  await runScript(server, 'ec2-encryption-client.py', [data, process.execPath, cli, 'connect', '--data', data]);
});
