import assert from 'node:assert/strict';
import { appendFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { AccessScene } from './access/scene.fake.ts';
import type { AuditEntry } from './audit.ts';
import { type ChainHead, parseChained } from './audit-chain.ts';
import { type AuditHeads, AuditLog, type AuditLogOptions } from './audit-log.ts';
import { seriesFiles } from './audit-series.ts';
import { verifySeries } from './audit-verify.ts';

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

/** A log in a directory, as a server opens it: what is told to be kept is there for the next one. */
class Place {
  readonly directory: string;
  readonly clock = new VirtualClock();
  heads: AuditHeads = {};
  budgets: NonNullable<AuditLogOptions['budgets']> = {};

  constructor(name: string) {
    this.directory = scratchDirectory(name);
  }

  path(name = 'audit.log'): string {
    return join(this.directory, name);
  }

  async open(): Promise<AuditLog> {
    const { directory, clock, heads, budgets } = this;
    return await AuditLog.open({
      directory,
      key: KEY,
      budgets,
      heads,
      keepHeads: async (kept) => {
        this.heads = kept;
      },
      clock,
      log: silentLog,
    });
  }

  /** Of `audit.log`; as `varve audit verify` does it. */
  async problems(expected: readonly (ChainHead | undefined)[] = [], filesMax = 10): Promise<readonly string[]> {
    const heads = expected.filter((head) => head !== undefined);
    const { problems } = await verifySeries({ path: this.path(), key: KEY, filesMax, expected: heads });
    return problems.map(({ line, reason }) => `${line}: ${reason}`);
  }
}

const KEY = new Uint8Array(32).fill(5);

test('every call is one line, in order, for the owner alone; what waits is written at the end', async () => {
  const place = new Place('audit');
  {
    await using log = await place.open();
    for (let number = 0; number < 1000; number += 1) void log.record(entry({ requestId: `r${number}\n` }));
  }
  const [header, ...lines] = await linesOf(place.path());
  assert.equal(header?.['log'], 'audit.log');
  assert.deepEqual(
    lines.map((line) => line['requestId']),
    Array.from({ length: 1000 }, (_, number) => `r${number}\n`),
  );
  assert.equal(lines[0]?.['time'], '2026-01-01T00:00:00.000Z');
  assert.equal((await stat(place.path())).mode & 0o777, 0o600);
  {
    await using log = await place.open();
    await log.record(entry());
    assert.equal((await linesOf(place.path())).length, 1002, 'another start goes on where the last one ended');
  }
  assert.deepEqual(await place.problems([place.heads.changes]), []);
});

test('a line of a change is with the kernel when its call may be answered', async () => {
  const place = new Place('audit-before-reply');
  await using log = await place.open();
  await Promise.all(
    Array.from({ length: 50 }, async (_, number) => {
      await log.record(entry({ requestId: `id-${number}` }));
      assert((await readFile(place.path(), 'utf8')).includes(`"id-${number}"`));
    }),
  );
  assert.equal(log.record(entry({ operation: 'DescribeVolumes' })), null);
  assert.notEqual(log.record(entry({ operation: 'PutSnapshotBlock' })), null);
});

test('a file that is full makes room for another, and the oldest goes', async () => {
  const place = new Place('audit-rotation');
  place.budgets = { changes: { fileBytesMax: 2000, filesMax: 3 } };
  await using log = await place.open();
  for (let number = 0; number < 40; number += 1) {
    void log.record(entry({ requestId: `r${number}` }));
    const { changes } = await log.flushed();
    assert.deepEqual(await place.problems([changes], 3), []);
  }
  const names = (await readdir(place.directory)).filter((name) => name.startsWith('audit.log'));
  assert.deepEqual(names.toSorted(), ['audit.log', 'audit.log.1', 'audit.log.2']);
  const kept = [];
  for (const name of ['audit.log.2', 'audit.log.1', 'audit.log']) {
    const [, ...lines] = await linesOf(place.path(name));
    kept.push(...lines.map((line) => line['requestId']));
    assert((await stat(place.path(name))).size <= 2000);
  }
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, index) => `r${40 - kept.length + index}`),
  );
});

