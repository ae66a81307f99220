import type { CallContext, Handler } from '#api/handler.ts';
import { kmsCallOf } from '#api/kms/calls.ts';
import { findBlueprint } from '#control/blueprints.ts';
import {
  createInstances,
  INSTANCE_COUNT_MAX,
  type MachineSource,
  USER_DATA_BYTES_MAX,
} from '#control/machines/create.ts';
import { findImage } from '#control/machines/images.ts';
import { findKeyPair } from '#control/machines/key-pairs.ts';
import { refuse } from '#domain/errors.ts';
import { findInstanceType, INSTANCE_TYPE_DEFAULT } from '#domain/instance-type.ts';
import type { Image } from '#domain/image.ts';
import { findZone, zonesOf } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { clientToken } from './client-token.ts';
import { endDryRun } from './dry-run.ts';
import { instanceRefusal, invalidCombination, invalidValue, missingParameter, zoneNotFound } from './errors.ts';
import { requireImageId } from './ids.ts';
import { parseDevices } from './instance-devices.ts';
import { parseMetadataOptions } from './instance-metadata.ts';
import { DEFAULT_GROUP, groupIdOf, zoneOfSubnet } from './instance-network.ts';
import { refuseUnbuilt } from './instance-refusals.ts';
import { reservationViews } from './instance-views.ts';
import { groupNotFound } from './networks.ts';
import { parseTagsByType } from './tag-rules.ts';

type RunRequest = InputOf<'ec2', 'RunInstances'>;

export const runInstances: Handler<RunRequest, OutputOf<'ec2', 'RunInstances'>> = async (context, request) => {
  const { ports, scope } = context;
  refuseUnbuilt(request);
  const count = parseCount(request);
  const imageId = requireImageId(request.ImageId);
  const bundle = request.InstanceType ?? INSTANCE_TYPE_DEFAULT;
  if (findInstanceType(bundle) === null) throw invalidValue(`Invalid value '${bundle}' for InstanceType.`);
  const token = clientToken(request.ClientToken, context);
  const tags = parseTagsByType(request.TagSpecifications, ['instance', 'volume']);
  const zone = parseZone(context, request);
  const userData = parseUserData(request.UserData);
  const shutdownBehavior = parseShutdownBehavior(request.InstanceInitiatedShutdownBehavior ?? 'stop');
  const { image, state } = await findImage(ports, scope, imageId);
  if (state !== 'available') {
    const message = `The image ID '${imageId}' is '${state}', and no instance can be launched from it.`;
    throw instanceRefusal('InvalidAMIID.Unavailable', message);
  }
  const { system, disks } = await parseDevices(context, request.BlockDeviceMappings, image);
  if (request.KeyName !== undefined) await findKeyPair(ports, scope, request.KeyName);
  const source = await sourceOf(context, image);
  endDryRun(request);
  const { instances } = await createInstances(ports, scope, {
    face: 'ec2',
    machines: Array.from({ length: count }, () => ({ name: null, disks })),
    zone,
    bundle,
    source,
    systemVolume: system,
    volumeTags: tags.get('volume') ?? [],
    options: {
      clientToken: request.ClientToken ?? null,
      disableApiTermination: request.DisableApiTermination === true,
      disableApiStop: request.DisableApiStop === true,
      cpuCredits: parseCredits(request, bundle),
      ...(system.shownAs === undefined ? {} : { rootDevice: system.shownAs }),
      ...(request.EbsOptimized === true ? { ebsOptimized: true } : {}),
      ...(shutdownBehavior === 'stop' ? {} : { shutdownBehavior }),
    },
    ...(request.MetadataOptions === undefined
      ? {}
      : { metadataOptions: parseMetadataOptions(request.MetadataOptions) }),
    userData,
    keyPair: request.KeyName ?? null,
    addressType: 'ipv4',
    tags: tags.get('instance') ?? [],
    caller: kmsCallOf(context).caller,
    token,
    operation: null,
  });
  const [reservation] = reservationViews(instances, ports.machinePlace.address);
  return reservation ?? {};
};

