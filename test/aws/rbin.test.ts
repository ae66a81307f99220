import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

/** Recycle Bin's ten operations with the real `aws`. */

let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});

after(async () => {
  await server[Symbol.asyncDispose]();
});

interface Rule {
  readonly Identifier: string;
  readonly RuleArn: string;
  readonly Status: string;
  readonly Description?: string;
  readonly LockState?: string;
  readonly LockEndTime?: string;
  readonly RetentionPeriod: { readonly RetentionPeriodValue: number };
  readonly ResourceTags: readonly unknown[];
  readonly Tags?: readonly { readonly Key: string; readonly Value: string }[];
}

async function rbin<T>(...words: readonly string[]): Promise<T> {
  return await server.awsJson<T>(['rbin', ...words]);
}

const period = (days: number): readonly string[] => [
  '--retention-period',
  `RetentionPeriodValue=${days},RetentionPeriodUnit=DAYS`,
];

/** For operations that answer nothing. */
async function done(...words: readonly string[]): Promise<void> {
  const result = await server.aws(['rbin', ...words]);
  assert.equal(result.code, 0, result.stderr);
}

async function refused(...words: readonly string[]): Promise<string> {
  const result = await server.aws(['rbin', ...words]);
  assert.notEqual(result.code, 0, `refused: ${words.join(' ')}`);
  return result.stderr.trim();
}

test('a rule is created, read, changed, tagged, listed and deleted', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const rule = await rbin<Rule>(
    'create-rule',
    '--resource-type',
    'EBS_SNAPSHOT',
    ...period(14),
    '--description',
    'keep what is tagged',
    '--resource-tags',
    'ResourceTagKey=purpose,ResourceTagValue=production',
    '--tags',
    'Key=owner,Value=ops',
  );
  assert.match(rule.Identifier, /^[0-9a-zA-Z]{11}$/);
  assert.match(rule.RuleArn, /^arn:aws:rbin:us-east-1:[0-9]{12}:rule\/[0-9a-zA-Z]{11}$/);
  assert.deepEqual(rule.Tags, [{ Key: 'owner', Value: 'ops' }]);

  const { Identifier: id, RuleArn: arn } = rule;
  const read = await rbin<Rule>('get-rule', '--identifier', id);
  assert.deepEqual([read.Status, read.Description, read.LockState], ['available', 'keep what is tagged', undefined]);
  const changed = await rbin<Rule>('update-rule', '--identifier', id, ...period(30));
  assert.deepEqual([changed.RetentionPeriod.RetentionPeriodValue, changed.ResourceTags.length], [30, 1]);

  await done('tag-resource', '--resource-arn', arn, '--tags', 'Key=a,Value=b');
  await done('untag-resource', '--resource-arn', arn, '--tag-keys', 'owner');
  assert.deepEqual(await rbin('list-tags-for-resource', '--resource-arn', arn), { Tags: [{ Key: 'a', Value: 'b' }] });

  const list = await rbin<{ readonly Rules: readonly Rule[] }>('list-rules', '--resource-type', 'EBS_SNAPSHOT');
  assert.deepEqual(
    list.Rules.map(({ Identifier }) => Identifier),
    [id],
  );
  await done('delete-rule', '--identifier', id);
  assert.match(await refused('get-rule', '--identifier', id), /ResourceNotFoundException.*does not exist/);
});

test('a rule of the Region can be locked, and is then refused to be changed', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const rule = await rbin<Rule>('create-rule', '--resource-type', 'EBS_VOLUME', ...period(7));
  const { Identifier: id } = rule;
  const delay = ['--lock-configuration', 'UnlockDelay={UnlockDelayValue=7,UnlockDelayUnit=DAYS}'];
  assert.equal((await rbin<Rule>('lock-rule', '--identifier', id, ...delay)).LockState, 'locked');
  assert.match(await refused('delete-rule', '--identifier', id), /ConflictException/);
  const unlocked = await rbin<Rule>('unlock-rule', '--identifier', id);
  assert.equal(unlocked.LockState, 'pending_unlock');
  assert.ok(unlocked.LockEndTime !== undefined);
  assert.match(await refused('update-rule', '--identifier', id, ...period(3)), /ConflictException/);
  assert.match(
    await refused('create-rule', '--resource-type', 'EBS_VOLUME', ...period(8)),
    /ValidationException.*kept for 1 to 7 days/,
  );
  assert.match(
    await refused('list-rules', '--resource-type', 'EBS_VOLUME', '--next-token', 'bm90IG9uZQ=='),
    /ValidationException.*token/,
  );
});
