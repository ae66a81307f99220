import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '#base/clock.ts';
import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

/** Data Lifecycle Manager's eight operations with the real `aws`. */

let server: RunningServer;
let role = '';

before(async () => {
  server = await RunningServer.start();
  role = `arn:aws:iam::${server.credentials.accountId}:role/AWSDataLifecycleManagerDefaultRole`;
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
  const common = ['--description', 'every night', '--execution-role-arn', role];
  return (await dlm<{ readonly PolicyId: string }>('create-lifecycle-policy', ...common, ...more)).PolicyId;
}

async function read(id: string): Promise<Policy> {
  return (await dlm<{ readonly Policy: Policy }>('get-lifecycle-policy', '--policy-id', id)).Policy;
}

test('without its role a policy is refused; create-default-role makes the default one', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const common = ['--description', 'x', '--state', 'ENABLED', '--execution-role-arn', role];
  const message = await refused('create-lifecycle-policy', ...common, '--policy-details', JSON.stringify(details));
  assert.match(message, /InvalidRequestException.*ExecutionRoleArn is not valid: the role .* does not exist/);
  // It asks IAM, where AWS_ENDPOINT_URL says; older programs have to be told.
  const words = ['create-default-role', '--iam-endpoint', server.endpoint];
  const { Role } = await dlm<{ readonly Role: { readonly Arn: string } }>(...words);
  assert.equal(Role.Arn, role);
  await done(...words);
});

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
    role,
    '--policy-details',
    JSON.stringify(wrong),
  );
  assert.match(message, /InvalidRequestException.*Interval is not valid: it is one of 1, 2, 3, 4, 6, 8, 12, 24 hours/);
});

test('a policy copies what another account shares', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const made = await server.varve(['accounts', 'create', '--json']);
  const account = JSON.parse(made.stdout) as {
    readonly AccountId: string;
    readonly AccessKeyId: string;
    readonly SecretAccessKey: string;
  };
  const { AccountId: accountId, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey } = account;
  const env = server.environment({ accountId, accessKeyId, secretAccessKey });
  const theirs = async <T>(...words: readonly string[]): Promise<T> => await server.awsJson<T>(words, { env });
  const event = {
    PolicyType: 'EVENT_BASED_POLICY',
    EventSource: {
      Type: 'MANAGED_CWE',
      Parameters: { EventType: 'shareSnapshot', SnapshotOwner: [accountId], DescriptionRegex: '^nightly.*$' },
    },
    Actions: [
      {
        Name: 'copy',
        CrossRegionCopy: [
          {
            Target: 'eu-central-1',
            EncryptionConfiguration: { Encrypted: false },
            RetainRule: { Interval: 1, IntervalUnit: 'YEARS' },
          },
        ],
      },
    ],
  };
  const id = await create('--state', 'ENABLED', '--policy-details', JSON.stringify(event));
  assert.deepEqual((await read(id)).PolicyDetails, { ...event, ResourceLocations: ['CLOUD'] });

  const place = ['--availability-zone', 'us-east-1a', '--size', '1'];
  const { VolumeId } = await theirs<{ readonly VolumeId: string }>('ec2', 'create-volume', ...place);
  const words = ['--volume-id', VolumeId, '--description', 'nightly of theirs'];
  const { SnapshotId } = await theirs<{ readonly SnapshotId: string }>('ec2', 'create-snapshot', ...words);
  await server.aws(['ec2', 'wait', 'snapshot-completed', '--snapshot-ids', SnapshotId], { env });
  const grant = ['--operation-type', 'add', '--user-ids', server.credentials.accountId];
  const attribute = ['--snapshot-id', SnapshotId, '--attribute', 'createVolumePermission', ...grant];
  const shared = await server.aws(['ec2', 'modify-snapshot-attribute', ...attribute], { env });
  assert.equal(shared.code, 0, shared.stderr);

  const deadline = performance.now() + 60_000;
  for (;;) {
    const listed = ['ec2', 'describe-snapshots', '--region', 'eu-central-1', '--owner-ids', 'self'];
    const { Snapshots: all } = await server.awsJson<Snapshots>(listed);
    if (all.length === 1 && all[0]?.State === 'completed') break;
    assert.ok(performance.now() < deadline, `${all.length} copies`);
    await sleep(3000);
  }
  await done('delete-lifecycle-policy', '--policy-id', id);

  const images = { ...event, PolicyType: 'IMAGE_MANAGEMENT' };
  const common = ['--description', 'x', '--state', 'ENABLED', '--execution-role-arn', role];
  const message = await refused('create-lifecycle-policy', ...common, '--policy-details', JSON.stringify(images));
  assert.match(message, /InvalidRequestException.*does not support the policy type IMAGE_MANAGEMENT/);
});

