import type { Fact, Ref } from '#control/identity/facts.ts';
import { findRegion } from '#domain/region.ts';
import type { Image } from '#domain/image.ts';
import { INSTANCE_TYPE_DEFAULT } from '#domain/instance-type.ts';
import type { Instance } from '#domain/instance.ts';
import type { KeyPair } from '#domain/key-pair.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope, Tags, Volume } from '#domain/volume.ts';
import { actionTypes } from './actions.ts';
import { launchedVolumes } from './launched-volumes.ts';
import {
  type Asked,
  type Demand,
  demandsOn,
  type Input,
  type Key,
  type Plan,
  plainPlan,
  recordOf,
  recordsOf,
  requestTagKeys,
  type Seen,
  tagKeys,
  tagsOf,
  type TagText,
  textOf,
  textsOf,
} from './demand.ts';

/** What EC2 asks before each operation: the action on every resource that is named or made, and CreateTags for tags on what is made. */
export function ec2Plan(asked: Asked): Plan {
  const { operation, input, scope } = asked;
  const action = `ec2:${operation}`;
  if (operation === 'CreateTags' || operation === 'DeleteTags') return tagPlan(asked, action);
  const types = actionTypes('ec2', operation);
  if (types.length === 0) return plainPlan(demandsOn(action, []));

  const named = types.flatMap((type) => namedRefs(type, asked));
  const refs = [...named, ...snapshotsOfImage(asked)];
  const made = MADE.get(operation) ?? [];
  const others = types
    .filter((type) => !LOOKED_UP.has(type))
    .flatMap((type) => namedOthers(type, input).map((id) => ({ arn: arnOf(scope, type, id), keys: [] })));
  return {
    refs,
    demands: (facts) => {
      const own = operationKeys(asked);
      const seen = named.flatMap((ref, index) => seenBy(scope, ref, facts[index]).map((one) => withKeys(one, own)));
      const beside = facts.slice(named.length).flatMap((fact) => (fact.kind === 'snapshots' ? fact.snapshots : []));
      const deleted = operation === 'DeregisterImage' ? beside : [];
      const making = made.flatMap((type) => {
        const name = type === 'key-pair' ? textOf(input['KeyName']) : null;
        const arn = arnOf(scope, type, name ?? '*');
        if (operation !== 'RunInstances' || type !== 'volume') return [{ arn, keys: madeKeys(type, asked, facts) }];
        const common = [...requestTagKeys(specifiedTags(input, type)), ...zoneKeys(input)];
        return launchedVolumes(input, facts).map((keys) => ({ arn, keys: [...common, ...keys] }));
      });
      return [
        ...demandsOn(action, [...making, ...seen, ...others]),
        ...tagOnCreate(asked),
        ...deleted.flatMap((snapshot) => demandsOn('ec2:DeleteSnapshot', [snapshotSeen(snapshot)])),
      ];
    },
  };
}

/**
 * An image may be deregistered with its snapshots: who may not delete those may not do so either. What is launched of one is
 * encrypted as they are.
 */
function snapshotsOfImage({ operation, input }: Asked): readonly Ref[] {
  const isDeleting = operation === 'DeregisterImage' && input['DeleteAssociatedSnapshots'] === true;
  if (!isDeleting && operation !== 'RunInstances') return [];
  return namedOthers('image', input).map((image) => ({ kind: 'snapshots-of', image }));
}

function snapshotSeen(snapshot: Snapshot): Seen {
  return { arn: arnOf(snapshot, 'snapshot', snapshot.id), keys: snapshotKeys(snapshot) };
}

/** What operations make, beside what they name. */
const MADE: ReadonlyMap<string, readonly string[]> = new Map([
  ['CreateSnapshot', ['snapshot']],
  ['CreateSnapshots', ['snapshot']],
  ['CopySnapshot', ['snapshot']],
  ['ImportSnapshot', ['import-snapshot-task', 'snapshot']],
  ['CreateVolume', ['volume']],
  ['CopyVolumes', ['volume']],
  ['CreateImage', ['image', 'snapshot']],
  ['RegisterImage', ['image']],
  ['CopyImage', ['image']],
  ['RunInstances', ['instance', 'volume', 'network-interface']],
  ['CreateKeyPair', ['key-pair']],
  ['ImportKeyPair', ['key-pair']],
]);

