import { unreachable } from '#base/assert.ts';
import type { Failure, ResourceKind } from '#domain/errors.ts';
import { type AwsError, AwsRefusal } from '#api/aws-error.ts';

// Every exception of Lightsail has the members code, docs, message and tip. The exception is what programs catch; `code`
// says more closely what is wrong, and `tip` what to do about it.

const DOCS = 'https://docs.aws.amazon.com/lightsail/2016-11-28/api-reference/';

type Exception = 'InvalidInputException' | 'NotFoundException' | 'OperationFailureException';

function exception(name: Exception, code: string, message: string, tip: string): AwsError {
  return { code: name, message, members: { code, docs: DOCS, tip } };
}

function invalidInput(message: string, tip: string): AwsError {
  return exception('InvalidInputException', 'InvalidParams', message, tip);
}

function notFound(message: string): AwsError {
  return exception('NotFoundException', 'DoesNotExist', message, 'Check the name, the Region and the account.');
}

function operationFailure(code: string, message: string, tip: string): AwsError {
  return exception('OperationFailureException', code, message, tip);
}

/** A refusal of the domain as an exception of Lightsail. */
export function mapFailure(failure: Failure): AwsError {
  switch (failure.kind) {
    case 'not-found':
      return notFound(`The ${RESOURCES[failure.resource]} does not exist: ${failure.id}`);
    case 'malformed-id':
      return invalidInput(`${failure.id} is not valid.`, 'Check the id.');
    case 'name-taken':
      return exception(
        'InvalidInputException',
        'NameInUse',
        `Some names are already in use: ${failure.name}`,
        'Names are unique in an account and Region, over all kinds of resources. Choose another one.',
      );
    case 'invalid-value':
      return invalidInput(
        `The value of ${parameter(failure.field)} is not valid: ${failure.reason}.`,
        'Correct the value.',
      );
    case 'missing':
      return invalidInput(`The parameter ${parameter(failure.field)} is required.`, 'Add the parameter.');
    case 'exclusive':
      return invalidInput(
        `The parameters ${failure.fields.map(parameter).join(' and ')} are mutually exclusive.`,
        'Give one of them only.',
      );
    case 'zone-not-found':
      return invalidInput(
        `${failure.zone} is not an Availability Zone of this Region.`,
        'Use GetRegions with includeAvailabilityZones to list them. Names are case-sensitive.',
      );
    case 'wrong-state':
      return operationFailure(
        'InvalidState',
        `The ${RESOURCES[failure.resource]} ${failure.id} is in the state ${failure.state}, which does not allow this operation.`,
        'Try again when its state has changed.',
      );
    case 'in-use':
      return operationFailure(
        'InUse',
        `The ${RESOURCES[failure.resource]} ${failure.id} is in use by ${failure.by}.`,
        'Detach it, or disconnect its clients, first.',
      );
    case 'limit':
      return operationFailure(
        'LimitExceeded',
        `The limit of ${failure.max} ${LIMITS[failure.limit]} is reached.`,
        'Delete what is not needed, or wait until running work has ended.',
      );
    case 'snapshot-rate':
      return operationFailure('TooFrequent', 'The disk was snapshotted a moment ago.', 'Try again in a few seconds.');
    case 'token-mismatch':
      return invalidInput('The request was sent before with other parameters.', 'Send a changed request as a new one.');
    case 'tag-key-reserved':
      return invalidInput(`The tag key ${failure.key} begins with aws:, which is reserved.`, 'Choose another tag key.');
    case 'page-token-invalid':
      return invalidInput('The page token is not valid.', 'Use the nextPageToken of the reply before, or none.');
    case 'key-unusable':
      return operationFailure(
        'KeyUnusable',
        `The KMS key ${failure.key} cannot be used: ${failure.problem}.`,
        'Enable the key.',
      );
    case 'no-machines':
      return operationFailure(
        'NoMachines',
        `This server runs no instances: ${failure.reason}.`,
        'Disks and snapshots work all the same. "varve doctor" says what is missing.',
      );
    case 'no-memory':
      return operationFailure(
        'InsufficientInstanceCapacity',
        `There is not enough memory: the request needs ${failure.neededMib} MiB, and ${failure.leftMib} MiB are left for instances.`,
        'Stop an instance, or choose a smaller bundle.',
      );
    case 'unsupported':
      return unsupported(`${failure.what} is not supported by this server.`);
    case 'not-permitted':
      return operationFailure('NotPermitted', failure.what, 'Ask who set it so.');
    // Nothing that a Lightsail operation does ends in one of these; should it, the words are true.
    case 'volume-type-unknown':
      return invalidInput(`The volume type ${failure.type} does not exist.`, 'Correct the value.');
    case 'unrelated-snapshots':
      return invalidInput(
        `The snapshots ${failure.first} and ${failure.second} are not related.`,
        'Correct the value.',
      );
    case 'block-token-invalid':
      return invalidInput('The block token is not valid.', 'Correct the value.');
    case 'volume-modification':
      return operationFailure(
        'NotModifiable',
        `The disk ${failure.volume} cannot be modified now.`,
        'Try again later.',
      );
    case 'checksum-mismatch':
      return invalidInput('The checksum does not match the data.', 'Correct the value.');
    case 'block-conflict':
      return operationFailure('Conflict', `Block ${failure.index} is being written by another request.`, 'Try again.');
    case 'block-count-mismatch':
      return invalidInput(`${failure.expected} blocks were put, not ${failure.given}.`, 'Correct the value.');
    default:
      return unreachable(failure);
  }
}

const RESOURCES: Readonly<Record<ResourceKind, string>> = {
  volume: 'Disk',
  'volume-modification': 'Disk modification',
  snapshot: 'DiskSnapshot',
  instance: 'Instance',
  'instance-snapshot': 'InstanceSnapshot',
  blueprint: 'Blueprint',
  'key-pair': 'KeyPair',
  'static-ip': 'StaticIp',
  alarm: 'Alarm',
  'contact-method': 'ContactMethod',
  operation: 'Operation',
  resource: 'Resource',
};

const LIMITS: Readonly<Record<Extract<Failure, { kind: 'limit' }>['limit'], string>> = {
  volumes: 'disks',
  'volume-gib': 'GB of disks',
  'provisioned-iops': 'provisioned IOPS',
  snapshots: 'snapshots',
  'pending-snapshots-per-volume': 'pending snapshots of a disk',
  'pending-snapshots': 'pending snapshots',
  'direct-snapshots': 'snapshots being written',
  'pending-copies': 'pending copies of snapshots',
  tags: 'tags of a resource',
  names: 'names',
  addresses: 'addresses of machines',
  resources: 'resources',
};

/** The domain's fields in the model's spelling. */
const PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['name', 'resource name'],
  ['size', 'sizeInGb'],
  ['tag-key', 'tags.key'],
  ['tag-value', 'tags.value'],
  ['zone', 'availabilityZone'],
]);

function parameter(field: string): string {
  return PARAMETERS.get(field) ?? field;
}

export function unsupported(message: string, tip = 'Leave it out.'): AwsError {
  return operationFailure('NotSupported', message, tip);
}

export function refuseInvalid(message: string, tip: string): never {
  throw new AwsRefusal(invalidInput(message, tip));
}

/** `type`: as Lightsail calls what there is none of. */
export function refuseAbsent(type: string, name: string): never {
  refuseNotFound(`The ${type} does not exist: ${name}`);
}

export function refuseNotFound(message: string): never {
  throw new AwsRefusal(notFound(message));
}

export function refuseUnsupported(message: string): never {
  throw new AwsRefusal(unsupported(message));
}
