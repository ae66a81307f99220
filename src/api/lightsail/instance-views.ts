import { type Blueprint as DomainBlueprint } from '#domain/blueprint.ts';
import { type Bundle as DomainBundle, findBundle } from '#domain/bundle.ts';
import type { VolumeId } from '#domain/ids.ts';
import {
  type Attachment,
  type Instance as DomainInstance,
  DEFAULT_METADATA_OPTIONS,
  INSTANCE_STATE_CODE,
  type OpenPorts,
  SYSTEM_DEVICE,
  stateShown,
} from '#domain/instance.ts';
import type { KeyPair as DomainKeyPair } from '#domain/key-pair.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { DEFAULT_KEY_PAIR_NAME, type OpenDefaultKeyPair } from '#control/machines/key-pairs.ts';
import type { StaticIpSeen } from '#control/machines/static-ips.ts';
import type {
  Blueprint,
  Bundle,
  Disk,
  Instance,
  InstancePortInfo,
  InstancePortState,
  InstanceState,
  KeyPair,
  StaticIp,
} from '#wire/aws/models/lightsail.ts';
import { instanceArn, keyPairArn, staticIpArn } from './arn.ts';
import { ALL_ZONES, diskIops, location, tagViews } from './views.ts';

const MIB_PER_GB = 1024;

export function bundleView(bundle: DomainBundle): Bundle {
  return {
    bundleId: bundle.id,
    name: bundle.name,
    instanceType: bundle.id.slice(0, bundle.id.indexOf('_')),
    isActive: bundle.isActive,
    price: bundle.priceUsd,
    cpuCount: bundle.cpuCount,
    ramSizeInGb: bundle.memoryMib / MIB_PER_GB,
    diskSizeInGb: bundle.diskGib,
    transferPerMonthInGb: bundle.transferGb,
    power: bundle.power,
    supportedPlatforms: [...bundle.platforms],
    publicIpv4AddressCount: 1,
  };
}

export function blueprintView(blueprint: DomainBlueprint): Blueprint {
  return {
    blueprintId: blueprint.id,
    name: blueprint.name,
    group: blueprint.group,
    type: blueprint.type,
    description: blueprint.description,
    isActive: blueprint.isActive,
    minPower: blueprint.minimumPower,
    version: blueprint.version,
    versionCode: '1',
    platform: blueprint.platform,
  };
}

/** Without its add-ons. `address`: where machines that have no address of their own are reached. */
export function instanceView(
  instance: DomainInstance,
  volumes: ReadonlyMap<VolumeId, Volume>,
  address: string,
): Instance {
  const bundle = findBundle(instance.bundle);
  const runs = instance.state === 'running';
  return {
    ...(instance.name === null ? {} : { name: instance.name }),
    arn: instanceArn(instance, instance.id),
    supportCode: `${instance.account}/${instance.id}`,
    createdAt: new Date(instance.createdAtMs),
    location: location(instance, instance.zone),
    resourceType: 'Instance',
    tags: tagViews(instance.tags),
    blueprintId: instance.blueprint,
    blueprintName: instance.blueprintName,
    bundleId: instance.bundle,
    isStaticIp: instance.staticIp !== null,
    ...(runs || instance.staticIp !== null ? { publicIpAddress: instance.address ?? address } : {}),
    ...(runs ? { privateIpAddress: GUEST_ADDRESS } : {}),
    ipv6Addresses: [],
    ipAddressType: instance.addressType,
    hardware: {
      cpuCount: instance.cpuCount,
      ramSizeInGb: instance.memoryMib / MIB_PER_GB,
      disks: instance.attachments.map((one) => attachedView(instance, one, volumes.get(one.volume) ?? null)),
    },
    networking: {
      ...(bundle === null ? {} : { monthlyTransfer: { gbPerMonthAllocated: bundle.transferGb } }),
      ports: instance.openPorts.map(portView),
    },
    state: stateView(instance),
    username: instance.userName,
    sshKeyName: instance.keyPair ?? DEFAULT_KEY_PAIR_NAME,
    metadataOptions: metadataView(instance),
  };
}

