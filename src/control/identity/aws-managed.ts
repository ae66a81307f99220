import type { PolicyRecord } from './records.ts';

/** When AWS made most of them; nothing depends on it. */
const CREATED_AT_MS = Date.UTC(2015, 1, 6, 18, 39, 46);

const read = (service: string): readonly string[] => [`${service}:Describe*`, `${service}:Get*`, `${service}:List*`];

/** Name, path, description and what it allows. */
const POLICIES: readonly (readonly [string, string, string, readonly string[]])[] = [
  ['AdministratorAccess', '/', 'Provides full access to all services and resources.', ['*']],
  ['AmazonEC2FullAccess', '/', 'Provides full access to volumes, snapshots and instances.', ['ec2:*']],
  ['AmazonEC2ReadOnlyAccess', '/', 'Provides read only access to volumes, snapshots and instances.', read('ec2')],
  ['IAMFullAccess', '/', 'Provides full access to users, roles and policies.', ['iam:*']],
  [
    'IAMReadOnlyAccess',
    '/',
    'Provides read only access to users, roles and policies.',
    [...read('iam').slice(1), 'iam:Simulate*'],
  ],
  [
    'ReadOnlyAccess',
    '/',
    'Provides read only access to all services; the bytes of snapshots are not readable with it.',
    [
      ...['ec2', 'dlm', 'rbin', 'kms', 'iam', 'lightsail'].flatMap(read),
      'sts:GetAccessKeyInfo',
      'sts:GetCallerIdentity',
      'sts:GetSessionToken',
    ],
  ],
  [
    'AWSDataLifecycleManagerServiceRole',
    '/service-role/',
    'Provides the permissions of snapshot lifecycle policies.',
    [
      'ec2:CreateSnapshot',
      'ec2:CreateSnapshots',
      'ec2:DeleteSnapshot',
      'ec2:DescribeVolumes',
      'ec2:DescribeInstances',
      'ec2:DescribeSnapshots',
      'ec2:EnableFastSnapshotRestores',
      'ec2:DescribeFastSnapshotRestores',
      'ec2:DisableFastSnapshotRestores',
      'ec2:CopySnapshot',
      'ec2:ModifySnapshotAttribute',
      'ec2:DescribeSnapshotAttribute',
      'ec2:ModifySnapshotTier',
      'ec2:DescribeSnapshotTierStatus',
      'ec2:CreateTags',
    ],
  ],
];

/** The managed policies of AWS that mean something here, by ARN. */
export const AWS_MANAGED: ReadonlyMap<string, PolicyRecord> = new Map(
  POLICIES.map(([name, path, description, actions]) => [
    `arn:aws:iam::aws:policy${path}${name}`,
    {
      id: `ANPA${name
        .toUpperCase()
        .replace(/[^A-Z]/g, '')
        .padEnd(17, 'A')
        .slice(0, 17)}`,
      name,
      path,
      description,
      createdAtMs: CREATED_AT_MS,
      updatedAtMs: CREATED_AT_MS,
      tags: [],
      versions: [
        {
          number: 1,
          document: JSON.stringify({
            Version: '2012-10-17',
            Statement: [{ Effect: 'Allow', Action: actions.length === 1 ? actions[0] : actions, Resource: '*' }],
          }),
          createdAtMs: CREATED_AT_MS,
          madeBy: null,
        },
      ],
      defaultVersion: 1,
      lastVersion: 1,
      madeBy: null,
    },
  ]),
);