/** Members that name volumes and snapshots, whatever the operation. */
const VOLUME_MEMBERS = ['VolumeId', 'VolumeIds', 'SourceVolumeId'];
const SNAPSHOT_MEMBERS = ['SnapshotId', 'SnapshotIds', 'SourceSnapshotIds'];

/** Types of resources of which policies can ask what is recorded of them. */
const LOOKED_UP: ReadonlySet<string> = new Set(['volume', 'snapshot', 'instance', 'image', 'key-pair']);

function namedRefs(type: string, asked: Asked): readonly Ref[] {
  const { operation, input } = asked;
  if (type === 'volume') {
    const named = idsIn(input, VOLUME_MEMBERS).map((id): Ref => ({ kind: 'volume', id }));
    return [...named, ...volumesOfInstances(asked)];
  }
  if (type === 'instance') return namedOthers(type, input).map((id) => ({ kind: 'instance', id }));
  if (type === 'image') return namedOthers(type, input).map((id) => ({ kind: 'image', id }));
  if (type === 'key-pair') return namedKeyPairs(asked).map((key) => ({ kind: 'key-pair', key }));
  if (type !== 'snapshot') return [];
  const refs: Ref[] = idsIn(input, SNAPSHOT_MEMBERS).map((id) => ({ kind: 'snapshot', id }));
  for (const mapping of recordsOf(input['BlockDeviceMappings'])) {
    const id = textOf(recordOf(mapping['Ebs'])['SnapshotId']);
    if (id !== null) refs.push({ kind: 'snapshot', id });
  }
  const source = operation === 'CopySnapshot' ? textOf(input['SourceSnapshotId']) : null;
  const region = findRegion(textOf(input['SourceRegion']) ?? '');
  if (source !== null) refs.push({ kind: 'snapshot', id: source, ...(region === null ? {} : { region: region.name }) });
  return refs;
}

/** Operations that name an instance and act on what volumes it has. */
function volumesOfInstances({ operation, input }: Asked): readonly Ref[] {
  const isMapped = operation === 'ModifyInstanceAttribute' && recordsOf(input['BlockDeviceMappings']).length > 0;
  if (operation !== 'CreateSnapshots' && !isMapped) return [];
  return namedOthers('instance', input).map((instance) => ({ kind: 'volumes-of', instance }));
}

/** Those that are made are not named. */
function namedKeyPairs({ operation, input }: Asked): readonly string[] {
  return MADE.get(operation)?.includes('key-pair') === true ? [] : namedOthers('key-pair', input);
}

const OTHER_MEMBERS: ReadonlyMap<string, readonly string[]> = new Map([
  ['instance', ['InstanceId', 'InstanceIds']],
  ['image', ['ImageId', 'ImageIds']],
  ['key-pair', ['KeyName', 'KeyPairId']],
  ['security-group', ['GroupId', 'SecurityGroupIds']],
  ['subnet', ['SubnetId']],
  ['vpc', ['VpcId']],
  ['launch-template', ['LaunchTemplateId']],
  ['elastic-ip', ['AllocationId']],
  ['import-snapshot-task', ['ImportTaskId']],
  ['import-image-task', ['ImportTaskId']],
]);

function namedOthers(type: string, input: Input): readonly string[] {
  const nested = type === 'instance' ? textOf(recordOf(input['InstanceSpecification'])['InstanceId']) : null;
  return [...idsIn(input, OTHER_MEMBERS.get(type) ?? []), ...(nested === null ? [] : [nested])];
}

function idsIn(input: Input, members: readonly string[]): readonly string[] {
  return [...new Set(members.flatMap((member) => textsOf(input[member])))];
}

/** A snapshot's ARN names no account: snapshots can be shared. */
function arnOf(scope: Scope, type: string, id: string): string {
  const account = type === 'snapshot' || type === 'image' ? '' : scope.account;
  return `arn:aws:ec2:${scope.region}:${account}:${type}/${id}`;
}

