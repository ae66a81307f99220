/** The services that the command line knows. */
import type { ServiceName } from '#wire/aws/operations.ts';

/** What a service is for, in a few words. */
export const SERVICES: Readonly<Record<ServiceName, string>> = {
  dlm: 'policies that make snapshots on a schedule and delete old ones',
  ebs: 'the blocks of snapshots, read and written directly',
  ec2: 'volumes, snapshots, images and instances',
  iam: 'users, roles and what they may do',
  kms: 'the keys that volumes and snapshots are encrypted with',
  lightsail: 'disks, instances and their snapshots',
  rbin: 'how long deleted snapshots and images can be restored',
  sts: 'who is calling, and credentials for a while',
};
