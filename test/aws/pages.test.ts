import { join } from 'node:path';
import { test } from 'node:test';
import { dlmFace } from '#api/dlm/face.ts';
import { ebsFace } from '#api/ebs/face.ts';
import { ec2Face } from '#api/ec2/face.ts';
import { iamFace } from '#api/iam/face.ts';
import { kmsFace } from '#api/kms/face.ts';
import { rbinFace } from '#api/rbin/face.ts';
import { stsFace } from '#api/sts/face.ts';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import { requireBoto3, runScript } from './boto3.ts';

test('every waiter and every paginator of boto3, for whatever the server has', async (t) => {
  if (!requireBoto3(t) || !requireTools(t, ['qemu-io'])) return;
  await using server = await RunningServer.start();
  const faces = [ec2Face, ebsFace, rbinFace, dlmFace, kmsFace, iamFace, stsFace];
  const operations = Object.fromEntries(faces.map(({ service, handlers }) => [service, [...handlers.keys()]]));
  const cli = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
  await runScript(server, 'pages-client.py', [
    ...[JSON.stringify(operations), process.execPath, cli, 'connect', '--data', server.dataDirectory],
  ]);
});