/** Machines are not told of themselves over HTTP, but by their seed: what clients set is kept. */
function metadataView({ metadataOptions }: DomainInstance): NonNullable<Instance['metadataOptions']> {
  const { instanceTags: _, ...options } = metadataOptions ?? DEFAULT_METADATA_OPTIONS;
  return { state: 'applied', ...options };
}

/** What QEMU's user-mode network gives to the one guest that it has (QEMU's manual, network emulation). */
const GUEST_ADDRESS = '10.0.2.15';

export function stateView(instance: DomainInstance): InstanceState {
  const state = stateShown(instance);
  return { code: INSTANCE_STATE_CODE[state], name: state };
}

/** A disk as its machine shows it. */
function attachedView(instance: DomainInstance, attachment: Attachment, volume: Volume | null): Disk {
  return {
    ...(volume === null || volume.name === null ? {} : { name: volume.name }),
    createdAt: new Date(volume?.createdAtMs ?? attachment.attachedAtMs),
    ...(volume === null ? {} : { sizeInGb: volume.sizeGib, iops: volume.iops ?? diskIops(volume.sizeGib) }),
    isSystemDisk: attachment.device === SYSTEM_DEVICE,
    path: attachment.device,
    attachedTo: instance.name ?? instance.id,
    attachmentState: attachment.state,
  };
}

function portView(rule: OpenPorts): InstancePortInfo {
  const { cidrs, ipv6Cidrs } = rule;
  const world = [...cidrs, ...ipv6Cidrs].filter((cidr) => cidr === '::/0' || cidr === '0.0.0.0/0');
  return {
    ...rangeView(rule),
    accessFrom: world.length === 0 ? 'Custom' : `Anywhere (${world.join(' and ')})`,
    accessType: world.length === 0 ? 'Private' : 'Public',
    commonName: '',
    accessDirection: 'inbound',
  };
}

/** As GetInstancePortStates has it: ports that are closed are not there. */
export function portStateView(rule: OpenPorts): InstancePortState {
  return { ...rangeView(rule), state: 'open' };
}

function rangeView({ protocol, fromPort, toPort, cidrs, ipv6Cidrs, aliases }: OpenPorts): InstancePortState {
  return {
    fromPort,
    toPort,
    protocol,
    cidrs: [...cidrs],
    ipv6Cidrs: [...ipv6Cidrs],
    cidrListAliases: [...(aliases ?? [])],
  };
}

export function staticIpView({ staticIp, attachedTo }: StaticIpSeen): StaticIp {
  return {
    name: staticIp.name,
    arn: staticIpArn(staticIp, staticIp.id),
    supportCode: `${staticIp.account}/${staticIp.address}`,
    createdAt: new Date(staticIp.createdAtMs),
    location: location(staticIp, ALL_ZONES),
    resourceType: 'StaticIp',
    ipAddress: staticIp.address,
    ...(attachedTo === null ? {} : { attachedTo }),
    isAttached: attachedTo !== null,
  };
}

export function keyPairView(keyPair: DomainKeyPair): KeyPair {
  return {
    name: keyPair.name,
    arn: keyPairArn(keyPair, keyPair.id),
    supportCode: `${keyPair.account}/${keyPair.name}`,
    createdAt: new Date(keyPair.createdAtMs),
    location: location(keyPair, ALL_ZONES),
    resourceType: 'KeyPair',
    tags: tagViews(keyPair.tags),
    fingerprint: keyPair.fingerprint,
  };
}

export function defaultKeyPairView(scope: Scope, keyPair: Omit<OpenDefaultKeyPair, 'privateKey'>): KeyPair {
  return {
    name: DEFAULT_KEY_PAIR_NAME,
    arn: keyPairArn(scope, keyPair.id),
    supportCode: `${scope.account}/${DEFAULT_KEY_PAIR_NAME}`,
    createdAt: new Date(keyPair.createdAtMs),
    location: location(scope, ALL_ZONES),
    resourceType: 'KeyPair',
    tags: [],
    fingerprint: keyPair.fingerprint,
  };
}
