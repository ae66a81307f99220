import type { Handler } from '#api/handler.ts';
import { changeInstance, type ChangeInstance } from '#control/machines/change.ts';
import { findInstance } from '#control/machines/records.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import { findInstanceType } from '#domain/instance-type.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import {
  instanceRefusal,
  invalidCombination,
  invalidParameter,
  invalidValue,
  missingParameter,
  unsupportedRequest,
} from './errors.ts';
import { requireInstanceId } from './ids.ts';
import { parseShutdownBehavior, parseUserData } from './instance-creation.ts';
import { DEFAULT_GROUP, groupIdOf } from './instance-network.ts';
import { deviceViews } from './instance-views.ts';
import { groupNotFound } from './networks.ts';
import { attachmentAt, rootNameOf } from './root-volume.ts';

type AttributeView = OutputOf<'ec2', 'DescribeInstanceAttribute'>;
type ModifyRequest = InputOf<'ec2', 'ModifyInstanceAttribute'>;

const VIEWS: ReadonlyMap<string, (instance: Instance) => AttributeView> = new Map<
  string,
  (instance: Instance) => AttributeView
>([
  ['blockDeviceMapping', (one) => ({ BlockDeviceMappings: deviceViews(one) })],
  ['disableApiStop', ({ options }) => ({ DisableApiStop: { Value: options.disableApiStop } })],
  ['disableApiTermination', ({ options }) => ({ DisableApiTermination: { Value: options.disableApiTermination } })],
  ['ebsOptimized', ({ options }) => ({ EbsOptimized: { Value: options.ebsOptimized === true } })],
  ['enaSupport', () => ({ EnaSupport: { Value: true } })],
  ['enclaveOptions', () => ({ EnclaveOptions: { Enabled: false } })],
  ['groupSet', (one) => ({ Groups: [{ GroupId: groupIdOf(one), GroupName: DEFAULT_GROUP }] })],
  [
    'instanceInitiatedShutdownBehavior',
    ({ options }) => ({ InstanceInitiatedShutdownBehavior: { Value: options.shutdownBehavior ?? 'stop' } }),
  ],
  ['instanceType', ({ bundle }) => ({ InstanceType: { Value: bundle } })],
  ['kernel', () => ({ KernelId: {} })],
  ['productCodes', () => ({ ProductCodes: [] })],
  ['ramdisk', () => ({ RamdiskId: {} })],
  ['rootDeviceName', (one) => ({ RootDeviceName: { Value: rootNameOf(one) } })],
  ['sourceDestCheck', () => ({ SourceDestCheck: { Value: true } })],
  ['sriovNetSupport', () => ({ SriovNetSupport: {} })],
  ['userData', ({ userData }) => ({ UserData: userData === null ? {} : { Value: userData } })],
]);

export const describeInstanceAttribute: Handler<
  InputOf<'ec2', 'DescribeInstanceAttribute'>,
  OutputOf<'ec2', 'DescribeInstanceAttribute'>
> = async ({ ports, scope }, request) => {
  const id = requireInstanceId(request.InstanceId);
  const view = VIEWS.get(request.Attribute);
  if (view === undefined) throw invalidParameter('attribute', request.Attribute, 'Unknown attribute.');
  const instance = await findInstance(ports, scope, id);
  endDryRun(request);
  return { InstanceId: id, ...view(instance) };
};

/** AWS changes one attribute in a request. */
export const modifyInstanceAttribute: Handler<ModifyRequest, OutputOf<'ec2', 'ModifyInstanceAttribute'>> = async (
  { ports, scope },
  request,
) => {
  const id = requireInstanceId(request.InstanceId);
  const instance = await findInstance(ports, scope, id);
  const change = parseChange(instance, request);
  const mustRest =
    change.size !== undefined || change.userData !== undefined || change.options?.ebsOptimized !== undefined;
  if (mustRest && instance.state !== 'stopped') {
    throw instanceRefusal('IncorrectInstanceState', `The instance '${id}' is not in the 'stopped' state.`);
  }
  endDryRun(request);
  await changeInstance(ports, scope, id, change);
  return {};
};