function seenBy(scope: Scope, ref: Ref, fact: Fact | undefined): readonly Seen[] {
  const seen = (type: string, id: string, keys: readonly Key[]): readonly Seen[] => [
    { arn: arnOf(scope, type, id), keys },
  ];
  if (ref.kind === 'volume') return seen('volume', ref.id, fact?.kind === 'volume' ? volumeKeys(fact.volume) : []);
  if (ref.kind === 'volumes-of') {
    if (fact?.kind !== 'volumes') return [];
    return fact.volumes.map((volume) => ({ arn: arnOf(scope, 'volume', volume.id), keys: volumeKeys(volume) }));
  }
  if (ref.kind === 'snapshot') {
    const keys = fact?.kind === 'snapshot' ? snapshotKeys(fact.snapshot) : [];
    return [{ arn: arnOf({ ...scope, region: ref.region ?? scope.region }, 'snapshot', ref.id), keys }];
  }
  if (ref.kind === 'instance') {
    return seen('instance', ref.id, fact?.kind === 'instance' ? instanceKeys(fact.instance) : []);
  }
  if (ref.kind === 'image') return seen('image', ref.id, fact?.kind === 'image' ? imageKeys(fact.image) : []);
  if (ref.kind === 'key-pair') {
    const keyPair = fact?.kind === 'key-pair' ? fact.keyPair : null;
    return seen('key-pair', keyPair?.name ?? ref.key, keyPair === null ? [] : keyPairKeys(keyPair));
  }
  return [{ arn: '*', keys: [] }];
}

function withKeys(seen: Seen, keys: readonly Key[]): Seen {
  return keys.length === 0 ? seen : { arn: seen.arn, keys: [...seen.keys, ...keys] };
}

/** What some operations say about what they do to a snapshot: with whom it is shared, for how long it is locked. */
function operationKeys({ operation, input }: Asked): readonly Key[] {
  if (operation === 'LockSnapshot') {
    return [
      ...optional('ec2:snapshotlockduration', numberOf(input['LockDuration'])),
      ...optional('ec2:snapshotcooloffperiod', numberOf(input['CoolOffPeriod'])),
    ];
  }
  if (operation !== 'ModifySnapshotAttribute') return [];
  const permission = recordOf(input['CreateVolumePermission']);
  const flat = { users: textsOf(input['UserIds']), groups: textsOf(input['GroupNames']) };
  const said = (member: 'Add' | 'Remove'): readonly Key[] => {
    const items = recordsOf(permission[member]);
    const isFlat = input['OperationType'] === member.toLowerCase();
    const users = [...items.flatMap((item) => textsOf(item['UserId'])), ...(isFlat ? flat.users : [])];
    const groups = [...items.flatMap((item) => textsOf(item['Group'])), ...(isFlat ? flat.groups : [])];
    const name = member.toLowerCase();
    return [
      ...(users.length === 0 ? [] : [[`ec2:${name}/userid`, users] as const]),
      ...(groups.length === 0 ? [] : [[`ec2:${name}/group`, groups] as const]),
    ];
  };
  return [...said('Add'), ...said('Remove'), ...optional('ec2:attribute', textOf(input['Attribute']))];
}

export function volumeKeys(volume: Volume): readonly Key[] {
  const { tags, id, sizeGib, type, iops, throughputMibps, encryption, zone, origin } = volume;
  return [
    ...resourceTagKeys(tags),
    ['ec2:volumeid', [id]],
    ['ec2:volumesize', [String(sizeGib)]],
    ['ec2:volumetype', [type]],
    ['ec2:encrypted', [String(encryption !== null)]],
    ['ec2:availabilityzone', [zone]],
    ...optional('ec2:volumeiops', iops),
    ...optional('ec2:volumethroughput', throughputMibps),
    ...optional('ec2:parentsnapshot', origin === null ? null : arnOf(volume, 'snapshot', origin)),
  ];
}