test('a flood of refused calls, or of reads, leaves the history as it was, and is told in numbers', async () => {
  const place = new Place('audit-flood');
  place.budgets = {
    changes: { fileBytesMax: 4000, filesMax: 2 },
    uses: { fileBytesMax: 4000, filesMax: 2 },
    refused: { fileBytesMax: 1_000_000, filesMax: 2 },
  };
  const refused = entry({ principal: null, decision: 'unauthenticated', errorCode: 'bad-signature', status: 403 });
  {
    await using log = await place.open();
    await log.record(entry({ requestId: 'the-deed' }));
    for (let number = 0; number < 5000; number += 1) {
      void log.record({ ...refused, accessKeyId: `AKIA${number}` });
      void log.record(entry({ operation: 'DescribeVolumes' }));
      if (number % 1000 === 0) await log.flushed();
    }
    // From ever other addresses.
    for (let number = 0; number < 5000; number += 1) {
      void log.record({ ...refused, sourceAddress: `10.0.${number >> 8}.${number & 255}` });
    }
  }
  assert.deepEqual(
    (await linesOf(place.path())).map((line) => line['requestId']),
    [undefined, 'the-deed'],
  );
  const lines = await linesOf(place.path('audit-refused.log'));
  assert(lines.length < 1000, `${lines.length} lines`);
  const told = lines.map((line) => (typeof line['more'] === 'number' ? line['more'] : 'requestId' in line ? 1 : 0));
  assert.equal(
    told.reduce((sum, count) => sum + count, 0),
    10_000,
    'every call is counted',
  );
  assert.equal(lines.find((line) => line['sourceAddress'] === '127.0.0.1' && 'more' in line)?.['more'], 4980);
});

test('a flood of calls by nobody leaves those of principals their lines', async () => {
  const place = new Place('audit-flood-known');
  const refused = entry({ decision: 'implicit-deny', errorCode: 'UnauthorizedOperation', status: 403 });
  {
    await using log = await place.open();
    for (let number = 0; number < 2000; number += 1) {
      const sourceAddress = `10.0.${number >> 8}.${number & 255}`;
      void log.record({ ...refused, principal: null, decision: 'unauthenticated', sourceAddress });
    }
    void log.record({ ...refused, requestId: 'an-attempt', operation: 'DeleteSnapshot' });
  }
  const lines = await linesOf(place.path('audit-refused.log'));
  assert(lines.some((line) => line['requestId'] === 'an-attempt'));
});

test('refused calls are summed up every minute', async () => {
  const place = new Place('audit-minute');
  await using log = await place.open();
  const refused = entry({ decision: 'implicit-deny', errorCode: 'UnauthorizedOperation', status: 403 });
  for (let number = 0; number < 30; number += 1) void log.record(refused);
  await place.clock.advance(60_000);
  for (let number = 0; number < 1; number += 1) void log.record({ ...refused, requestId: 'next' });
  for (let turn = 0; turn < 1000 && place.heads.refused === undefined; turn += 1) await log.flushed();
  const lines = await linesOf(place.path('audit-refused.log'));
  assert.equal(lines.find((line) => 'more' in line)?.['more'], 10);
  assert(
    lines.some((line) => line['requestId'] === 'next'),
    'another window has lines of its own',
  );
});

test('what was changed, put in, taken out or put elsewhere is found, and named', async () => {
  const place = new Place('audit-forged');
  place.budgets = { changes: { fileBytesMax: 3000, filesMax: 10 } };
  {
    await using log = await place.open();
    for (let number = 0; number < 20; number += 1) await log.record(entry({ requestId: `r${number}` }));
  }
  const head = place.heads.changes;
  assert.deepEqual(await place.problems([head]), []);
  const path = place.path('audit.log.1');
  const whole = await readFile(path, 'utf8');
  const lines = whole.split('\n').slice(0, -1);
  const line = (index: number): string => lines[index] ?? '';
  const forged: readonly (readonly [string, readonly string[]])[] = [
    ['a changed line', [line(0), line(1).replace('CreateVolume', 'DeleteVolume'), ...lines.slice(2)]],
    ['a changed time', [line(0), line(1).replace('2026', '2025'), ...lines.slice(2)]],
    ['a changed header', [line(0).replace('2026', '2025'), ...lines.slice(1)]],
    ['a line less', [line(0), ...lines.slice(2)]],
    ['no header', lines.slice(1)],
    ['the last line less', lines.slice(0, -1)],
    ['lines in another order', [line(0), line(2), line(1), ...lines.slice(3)]],
    ['a line twice', [line(0), line(1), line(1), ...lines.slice(2)]],
    ['words', [line(0), 'words', ...lines.slice(1)]],
    ['an old line', [line(0), '{"time":"2026-01-01T00:00:00.000Z","operation":"CreateVolume"}', ...lines.slice(1)]],
    ['a torn line that nobody spoke of', [line(0), line(1).slice(0, 50), ...lines.slice(2)]],
    ['nothing at all', []],
  ];
  for (const [what, content] of forged) {
    await writeFile(path, content.map((each) => `${each}\n`).join(''));
    assert.notDeepEqual(await place.problems([head]), [], what);
  }
  await writeFile(path, whole);
  assert.deepEqual(await place.problems([head]), []);

  const [before, after] = [await readFile(place.path(), 'utf8'), await readdir(place.directory)];
  await rm(place.path());
  assert.match((await place.problems([head])).join(), /the last lines are missing/);
  await writeFile(place.path(), before);
  const oldest =
    after
      .filter((name) => /^audit\.log\.\d$/.test(name))
      .toSorted()
      .at(-1) ?? '';
  await rm(place.path(oldest));
  assert.match((await place.problems([head])).join(), /lines before this one are missing/);
});

