/**
 * Where options of EC2 are not the members of its requests: what the AWS command line makes simpler, and how it puts that
 * into the request.
 *
 * - An attribute that is a structure of one boolean has a flag and its opposite, `--ebs-optimized | --no-ebs-optimized`.
 * - `run-instances` has `--count 1:3`, and options for its first network interface.
 * - Rules of a security group have `--protocol --port --cidr --source-group --group-owner`.
 * - `get-password-data` has `--priv-launch-key`.
 */
import { addedArgument, targetOf, type Argument, type ArgumentTable, type Draft } from './operation-arguments.ts';
import { optionValue } from './option-values.ts';
import { expandedPath, isFile } from './parameter-file.ts';
import { isList, isRecord, textOf, wholeNumber, type RawRecord, type RawValue } from './raw-value.ts';
import { failure } from '#client/failure.ts';
import { kindOf, type ValueModel } from './value-model.ts';

const SECURITY_GROUP_RULES = new Set([
  'AuthorizeSecurityGroupIngress',
  'AuthorizeSecurityGroupEgress',
  'RevokeSecurityGroupIngress',
  'RevokeSecurityGroupEgress',
]);

export function addEc2Arguments(table: ArgumentTable, operation: string): void {
  if (operation === 'RunInstances') addRunInstances(table);
  if (SECURITY_GROUP_RULES.has(operation)) addSecurityGroupRules(table);
  if (operation === 'GetPasswordData') table.set('priv-launch-key', addedArgument('priv-launch-key', putLaunchKey));
}

/** What may not be given together. Throws ClientError. */
export function checkEc2Words(operation: string, given: ReadonlyMap<string, RawValue>): void {
  const isSet = (name: string): boolean => isTrue(given.get(targetOf(name)));
  if (operation === 'RunInstances' && isSet('network-interfaces')) {
    const simple = [
      'secondary-private-ip-addresses',
      'secondary-private-ip-address-count',
      'associate-public-ip-address',
    ];
    if (simple.some(isSet)) {
      throw failure('Mixing the --network-interfaces option with the simple, scalar options is not supported.');
    }
  }
  if (SECURITY_GROUP_RULES.has(operation) && isSet('ip-permissions')) {
    const simple = ['protocol', 'port', 'cidr', 'source-group', 'group-owner'].find(isSet);
    if (simple !== undefined) {
      throw failure(`The --${targetOf(simple)} option is not compatible with the --ip-permissions option `);
    }
  }
}

/** What the request takes on its way: numbers of instances, where addresses stand, what user data is written in. */
export function finishEc2Input(operation: string, input: Record<string, RawValue>): void {
  if (operation !== 'RunInstances') return;
  input.MaxCount ??= 1;
  input.MinCount ??= 1;
  moveToInterface(input);
  const data = input.UserData;
  if (typeof data === 'string' || data instanceof Uint8Array) input.UserData = Buffer.from(data).toString('base64');
}

/** Replaces an attribute by a flag, which takes the attribute's value still, and its opposite. */
export function booleanAttributeArguments(
  value: ValueModel,
  member: string,
  argument: Argument,
): readonly [Argument, Argument] {
  const opposite = `--no-${argument.name.slice(2)}`;
  return [
    {
      ...argument,
      arity: 'optional',
      constant: null,
      required: false,
      opposite: opposite.slice(2),
      put: (draft, given) => {
        draft.input[member] = given === null ? { Value: true } : optionValue(value, given, argument.name, draft.around);
      },
    },
    {
      ...addedArgument(opposite.slice(2), ({ input }) => {
        input[member] = { Value: false };
      }),
      arity: 'flag',
      constant: true,
    },
  ];
}

export function isBooleanAttribute(value: ValueModel): boolean {
  const kind = kindOf(value);
  return kind.kind === 'structure' && kind.members.size === 1 && kind.members.get('Value')?.type === 'boolean';
}

/** Whether Python takes it as true: an empty text and an empty list are not. */
function isTrue(value: RawValue | undefined): boolean {
  if (value === undefined || value === null || value === false || value === '' || value === 0) return false;
  return !(isList(value) && value.length === 0);
}

function addRunInstances(table: ArgumentTable): void {
  table.set('count', addedArgument('count', putCount));
  table.delete('min-count');
  table.delete('max-count');
  const addresses = 'secondary-private-ip-addresses';
  table.set(
    addresses,
    addedArgument(
      addresses,
      ({ input }, value) => {
        if (!isTrue(value) || !isList(value)) return;
        const interfaces = firstInterface(input);
        if (Object.hasOwn(interfaces, 'PrivateIpAddresses')) return;
        putInterface(
          input,
          'PrivateIpAddresses',
          value.map((address) => ({ PrivateIpAddress: address, Primary: false })),
        );
      },
      { arity: 'any' },
    ),
  );
  const count = 'secondary-private-ip-address-count';
  table.set(
    count,
    addedArgument(
      count,
      ({ input }, value) => {
        if (isTrue(value)) putInterface(input, 'SecondaryPrivateIpAddressCount', value);
      },
      { type: 'integer' },
    ),
  );
  const flag = 'associate-public-ip-address';
  const put = ({ input }: Draft, value: RawValue): void => putInterface(input, 'AssociatePublicIpAddress', value);
  table.set(flag, addedArgument(flag, put, { arity: 'flag', constant: true }));
  table.set(`no-${flag}`, addedArgument(`no-${flag}`, put, { arity: 'flag', constant: false }));
}