export function snapshotKeys(snapshot: Snapshot): readonly Key[] {
  const { tags, id, account, volume, volumeSizeGib, encryption, startedAtMs, outpost } = snapshot;
  return [
    ...resourceTagKeys(tags),
    ['ec2:snapshotid', [id]],
    ['ec2:owner', [account]],
    ['ec2:parentvolume', [arnOf(snapshot, 'volume', volume)]],
    ['ec2:volumesize', [String(volumeSizeGib)]],
    ['ec2:encrypted', [String(encryption !== null)]],
    ['ec2:snapshottime', [new Date(startedAtMs).toISOString()]],
    ...optional('ec2:outpostarn', outpost),
  ];
}

function instanceKeys({ tags, id, bundle, zone, keyPair }: Instance): readonly Key[] {
  return [
    ...resourceTagKeys(tags),
    ['ec2:instanceid', [id]],
    ['ec2:instancetype', [bundle]],
    ['ec2:availabilityzone', [zone]],
    ['ec2:rootdevicetype', ['ebs']],
    ['ec2:tenancy', ['default']],
    ...optional('ec2:keypairname', keyPair),
  ];
}

function imageKeys({ tags, id, account }: Image): readonly Key[] {
  return [
    ...resourceTagKeys(tags),
    ['ec2:imageid', [id]],
    ['ec2:owner', [account]],
    ['ec2:public', ['false']],
    ['ec2:rootdevicetype', ['ebs']],
  ];
}

function keyPairKeys({ tags, name, type }: KeyPair): readonly Key[] {
  return [...resourceTagKeys(tags), ['ec2:keypairname', [name]], ['ec2:keypairtype', [type]]];
}

function resourceTagKeys(tags: Tags): readonly Key[] {
  const list = Object.entries(tags).map(([key, value]) => ({ key, value }));
  return [...tagKeys('aws:resourcetag', list), ...tagKeys('ec2:resourcetag', list)];
}

function optional(key: string, value: string | number | null): readonly Key[] {
  return value === null ? [] : [[key, [String(value)]]];
}

/** What the request says of a resource that it makes. */
function madeKeys(type: string, { scope, input }: Asked, facts: readonly Fact[]): readonly Key[] {
  const tags = requestTagKeys(specifiedTags(input, type));
  if (type === 'snapshot') {
    const parents = idsIn(input, VOLUME_MEMBERS).map((id) => arnOf(scope, 'volume', id));
    const [parent] = parents;
    const volume = facts.find((fact) => fact.kind === 'volume');
    const size = volume?.kind === 'volume' ? volume.volume.sizeGib : null;
    return [
      ...tags,
      ...optional('ec2:parentvolume', parent ?? null),
      ...optional('ec2:volumesize', size),
      ...placeKeys(input, facts),
    ];
  }
  if (type === 'instance') {
    return [
      ...tags,
      ['ec2:instancetype', [textOf(input['InstanceType']) ?? INSTANCE_TYPE_DEFAULT]],
      ...zoneKeys(input),
      ...optional('ec2:keypairname', textOf(input['KeyName'])),
      ...metadataKeys(recordOf(input['MetadataOptions'])),
    ];
  }
  if (type !== 'volume') return tags;
  const origin = facts.find((fact) => fact.kind === 'snapshot');
  const snapshot = origin?.kind === 'snapshot' ? origin.snapshot : null;
  const source = facts.find((fact) => fact.kind === 'volume');
  const volume = source?.kind === 'volume' ? source.volume : null;
  const originId = textOf(input['SnapshotId']);
  const isAsked = input['Encrypted'] === true || textOf(input['OutpostArn']) !== null;
  const isEncrypted = isAsked || ((snapshot ?? volume)?.encryption ?? null) !== null;
  return [
    ...tags,
    ['ec2:volumetype', [textOf(input['VolumeType']) ?? volume?.type ?? 'gp2']],
    ['ec2:encrypted', [String(isEncrypted)]],
    ...optional('ec2:volumesize', numberOf(input['Size']) ?? snapshot?.volumeSizeGib ?? volume?.sizeGib ?? null),
    ...optional('ec2:volumeiops', numberOf(input['Iops'])),
    ...optional('ec2:volumethroughput', numberOf(input['Throughput'])),
    ...optional('ec2:availabilityzone', textOf(input['AvailabilityZone'])),
    ...optional('ec2:kmskeyid', textOf(input['KmsKeyId'])),
    ...optional('ec2:parentsnapshot', originId === null ? null : arnOf(scope, 'snapshot', originId)),
  ];
}

