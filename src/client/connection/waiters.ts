/** What `wait` can wait for, as the AWS command line knows it: which operation to ask, how often, and what its replies mean. */
import type { ServiceName } from '#wire/aws/operations.ts';

/** What ends the waiting, or lets an error pass. The first of a waiter that matches a reply counts. */
export type Acceptor = { readonly state: 'success' | 'failure' | 'retry' } & (
  | { readonly matcher: 'pathAll' | 'pathAny'; readonly argument: string; readonly expected: string }
  | { readonly matcher: 'path'; readonly argument: string; readonly expected: boolean }
  /** Status of the HTTP reply. */
  | { readonly matcher: 'status'; readonly expected: number }
  /** Code of an error of the service. */
  | { readonly matcher: 'error'; readonly expected: string }
);

export interface Waiter {
  readonly operation: string;
  readonly delaySeconds: number;
  readonly attemptsMax: number;
  readonly acceptors: readonly Acceptor[];
}

/** Names of the waiters of a service, sorted; empty where it has none. */
export function waiterNames(service: ServiceName): readonly string[] {
  return Object.keys(waiters[service] ?? {}).toSorted();
}

/** Null: the service has no such waiter. `name` as in SnapshotCompleted. */
export function waiterOf(service: ServiceName, name: string): Waiter | null {
  const known = waiters[service] ?? {};
  return (Object.hasOwn(known, name) ? known[name] : undefined) ?? null;
}

type State = Acceptor['state'];

const all = (state: State, argument: string, expected: string): Acceptor => ({
  state,
  matcher: 'pathAll',
  argument,
  expected,
});
const any = (state: State, argument: string, expected: string): Acceptor => ({
  state,
  matcher: 'pathAny',
  argument,
  expected,
});
const path = (state: State, argument: string, expected: boolean): Acceptor => ({
  state,
  matcher: 'path',
  argument,
  expected,
});
const status = (state: State, expected: number): Acceptor => ({ state, matcher: 'status', expected });
const error = (state: State, expected: string): Acceptor => ({ state, matcher: 'error', expected });

function asking(
  operation: string,
  every: { readonly seconds: number; readonly times: number },
  ...acceptors: readonly Acceptor[]
): Waiter {
  return { operation, delaySeconds: every.seconds, attemptsMax: every.times, acceptors };
}