/** As many as can be made, of those that are wanted. */
function parseCount({ MinCount: min, MaxCount: max }: RunRequest): number {
  if (!(min >= 1)) throw invalidValue(`Invalid value '${min}' for minCount. It must be greater than 0.`);
  if (!(max >= 1)) throw invalidValue(`Invalid value '${max}' for maxCount. It must be greater than 0.`);
  if (min > max) throw invalidCombination('MinCount may not be greater than MaxCount.');
  if (min > INSTANCE_COUNT_MAX) {
    const message = `You have requested more instances (${min}) than one request may launch: ${INSTANCE_COUNT_MAX}.`;
    throw instanceRefusal('InstanceLimitExceeded', message);
  }
  return Math.min(max, INSTANCE_COUNT_MAX);
}

/** What becomes of an instance whose guest shuts down. */
export function parseShutdownBehavior(text: string): 'stop' | 'terminate' {
  if (text === 'stop' || text === 'terminate') return text;
  throw invalidValue(`Invalid value '${text}' for instanceInitiatedShutdownBehavior.`);
}

/** By its name or id, or the subnet's; else the first of the region. The network is what every instance has. */
function parseZone({ scope }: CallContext, request: RunRequest): string {
  const { Placement: placement = {}, NetworkInterfaces: [device] = [] } = request;
  const groups = [...(request.SecurityGroupIds ?? []), ...(device?.Groups ?? [])];
  const unknown =
    groups.find((id) => id !== groupIdOf(scope)) ?? request.SecurityGroups?.find((name) => name !== DEFAULT_GROUP);
  if (unknown !== undefined) throw groupNotFound(unknown);
  const subnet = device?.SubnetId ?? request.SubnetId;
  const { AvailabilityZone: name, AvailabilityZoneId: id } = placement;
  const ofSubnet = subnet === undefined ? null : zoneOfSubnet(scope, subnet);
  if (subnet !== undefined && ofSubnet === null) {
    throw instanceRefusal('InvalidSubnetID.NotFound', `The subnet ID '${subnet}' does not exist`);
  }
  if (name !== undefined && name !== '' && findZone(scope.region, name) === null) throw zoneNotFound(name);
  const zones = zonesOf(scope.region);
  const named = name === undefined || name === '' ? zones.find((zone) => zone.id === id)?.name : name;
  if (id !== undefined && named === undefined) throw zoneNotFound(id);
  if (ofSubnet !== null && named !== undefined && named !== ofSubnet) {
    throw invalidValue(`The subnet '${subnet}' is in the availability zone ${ofSubnet}, and not in ${named}.`);
  }
  const zone = ofSubnet ?? named ?? zones[0]?.name;
  if (zone === undefined) throw missingParameter('Placement.AvailabilityZone');
  return zone;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Base64, as the request has it; null: none. */
export function parseUserData(text: string | undefined): string | null {
  if (text === undefined || text === '') return null;
  const plain = text.replaceAll(/\s+/g, '');
  if (!BASE64.test(plain) || plain.length % 4 === 1) {
    throw instanceRefusal('InvalidUserData.Malformed', 'Invalid BASE64 encoding of user data');
  }
  if (Buffer.from(plain, 'base64').length > USER_DATA_BYTES_MAX) {
    throw invalidValue(`User data is limited to ${USER_DATA_BYTES_MAX} bytes`);
  }
  return plain;
}

function parseCredits({ CreditSpecification: credit }: RunRequest, type: string): 'standard' | 'unlimited' {
  const isBurstable = findInstanceType(type)?.isBurstable === true;
  const asked = credit?.CpuCredits;
  if (asked === undefined) return isBurstable && !type.startsWith('t2.') ? 'unlimited' : 'standard';
  if (asked !== 'standard' && asked !== 'unlimited') throw invalidValue(`Invalid value '${asked}' for cpuCredits.`);
  return asked;
}

async function sourceOf({ ports }: CallContext, image: Image): Promise<MachineSource> {
  const id = image.devices[0]?.snapshot ?? null;
  const snapshot = id === null ? null : await ports.meta.read((tx) => tx.snapshots.find(id));
  if (snapshot === null) refuse({ kind: 'not-found', resource: 'blueprint', id: image.id });
  const blueprint = image.blueprint === null ? null : await findBlueprint(ports, image.blueprint);
  return {
    snapshot: snapshot.id,
    region: snapshot.region,
    blueprint: image.id,
    blueprintName: blueprint?.name ?? image.name,
    userName: image.userName,
    minimumPower: 0,
  };
}