function zoneKeys(input: Input): readonly Key[] {
  return optional('ec2:availabilityzone', textOf(recordOf(input['Placement'])['AvailabilityZone']));
}

/** Of an instance of which nobody says so, tokens are optional. */
function metadataKeys(options: Input): readonly Key[] {
  return [
    ['ec2:metadatahttptokens', [textOf(options['HttpTokens']) ?? 'optional']],
    ...optional('ec2:metadatahttpendpoint', textOf(options['HttpEndpoint'])),
    ...optional('ec2:metadatahttpputresponsehoplimit', numberOf(options['HttpPutResponseHopLimit'])),
  ];
}

/** Where a snapshot is to be stored, and where that is which it is made of; nothing: in the region. */
function placeKeys(input: Input, facts: readonly Fact[]): readonly Key[] {
  const volume = facts.find((fact) => fact.kind === 'volume');
  const snapshot = facts.find((fact) => fact.kind === 'snapshot');
  const source = volume?.kind === 'volume' ? volume.volume : snapshot?.kind === 'snapshot' ? snapshot.snapshot : null;
  return [
    ...optional('ec2:outpostarn', textOf(input['OutpostArn']) ?? textOf(input['DestinationOutpostArn'])),
    ...optional('ec2:sourceoutpostarn', source?.outpost ?? null),
  ];
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function specifiedTags(input: Input, type: string): readonly TagText[] {
  return recordsOf(input['TagSpecifications'])
    .filter((specification) => specification['ResourceType'] === type)
    .flatMap((specification) => tagsOf(specification['Tags']));
}

/** Tags on what is made need CreateTags on it, with the operation as `ec2:CreateAction`. */
function tagOnCreate({ scope, operation, input }: Asked): readonly Demand[] {
  return recordsOf(input['TagSpecifications']).flatMap((specification) => {
    const type = textOf(specification['ResourceType']);
    const tags = tagsOf(specification['Tags']);
    if (type === null || tags.length === 0) return [];
    const keys: readonly Key[] = [['ec2:createaction', [operation]], ...requestTagKeys(tags)];
    return demandsOn('ec2:CreateTags', [{ arn: arnOf(scope, type, '*'), keys }]);
  });
}

const TYPE_OF_PREFIX: ReadonlyMap<string, string> = new Map([
  ['i', 'instance'],
  ['ami', 'image'],
  ['key', 'key-pair'],
  ['sg', 'security-group'],
  ['subnet', 'subnet'],
  ['vpc', 'vpc'],
  ['eni', 'network-interface'],
  ['eipalloc', 'elastic-ip'],
  ['lt', 'launch-template'],
]);

function tagPlan({ scope, input }: Asked, action: string): Plan {
  const ids = textsOf(input['Resources']);
  const keys = requestTagKeys(tagsOf(input['Tags']));
  const refs: Ref[] = ids.flatMap((id): Ref[] => {
    if (id.startsWith('vol-')) return [{ kind: 'volume', id }];
    if (id.startsWith('snap-')) return [{ kind: 'snapshot', id }];
    if (id.startsWith('i-')) return [{ kind: 'instance', id }];
    if (id.startsWith('ami-')) return [{ kind: 'image', id }];
    return id.startsWith('key-') ? [{ kind: 'key-pair', key: id }] : [];
  });
  const others = ids.flatMap((id) => {
    if (/^(?:vol|snap|i|ami|key)-/.test(id)) return [];
    const type = TYPE_OF_PREFIX.get(/^[a-z]+/.exec(id)?.[0] ?? '') ?? 'resource';
    return [{ arn: arnOf(scope, type, id), keys: [] }];
  });
  return {
    refs,
    demands: (facts) => {
      const named = refs.flatMap((ref, index) => seenBy(scope, ref, facts[index]));
      return demandsOn(action, [...named, ...others], keys);
    },
  };
}