function parseChange(instance: Instance, request: ModifyRequest): ChangeInstance {
  const { Attribute: name, Value: value } = request;
  const changes: ChangeInstance[] = [];
  const flag = (attribute: string, structured: boolean | undefined): boolean | undefined =>
    name === attribute ? parseFlag(attribute, value) : structured;
  const termination = flag('disableApiTermination', request.DisableApiTermination?.Value);
  if (termination !== undefined) changes.push({ options: { disableApiTermination: termination } });
  const stop = flag('disableApiStop', request.DisableApiStop?.Value);
  if (stop !== undefined) changes.push({ options: { disableApiStop: stop } });
  const ebsOptimized = flag('ebsOptimized', request.EbsOptimized?.Value);
  if (ebsOptimized !== undefined) changes.push({ options: { ebsOptimized } });
  const behavior =
    name === 'instanceInitiatedShutdownBehavior' ? value : request.InstanceInitiatedShutdownBehavior?.Value;
  if (behavior !== undefined) changes.push({ options: { shutdownBehavior: parseShutdownBehavior(behavior) } });
  const type = name === 'instanceType' ? value : request.InstanceType?.Value;
  if (type !== undefined) changes.push(parseType(type));
  const userData = name === 'userData' ? parseUserData(value) : bytesOf(request.UserData?.Value);
  if (userData !== undefined) changes.push({ userData });
  const mappings = request.BlockDeviceMappings ?? [];
  if (mappings.length > 0) changes.push({ deleteOnTermination: parseMappings(instance, mappings) });
  changes.push(...parseFixed(instance, request));
  const [change, second] = changes;
  if (change === undefined) throw missingParameter('Attribute');
  if (second !== undefined) throw invalidCombination('Only one attribute can be modified in a request.');
  return change;
}

function parseFlag(attribute: string, value: string | undefined): boolean {
  if (value !== 'true' && value !== 'false') {
    throw invalidParameter(attribute, value ?? '', "Expected: 'true' or 'false'.");
  }
  return value === 'true';
}

function bytesOf(bytes: Uint8Array | undefined): string | null | undefined {
  return bytes === undefined ? undefined : parseUserData(Buffer.from(bytes).toString('base64'));
}

function parseType(id: string): ChangeInstance {
  const type = findInstanceType(id);
  if (type === null) throw invalidValue(`Invalid value '${id}' for InstanceType.`);
  return { size: { bundle: type.id, cpuCount: type.cpuCount, memoryMib: type.memoryMib } };
}

function parseMappings(
  instance: Instance,
  mappings: NonNullable<ModifyRequest['BlockDeviceMappings']>,
): ReadonlyMap<VolumeId, boolean> {
  const goes = new Map<VolumeId, boolean>();
  for (const { DeviceName: device, Ebs: ebs } of mappings) {
    const attachment = attachmentAt(instance, device ?? '');
    if (attachment === null) {
      const message = `No device is currently mapped at ${device ?? ''}`;
      throw instanceRefusal('InvalidInstanceAttributeValue', message);
    }
    if (ebs?.DeleteOnTermination !== undefined) goes.set(attachment.volume, ebs.DeleteOnTermination);
  }
  return goes;
}

/** What no instance here can be otherwise: saying so changes nothing, and anything else is refused. */
function parseFixed(instance: Instance, request: ModifyRequest): readonly ChangeInstance[] {
  const { Attribute: name, Value: value } = request;
  const { Groups: groups } = request;
  if (groups !== undefined && groups.length > 0) {
    const other = groups.find((id) => id !== groupIdOf(instance));
    if (other !== undefined) throw groupNotFound(other);
    return [{}];
  }
  const fixed: readonly (readonly [string, string | undefined, string])[] = [
    ['sourceDestCheck', textOf(name === 'sourceDestCheck' ? value : request.SourceDestCheck?.Value), 'true'],
    ['enaSupport', textOf(name === 'enaSupport' ? value : request.EnaSupport?.Value), 'true'],
    ['kernel', name === 'kernel' ? value : request.Kernel?.Value, ''],
    ['ramdisk', name === 'ramdisk' ? value : request.Ramdisk?.Value, ''],
    ['sriovNetSupport', name === 'sriovNetSupport' ? value : request.SriovNetSupport?.Value, ''],
    ['enclaveOptions', textOf(request.EnclaveOptions?.Enabled), 'false'],
  ];
  return fixed.flatMap(([attribute, asked, only]) => {
    if (asked === undefined) return [];
    if (asked !== only) {
      throw unsupportedRequest(`The attribute ${attribute} of instances of this server is always '${only}'.`);
    }
    return [{}];
  });
}

function textOf(value: boolean | string | undefined): string | undefined {
  return value === undefined ? undefined : String(value);
}