function putCount({ input }: Draft, value: RawValue): void {
  const bounds = textOf(value).split(':');
  const [least, most = least] = bounds.map(wholeNumber);
  if (typeof least !== 'number' || typeof most !== 'number' || bounds.length > 2) {
    throw failure('count parameter should be of form min[:max] (e.g. 1 or 1:10)');
  }
  input.MinCount = least;
  input.MaxCount = most;
}

function firstInterface(input: Readonly<Record<string, RawValue>>): RawRecord {
  const interfaces = input.NetworkInterfaces;
  const first = interfaces !== undefined && isList(interfaces) ? interfaces[0] : undefined;
  return first !== undefined && isRecord(first) ? first : { DeviceIndex: 0 };
}

function putInterface(input: Record<string, RawValue>, member: string, value: RawValue): void {
  const others =
    input.NetworkInterfaces !== undefined && isList(input.NetworkInterfaces) ? input.NetworkInterfaces : [];
  input.NetworkInterfaces = [{ ...firstInterface(input), [member]: value }, ...others.slice(1)];
}

/** What EC2 takes beside an interface only as long as no interface is given. */
const OF_INTERFACE = [
  ['SubnetId', 'SubnetId'],
  ['SecurityGroupIds', 'Groups'],
  ['PrivateIpAddress', 'PrivateIpAddresses'],
  ['Ipv6AddressCount', 'Ipv6AddressCount'],
  ['Ipv6Addresses', 'Ipv6Addresses'],
  ['EnablePrimaryIpv6', 'PrimaryIpv6'],
] as const;

function moveToInterface(input: Record<string, RawValue>): void {
  if (input.NetworkInterfaces === undefined) return;
  const first = firstInterface(input);
  const telling = ['PrivateIpAddresses', 'SecondaryPrivateIpAddressCount', 'AssociatePublicIpAddress'];
  if (!telling.some((member) => Object.hasOwn(first, member))) return;
  for (const [member, ofInterface] of OF_INTERFACE) {
    const value = input[member];
    if (value === undefined) continue;
    const moved = member === 'PrivateIpAddress' ? [{ PrivateIpAddress: value, Primary: true }] : value;
    putInterface(input, ofInterface, moved);
    Reflect.deleteProperty(input, member);
  }
}

function addSecurityGroupRules(table: ArgumentTable): void {
  const add = (name: string, put: (input: Record<string, RawValue>, value: string) => void): void => {
    table.set(
      name,
      addedArgument(name, ({ input }, value) => {
        if (typeof value === 'string' && value !== '') put(input, value);
      }),
    );
  };
  add('protocol', (input, value) => putPermission(input, { IpProtocol: protocolOf(value) }));
  add('port', (input, value) => putPermission(input, portsOf(value)));
  add('cidr', (input, value) => putPermission(input, { IpRanges: [{ CidrIp: value }] }));
  add('source-group', (input, value) => putPair(input, value.startsWith('sg-') ? 'GroupId' : 'GroupName', value));
  add('group-owner', (input, value) => putPair(input, 'UserId', value));
}

const PROTOCOLS = new Set(['tcp', 'udp', 'icmp', 'all']);

function protocolOf(value: string): string {
  const number = wholeNumber(value);
  const isNumber = number !== null && number >= -1 && number <= 255;
  if (!isNumber && !PROTOCOLS.has(value)) {
    throw failure('protocol parameter should be one of: tcp|udp|icmp|all or any valid protocol number.');
  }
  return value === 'all' ? '-1' : value;
}

function portsOf(value: string): RawRecord {
  if (value === '-1' || value === 'all') return { FromPort: -1, ToPort: -1 };
  const hyphen = value.indexOf('-');
  const [from, to] = hyphen === -1 ? [value, value] : [value.slice(0, hyphen), value.slice(hyphen + 1)];
  const [first, last] = [wholeNumber(from), wholeNumber(to)];
  if (first === null || last === null) {
    throw failure('port parameter should be of the form <from[-to]> (e.g. 22 or 22-25)');
  }
  return { FromPort: first, ToPort: last };
}

function permission(input: Readonly<Record<string, RawValue>>): RawRecord {
  const first = input.IpPermissions !== undefined && isList(input.IpPermissions) ? input.IpPermissions[0] : undefined;
  return first !== undefined && isRecord(first) ? first : {};
}

function putPermission(input: Record<string, RawValue>, members: RawRecord): void {
  input.IpPermissions = [{ ...permission(input), ...members }];
}

function putPair(input: Record<string, RawValue>, member: string, value: string): void {
  const pairs = permission(input).UserIdGroupPairs;
  const pair = pairs !== undefined && isList(pairs) ? pairs[0] : undefined;
  putPermission(input, {
    UserIdGroupPairs: [{ ...(pair !== undefined && isRecord(pair) ? pair : {}), [member]: value }],
  });
}

function putLaunchKey(draft: Draft, value: RawValue): void {
  if (typeof value !== 'string' || value === '') return;
  const path = expandedPath(value, draft.around);
  if (!isFile(path)) {
    throw failure('priv-launch-key should be a path to the local SSH private key file used to launch the instance.');
  }
  draft.launchKey = path;
}
