import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { AccessScene } from './access/scene.fake.ts';
import type { AuditEntry } from './audit.ts';
import { AuditLog } from './audit-log.ts';

function entry(some: Partial<AuditEntry> = {}): AuditEntry {
  return {
    requestId: 'r',
    principal: 'arn:aws:iam::111122223333:root',
    account: '111122223333',
    accessKeyId: 'AKIAAAAAAAAAAAAAAAAA',
    sourceAddress: '127.0.0.1',
    userAgent: 'test',
    service: 'ec2',
    operation: 'CreateVolume',
    region: 'us-east-1',
    resources: [],
    decision: 'allowed',
    errorCode: null,
    status: 200,
    durationMs: 1,
    parameters: null,
    ...some,
  };
}

async function linesOf(path: string): Promise<readonly Record<string, unknown>[]> {
  const text = await readFile(path, 'utf8');
  assert(text.endsWith('\n'));
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('every call is one line, in order, for the owner alone; what waits is written at the end', async () => {
  const path = join(scratchDirectory('audit'), 'audit.log');
  {
    await using log = await AuditLog.open({ path, clock: new VirtualClock(), log: silentLog });
    for (let number = 0; number < 1000; number += 1) log.record(entry({ requestId: `r${number}\n` }));
  }
  const lines = await linesOf(path);
  assert.deepEqual(
    lines.map((line) => line['requestId']),
    Array.from({ length: 1000 }, (_, number) => `r${number}\n`),
  );
  assert.equal(lines[0]?.['time'], '2026-01-01T00:00:00.000Z');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  {
    await using log = await AuditLog.open({ path, clock: new VirtualClock(), log: silentLog });
    log.record(entry());
  }
  assert.equal((await linesOf(path)).length, 1001, 'another start goes on where the last one ended');
});

test('a file that is full makes room for another, and the oldest goes', async () => {
  const directory = scratchDirectory('audit-rotation');
  const path = join(directory, 'audit.log');
  await using log = await AuditLog.open({
    path,
    fileBytesMax: 2000,
    filesMax: 3,
    clock: new VirtualClock(),
    log: silentLog,
  });
  for (let number = 0; number < 40; number += 1) {
    log.record(entry({ requestId: `r${number}` }));
    await log.flushed();
  }
  assert.deepEqual((await readdir(directory)).toSorted(), ['audit.log', 'audit.log.1', 'audit.log.2']);
  const kept = [];
  for (const name of ['audit.log.2', 'audit.log.1', 'audit.log']) {
    kept.push(...(await linesOf(join(directory, name))).map((line) => line['requestId']));
    assert((await stat(join(directory, name))).size <= 2000);
  }
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, index) => `r${40 - kept.length + index}`),
  );
});

test('a call is recorded with who, what, on what, from where, and how it was decided; no secret is', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const ana = await scene.user(root.account, 'ana', null);
  await ana.client.form('ec2', { Action: 'DeleteVolume', Version: '2016-11-15', VolumeId: 'vol-0123456789abcdef0' });
  const [denied] = scene.audited;
  assert.equal(denied?.principal, `arn:aws:iam::${root.account}:user/ana`);
  assert.equal(denied.accessKeyId, ana.key.accessKeyId);
  assert.equal(denied.sourceAddress, '127.0.0.1');
  assert.equal(denied.operation, 'DeleteVolume');
  assert.deepEqual(denied.resources, [`arn:aws:ec2:us-east-1:${root.account}:volume/vol-0123456789abcdef0`]);
  assert.equal(denied.decision, 'implicit-deny');
  assert.equal(denied.errorCode, 'UnauthorizedOperation');
  assert.deepEqual(denied.parameters, { VolumeId: 'vol-0123456789abcdef0' });

  const secrets = ['CANARY-USERDATA', 'CANARY-PLAINTEXT', 'CANARY-MATERIAL'];
  await root.client.form('ec2', {
    Action: 'RunInstances',
    Version: '2016-11-15',
    MinCount: '1',
    MaxCount: '1',
    UserData: 'CANARY-USERDATA',
  });
  await root.client.json('CreateInstances', {
    instanceNames: ['a'],
    availabilityZone: 'us-east-1a',
    blueprintId: 'b',
    bundleId: 'c',
    userData: 'CANARY-USERDATA',
  });
  for (const [operation, body] of [
    ['Encrypt', { KeyId: 'alias/x', Plaintext: Buffer.from('CANARY-PLAINTEXT').toString('base64') }],
    [
      'ImportKeyMaterial',
      { KeyId: 'x', ImportToken: 'AAAA', EncryptedKeyMaterial: Buffer.from('CANARY-MATERIAL').toString('base64') },
    ],
  ] as const) {
    const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `TrentService.${operation}` };
    await root.client.send({ service: 'kms', body: JSON.stringify(body), headers });
  }
  const made = await root.client.form('iam', { Action: 'CreateAccessKey', Version: '2010-05-08', UserName: 'ana' });
  const token = await ana.client.form('sts', { Action: 'GetSessionToken', Version: '2011-06-15' });
  for (const text of [made.text, token.text]) {
    for (const name of ['SecretAccessKey', 'SessionToken']) {
      const found = new RegExp(`<${name}>([^<]+)<`).exec(text)?.[1];
      if (found !== undefined) secrets.push(found);
    }
  }
  const all = JSON.stringify(scene.audited);
  for (const secret of [
    ...secrets,
    ...secrets.map((text) => Buffer.from(text).toString('base64')),
    root.key.secretAccessKey,
  ]) {
    assert(!all.includes(secret), `${secret} is in the audit log`);
  }
  assert(secrets.length >= 6);

  const stranger = scene.client({ accessKeyId: 'AKIABBBBBBBBBBBBBBBB', secretAccessKey: 'x' });
  await stranger.form('ec2', { Action: 'DescribeVolumes', Version: '2016-11-15' });
  const last = scene.audited.at(-1);
  assert.equal(last?.decision, 'unauthenticated');
  assert.equal(last.principal, null);
  assert.equal(last.accessKeyId, 'AKIABBBBBBBBBBBBBBBB');
});
