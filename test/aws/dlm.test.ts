import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

/** Data Lifecycle Manager's eight operations with the real `aws`. */

let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});

after(async () => {
  await server[Symbol.asyncDispose]();
});

async function dlm<T>(...words: readonly string[]): Promise<T> {
  return await server.awsJson<T>(['dlm', ...words]);
}

/** For operations that answer nothing. */
async function done(...words: readonly string[]): Promise<void> {
  const result = await server.aws(['dlm', ...words]);
  assert.equal(result.code, 0, result.stderr);
}

async function refused(...words: readonly string[]): Promise<string> {
  const result = await server.aws(['dlm', ...words]);
  assert.notEqual(result.code, 0, `refused: ${words.join(' ')}`);
  return result.stderr.trim();
}

const details = {
  ResourceTypes: ['VOLUME'],
  TargetTags: [{ Key: 'backup', Value: 'yes' }],
  Schedules: [
    {
      Name: 'nightly',
      CopyTags: true,
      TagsToAdd: [{ Key: 'kind', Value: 'nightly' }],
      CreateRule: { Interval: 24, IntervalUnit: 'HOURS', Times: ['03:00'] },
      RetainRule: { Count: 7 },
    },
  ],
};

interface Policy {
  readonly PolicyId: string;
  readonly State: string;
  readonly Description: string;
  readonly PolicyArn: string;
  readonly DateCreated: string;
  readonly DateModified: string;
  readonly PolicyDetails: typeof details & { readonly PolicyType: string };
  readonly Tags: Readonly<Record<string, string>>;
}

async function create(...more: readonly string[]): Promise<string> {
  const common = ['--description', 'every night', '--execution-role-arn', 'arn:aws:iam::123456789012:role/dlm'];
  return (await dlm<{ readonly PolicyId: string }>('create-lifecycle-policy', ...common, ...more)).PolicyId;
}

async function read(id: string): Promise<Policy> {
  return (await dlm<{ readonly Policy: Policy }>('get-lifecycle-policy', '--policy-id', id)).Policy;
}

test('a policy is created, read, listed, changed, tagged and deleted', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const id = await create('--state', 'ENABLED', '--policy-details', JSON.stringify(details), '--tags', 'owner=ops');
  assert.match(id, /^policy-[0-9a-f]{17}$/);
  const policy = await read(id);
  const { PolicyType, ...rest } = policy.PolicyDetails;
  assert.equal(PolicyType, 'EBS_SNAPSHOT_MANAGEMENT');
  assert.deepEqual(rest, { ...details, ResourceLocations: ['CLOUD'] });
  assert.deepEqual([policy.State, policy.Description, policy.Tags], ['ENABLED', 'every night', { owner: 'ops' }]);
  assert.match(policy.PolicyArn, new RegExp(`^arn:aws:dlm:us-east-1:[0-9]{12}:policy/${id}$`));
  assert.match(policy.DateCreated, /^20\d\d-\d\d-\d\dT/);

  const list = async (...words: readonly string[]): Promise<number> =>
    (await dlm<{ readonly Policies: readonly unknown[] }>('get-lifecycle-policies', ...words)).Policies.length;
  assert.equal(await list('--target-tags', 'backup=yes'), 1);
  assert.equal(await list('--target-tags', 'backup=no'), 0);
  assert.equal(await list('--tags-to-add', 'kind=nightly', '--state', 'ENABLED', '--resource-types', 'VOLUME'), 1);
  assert.equal(await list('--default-policy-type', 'ALL'), 0);

  await done('update-lifecycle-policy', '--policy-id', id, '--state', 'DISABLED', '--description', 'never');
  const changed = await read(id);
  assert.deepEqual(
    [changed.State, changed.Description, changed.DateCreated],
    ['DISABLED', 'never', policy.DateCreated],
  );

  const arn = policy.PolicyArn;
  await done('tag-resource', '--resource-arn', arn, '--tags', 'a=b');
  await done('untag-resource', '--resource-arn', arn, '--tag-keys', 'owner');
  assert.deepEqual(await dlm('list-tags-for-resource', '--resource-arn', arn), { Tags: { a: 'b' } });

  await done('delete-lifecycle-policy', '--policy-id', id);
  assert.match(await refused('get-lifecycle-policy', '--policy-id', id), /ResourceNotFoundException/);
});

test('a default policy has defaults, and wrong details are refused with a reason', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const id = await create('--state', 'DISABLED', '--default-policy', 'VOLUME', '--retain-interval', '5');
  const { PolicyDetails } = await read(id);
  assert.deepEqual(PolicyDetails, {
    PolicyType: 'EBS_SNAPSHOT_MANAGEMENT',
    PolicyLanguage: 'SIMPLIFIED',
    ResourceType: 'VOLUME',
    CreateInterval: 1,
    RetainInterval: 5,
    CopyTags: false,
    ExtendDeletion: false,
  });
  const wrong = { ...details, Schedules: [{ Name: 'x', CreateRule: { Interval: 5, IntervalUnit: 'HOURS' } }] };
  const message = await refused(
    'create-lifecycle-policy',
    '--description',
    'x',
    '--state',
    'ENABLED',
    '--execution-role-arn',
    'arn:aws:iam::123456789012:role/dlm',
    '--policy-details',
    JSON.stringify(wrong),
  );
  assert.match(message, /InvalidRequestException.*Interval is not valid: it is one of 1, 2, 3, 4, 6, 8, 12, 24 hours/);
});