const waiters: Readonly<Partial<Record<ServiceName, Readonly<Record<string, Waiter>>>>> = {
  ec2: {
    ConversionTaskCancelled: asking(
      'DescribeConversionTasks',
      { seconds: 15, times: 40 },
      all('success', 'ConversionTasks[].State', 'cancelled'),
    ),
    ConversionTaskCompleted: asking(
      'DescribeConversionTasks',
      { seconds: 15, times: 40 },
      all('success', 'ConversionTasks[].State', 'completed'),
      any('failure', 'ConversionTasks[].State', 'cancelled'),
      any('failure', 'ConversionTasks[].State', 'cancelling'),
    ),
    ConversionTaskDeleted: asking(
      'DescribeConversionTasks',
      { seconds: 15, times: 40 },
      all('success', 'ConversionTasks[].State', 'deleted'),
    ),
    ExportTaskCancelled: asking(
      'DescribeExportTasks',
      { seconds: 15, times: 40 },
      all('success', 'ExportTasks[].State', 'cancelled'),
    ),
    ExportTaskCompleted: asking(
      'DescribeExportTasks',
      { seconds: 15, times: 40 },
      all('success', 'ExportTasks[].State', 'completed'),
    ),
    ImageAvailable: asking(
      'DescribeImages',
      { seconds: 15, times: 40 },
      all('success', 'Images[].State', 'available'),
      any('failure', 'Images[].State', 'failed'),
    ),
    ImageExists: asking(
      'DescribeImages',
      { seconds: 15, times: 40 },
      path('success', 'length(Images[]) > `0`', true),
      error('retry', 'InvalidAMIID.NotFound'),
    ),
    InstanceExists: asking(
      'DescribeInstances',
      { seconds: 5, times: 40 },
      path('success', 'length(Reservations[]) > `0`', true),
      error('retry', 'InvalidInstanceID.NotFound'),
    ),
    InstanceRunning: asking(
      'DescribeInstances',
      { seconds: 15, times: 40 },
      all('success', 'Reservations[].Instances[].State.Name', 'running'),
      any('failure', 'Reservations[].Instances[].State.Name', 'shutting-down'),
      any('failure', 'Reservations[].Instances[].State.Name', 'terminated'),
      any('failure', 'Reservations[].Instances[].State.Name', 'stopping'),
      error('retry', 'InvalidInstanceID.NotFound'),
    ),
    InstanceStatusOk: asking(
      'DescribeInstanceStatus',
      { seconds: 15, times: 40 },
      all('success', 'InstanceStatuses[].InstanceStatus.Status', 'ok'),
      error('retry', 'InvalidInstanceID.NotFound'),
    ),
    InstanceStopped: asking(
      'DescribeInstances',
      { seconds: 15, times: 40 },
      all('success', 'Reservations[].Instances[].State.Name', 'stopped'),
      any('failure', 'Reservations[].Instances[].State.Name', 'pending'),
      any('failure', 'Reservations[].Instances[].State.Name', 'terminated'),
    ),
    InstanceTerminated: asking(
      'DescribeInstances',
      { seconds: 15, times: 40 },
      all('success', 'Reservations[].Instances[].State.Name', 'terminated'),
      any('failure', 'Reservations[].Instances[].State.Name', 'pending'),
      any('failure', 'Reservations[].Instances[].State.Name', 'stopping'),
    ),
    InternetGatewayExists: asking(
      'DescribeInternetGateways',
      { seconds: 5, times: 6 },
      path('success', 'length(InternetGateways[].InternetGatewayId) > `0`', true),
      error('retry', 'InvalidInternetGateway.NotFound'),
    ),
    KeyPairExists: asking(
      'DescribeKeyPairs',
      { seconds: 5, times: 6 },
      path('success', 'length(KeyPairs[].KeyName) > `0`', true),
      error('retry', 'InvalidKeyPair.NotFound'),
    ),
    NetworkInterfaceAvailable: asking(
      'DescribeNetworkInterfaces',
      { seconds: 20, times: 10 },
      all('success', 'NetworkInterfaces[].Status', 'available'),
      error('failure', 'InvalidNetworkInterfaceID.NotFound'),
    ),
    PasswordDataAvailable: asking(
      'GetPasswordData',
      { seconds: 15, times: 40 },
      path('success', 'length(PasswordData) > `0`', true),
    ),
    SecurityGroupExists: asking(
      'DescribeSecurityGroups',
      { seconds: 5, times: 6 },
      path('success', 'length(SecurityGroups[].GroupId) > `0`', true),
      error('retry', 'InvalidGroup.NotFound'),
    ),
    SnapshotCompleted: asking(
      'DescribeSnapshots',
      { seconds: 15, times: 40 },
      all('success', 'Snapshots[].State', 'completed'),
      any('failure', 'Snapshots[].State', 'error'),
    ),
    SnapshotImported: asking(
      'DescribeImportSnapshotTasks',
      { seconds: 15, times: 40 },
      all('success', 'ImportSnapshotTasks[].SnapshotTaskDetail.Status', 'completed'),
      any('failure', 'ImportSnapshotTasks[].SnapshotTaskDetail.Status', 'error'),
    ),
    StoreImageTaskComplete: asking(
      'DescribeStoreImageTasks',
      { seconds: 5, times: 40 },
      all('success', 'StoreImageTaskResults[].StoreTaskState', 'Completed'),
      any('failure', 'StoreImageTaskResults[].StoreTaskState', 'Failed'),
      any('retry', 'StoreImageTaskResults[].StoreTaskState', 'InProgress'),
    ),
    SubnetAvailable: asking(
      'DescribeSubnets',
      { seconds: 15, times: 40 },
      all('success', 'Subnets[].State', 'available'),
    ),
    SystemStatusOk: asking(
      'DescribeInstanceStatus',
      { seconds: 15, times: 40 },
      all('success', 'InstanceStatuses[].SystemStatus.Status', 'ok'),
    ),
    VolumeAvailable: asking(
      'DescribeVolumes',
      { seconds: 15, times: 40 },
      all('success', 'Volumes[].State', 'available'),
      any('failure', 'Volumes[].State', 'deleted'),
    ),
    VolumeDeleted: asking(
      'DescribeVolumes',
      { seconds: 15, times: 40 },
      all('success', 'Volumes[].State', 'deleted'),
      error('success', 'InvalidVolume.NotFound'),
    ),
    VolumeInUse: asking(
      'DescribeVolumes',
      { seconds: 15, times: 40 },
      all('success', 'Volumes[].State', 'in-use'),
      any('failure', 'Volumes[].State', 'deleted'),
    ),
    VpcAvailable: asking('DescribeVpcs', { seconds: 15, times: 40 }, all('success', 'Vpcs[].State', 'available')),
    VpcExists: asking(
      'DescribeVpcs',
      { seconds: 1, times: 5 },
      status('success', 200),
      error('retry', 'InvalidVpcID.NotFound'),
    ),
  },
  iam: {
    PolicyExists: asking(
      'GetPolicy',
      { seconds: 1, times: 20 },
      status('success', 200),
      error('retry', 'NoSuchEntity'),
    ),
    RoleExists: asking('GetRole', { seconds: 1, times: 20 }, status('success', 200), error('retry', 'NoSuchEntity')),
    UserExists: asking('GetUser', { seconds: 1, times: 20 }, status('success', 200), error('retry', 'NoSuchEntity')),
  },
};