test('a log that was cut while no server ran says so when one starts, and so does the verification', async () => {
  const place = new Place('audit-cut');
  {
    await using log = await place.open();
    for (let number = 0; number < 10; number += 1) await log.record(entry({ requestId: `r${number}` }));
  }
  const text = await readFile(place.path(), 'utf8');
  await writeFile(place.path(), `${text.split('\n').slice(0, 5).join('\n')}\n`);
  assert.match((await place.problems([place.heads.changes])).join(), /the last lines are missing: there were 11/);
  {
    await using log = await place.open();
    await log.record(entry());
  }
  const missing = (await linesOf(place.path())).find((line) => 'missing' in line);
  assert.equal(missing?.['missing'], 6);
  assert.deepEqual(await place.problems([place.heads.changes]), ['6: lines 6 to 11 are missing']);
});

test('a write that broke off is told by the next start, and is no problem', async () => {
  const place = new Place('audit-torn');
  for (let start = 0; start < 3; start += 1) {
    {
      await using log = await place.open();
      await log.record(entry({ requestId: `start ${start}` }));
    }
    await appendFile(place.path(), '{"time":"2026-01-01T00:00:00.000Z","requ');
    assert.deepEqual(await place.problems([place.heads.changes]), []);
  }
});

test('lines of a program that chained none are set aside, and not lost', async () => {
  const place = new Place('audit-older');
  await writeFile(place.path(), '{"time":"2026-01-01T00:00:00.000Z","requestId":"old"}\n');
  {
    await using log = await place.open();
    await log.record(entry());
  }
  assert.equal((await linesOf(place.path('audit.log.1')))[0]?.['requestId'], 'old');
  const verified = await verifySeries({
    path: place.path(),
    key: KEY,
    filesMax: 10,
    expected: [present(place.heads.changes, 'kept')],
  });
  assert.deepEqual([verified.unchainedFileCount, verified.lineCount, verified.problems], [1, 2, []]);
});

test('the oldest lines are missing when something else is in their file, however many files there are', async () => {
  const place = new Place('audit-replaced');
  place.budgets = { changes: { fileBytesMax: 2000, filesMax: 3 } };
  {
    await using log = await place.open();
    for (let number = 0; number < 40; number += 1) await log.record(entry({ requestId: `r${number}` }));
  }
  assert.deepEqual(await place.problems([place.heads.changes], 3), []);
  const oldest = present((await seriesFiles(place.path())).at(-1), 'there are three');
  await writeFile(oldest, '{"time":"2026-01-01T00:00:00.000Z","requestId":"forged"}\n');
  const [problem] = await place.problems([place.heads.changes], 3);
  assert.match(problem ?? '', /lines before this one are missing/);
});

for (const seed of [1, 2, 3]) {
  test(`starts, ends, kills and full files in any order leave a chain that is whole (seed ${seed})`, async () => {
    const random = new SeededRandom(seed);
    const place = new Place('audit-fuzz');
    place.budgets = { changes: { fileBytesMax: 3000, filesMax: 1000 } };
    const answered: string[] = [];
    for (let start = 0; start < 12; start += 1) {
      const isKilled = random.fraction() < 0.5;
      const log = await place.open();
      const count = random.below(30);
      await Promise.all(
        Array.from({ length: count }, async (_, number) => {
          const requestId = `${start}-${number}`;
          await log.record(entry({ requestId }));
          answered.push(requestId);
        }),
      );
      // A kill: what a stop would keep is not kept. The files are let go all the same.
      const { heads } = place;
      await log[Symbol.asyncDispose]();
      if (isKilled) {
        place.heads = heads;
        if (random.fraction() < 0.5) await appendFile(place.path(), '{"time":"2026'.slice(0, 1 + random.below(12)));
      }
      assert.deepEqual(await place.problems([place.heads.changes], 1000), []);
    }
    const found = new Set<unknown>();
    for (const file of await seriesFiles(place.path())) {
      for (const text of (await readFile(file, 'utf8')).split('\n')) {
        const line = parseChained(Buffer.from(text));
        if (line !== null) found.add(line.fields['requestId']);
      }
    }
    for (const requestId of answered) assert(found.has(requestId), `${requestId} was answered and is in the log`);
  });
}

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
  await root.client.form('ec2', {
    Action: 'ModifyInstanceAttribute',
    Version: '2016-11-15',
    InstanceId: 'i-0123456789abcdef0',
    Attribute: 'userData',
    Value: 'CANARY-USERDATA',
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