/** Everything that may follow the making of a snapshot. */
function followed(cron: string): unknown {
  return {
    ResourceTypes: ['VOLUME'],
    TargetTags: [{ Key: 'follow', Value: 'yes' }],
    Schedules: [
      {
        Name: 'followed',
        CopyTags: true,
        CreateRule: { CronExpression: cron },
        RetainRule: { Count: 2 },
        FastRestoreRule: { Count: 1, AvailabilityZones: ['us-east-1a'] },
        CrossRegionCopyRules: [
          {
            TargetRegion: 'eu-west-1',
            Encrypted: true,
            CopyTags: true,
            RetainRule: { Interval: 1, IntervalUnit: 'MONTHS' },
          },
        ],
        ShareRules: [{ TargetAccounts: ['999999999999'], UnshareInterval: 3, UnshareIntervalUnit: 'DAYS' }],
      },
      {
        Name: 'archived',
        CreateRule: { CronExpression: 'cron(10 17 1 * ? *)' },
        RetainRule: { Interval: 1, IntervalUnit: 'MONTHS' },
        ArchiveRule: { RetainRule: { RetentionArchiveTier: { Interval: 1, IntervalUnit: 'YEARS' } } },
      },
    ],
  };
}

interface Snapshots {
  readonly Snapshots: readonly {
    readonly SnapshotId: string;
    readonly State: string;
    readonly Encrypted: boolean;
    readonly Tags: readonly { readonly Key: string; readonly Value: string }[];
  }[];
}

test('what follows a snapshot: it is copied, shared and kept ready', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const place = ['--availability-zone', 'us-east-1a', '--size', '1'];
  const tags = 'ResourceType=volume,Tags=[{Key=follow,Value=yes}]';
  await server.awsJson(['ec2', 'create-volume', ...place, '--tag-specifications', tags]);
  // Policies make snapshots once an hour at most; this one in a minute that begins in ten seconds or more.
  const minute = new Date(systemClock.nowMs() + 70_000).getUTCMinutes();
  const given = followed(`cron(${minute} * * * ? *)`);
  const id = await create('--state', 'ENABLED', '--policy-details', JSON.stringify(given));
  const { PolicyType: _type, ...shown } = (await read(id)).PolicyDetails;
  assert.deepEqual(shown, { ...(given as object), ResourceLocations: ['CLOUD'] }, 'it is read as it was written');

  const deadline = performance.now() + 150_000;
  const until = async <T>(what: string, look: () => Promise<T | null>): Promise<T> => {
    for (let found = await look(); ; found = await look()) {
      if (found !== null) return found;
      assert.ok(performance.now() < deadline, what);
      await sleep(3000); // Each look is a start of aws.
    }
  };
  const filter = ['--filters', `Name=tag:aws:dlm:lifecycle-policy-id,Values=${id}`, 'Name=status,Values=completed'];
  const made = async (region: string): Promise<Snapshots['Snapshots'][number] | null> => {
    const words = ['ec2', 'describe-snapshots', '--region', region, '--owner-ids', 'self', ...filter];
    return (await server.awsJson<Snapshots>(words)).Snapshots[0] ?? null;
  };
  const snapshot = await until('a snapshot is made', () => made('us-east-1'));
  const copy = await until('it is copied', () => made('eu-west-1'));
  assert.equal(copy.Encrypted, true);
  assert.ok(copy.Tags.some(({ Key, Value }) => Key === 'follow' && Value === 'yes'));
  const attribute = ['--snapshot-id', snapshot.SnapshotId, '--attribute', 'createVolumePermission'];
  await until('it is shared', async () => {
    const { CreateVolumePermissions: all } = await server.awsJson<{
      readonly CreateVolumePermissions: readonly { readonly UserId: string }[];
    }>(['ec2', 'describe-snapshot-attribute', ...attribute]);
    return all.some(({ UserId }) => UserId === '999999999999') ? all : null;
  });
  await until('it is ready', async () => {
    const { FastSnapshotRestores: all } = await server.awsJson<{
      readonly FastSnapshotRestores: readonly { readonly SnapshotId: string; readonly State: string }[];
    }>(['ec2', 'describe-fast-snapshot-restores']);
    return all.find(({ SnapshotId, State }) => SnapshotId === snapshot.SnapshotId && State === 'enabled') ?? null;
  });
  await done('delete-lifecycle-policy', '--policy-id', id);
});
