import type { Fact, Ref } from '#control/identity/facts.ts';
import { regionName } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import {
  alarmArn,
  staticIpArn,
  diskArn,
  diskSnapshotArn,
  instanceArn,
  instanceSnapshotArn,
  keyPairArn,
} from '#api/lightsail/arn.ts';
import {
  type Asked,
  demandsOn,
  type Key,
  type Plan,
  requestTagKeys,
  type Seen,
  tagKeys,
  tagsOf,
  textsOf,
  untagKeys,
} from './demand.ts';

/** Members that name resources, and their type. `resourceName` names anything. */
const MEMBERS: ReadonlyMap<string, string> = new Map([
  ['diskName', 'Disk'],
  ['diskSnapshotName', 'DiskSnapshot'],
  ['instanceName', 'Instance'],
  ['instanceNames', 'Instance'],
  ['instanceSnapshotName', 'InstanceSnapshot'],
  ['sourceSnapshotName', 'DiskSnapshot'],
  ['sourceResourceName', 'Disk'],
  ['sourceDiskName', 'Disk'],
  ['sourceInstanceName', 'Instance'],
  ['keyPairName', 'KeyPair'],
  ['staticIpName', 'StaticIp'],
  ['alarmName', 'Alarm'],
  ['loadBalancerName', 'LoadBalancer'],
  ['relationalDatabaseName', 'RelationalDatabase'],
  ['containerServiceName', 'ContainerService'],
  ['serviceName', 'ContainerService'],
  ['bucketName', 'Bucket'],
  ['distributionName', 'Distribution'],
  ['certificateName', 'Certificate'],
  ['domainName', 'Domain'],
  ['resourceName', 'Resource'],
]);

/** Members that name what an operation makes: it is not there yet, so its ARN is unknown. */
const MADE: ReadonlyMap<string, string> = new Map([
  ['CreateDisk', 'diskName'],
  ['CreateDiskFromSnapshot', 'diskName'],
  ['CreateDiskSnapshot', 'diskSnapshotName'],
  ['CreateInstances', 'instanceNames'],
  ['CreateInstancesFromSnapshot', 'instanceNames'],
  ['CreateInstanceSnapshot', 'instanceSnapshotName'],
  ['CreateKeyPair', 'keyPairName'],
  ['ImportKeyPair', 'keyPairName'],
  ['AllocateStaticIp', 'staticIpName'],
]);

/** What an operation makes, or changes, under a name of its own or none: tags go with it. */
const TAGGED: ReadonlyMap<string, string> = new Map([
  ['PutAlarm', 'Alarm'],
  ['CreateContactMethod', 'ContactMethod'],
]);

interface Named {
  readonly ref: Ref & { readonly kind: 'named' };
  readonly type: string;
}

/**
 * What Lightsail asks: the action on every resource that is named, on `*` when none is; and TagResource for tags on what is
 * made. A name that means nothing here has an ARN with the name in it, which no policy that names resources allows.
 */
export function lightsailPlan({ scope: own, operation, input }: Asked): Plan {
  const action = `lightsail:${operation}`;
  const made = MADE.get(operation);
  const [sourceRegion] = operation === 'CopySnapshot' ? textsOf(input['sourceRegion']) : [];
  // What a copy is made of is where the request says; the copy comes to the request's own region.
  const scope = sourceRegion === undefined ? own : { ...own, region: regionName(sourceRegion) };
  const { region } = scope;
  const named: readonly Named[] = [...MEMBERS].flatMap(([member, type]) =>
    member === made
      ? []
      : textsOf(input[member]).map((name): Named => ({ ref: { kind: 'named', name, region }, type })),
  );
  const tags = tagsOf(input['tags']);
  const keys: readonly Key[] =
    operation === 'UntagResource' ? untagKeys(textsOf(input['tagKeys'])) : requestTagKeys(tags);
  return {
    refs: named.map(({ ref }) => ref),
    demands: (facts) => {
      const seen = named.map(({ ref, type }, index) => seenBy(scope, type, ref.name, facts[index]));
      const demands = demandsOn(action, seen, keys);
      const type = made === undefined ? TAGGED.get(operation) : MEMBERS.get(made);
      if (type === undefined || tags.length === 0) return demands;
      return [...demands, ...demandsOn('lightsail:TagResource', [{ arn: arnOf(scope, type, '*'), keys }])];
    },
  };
}

function seenBy(scope: Scope, type: string, name: string, fact: Fact | undefined): Seen {
  if (fact?.kind === 'volume') return { arn: diskArn(scope, fact.volume.id), keys: keysOf(fact.volume.tags) };
  if (fact?.kind === 'snapshot')
    return { arn: diskSnapshotArn(scope, fact.snapshot.id), keys: keysOf(fact.snapshot.tags) };
  if (fact?.kind === 'instance') {
    return { arn: instanceArn(scope, fact.instance.id), keys: keysOf(fact.instance.tags) };
  }
  if (fact?.kind === 'instance-snapshot') {
    return { arn: instanceSnapshotArn(scope, fact.snapshot.id), keys: keysOf(fact.snapshot.tags) };
  }
  if (fact?.kind === 'key-pair') {
    return { arn: keyPairArn(scope, fact.keyPair.id), keys: keysOf(fact.keyPair.tags) };
  }
  if (fact?.kind === 'static-ip') return { arn: staticIpArn(scope, fact.staticIp.id), keys: [] };
  if (fact?.kind === 'alarm') return { arn: alarmArn(scope, fact.alarm.id), keys: keysOf(fact.alarm.tags) };
  return { arn: arnOf(scope, type, name), keys: [] };
}

function arnOf(scope: Scope, type: string, id: string): string {
  return `arn:aws:lightsail:${scope.region}:${scope.account}:${type}/${id}`;
}

function keysOf(tags: Readonly<Record<string, string>>): readonly Key[] {
  return tagKeys(
    'aws:resourcetag',
    Object.entries(tags).map(([key, value]) => ({ key, value })),
  );
}
