/** What a client can tell of a request before it is sent: missing and unknown members, kinds of values, least lengths. */
import type { InputRecord, InputValue } from '#client/command.ts';
import type { Model } from '#wire/aws/model.ts';
import { inputOf, isList, isRecord, textOf, typeText, type RawRecord, type RawValue } from './raw-value.ts';
import { timestampOf } from './timestamps.ts';
import { failure } from '#client/failure.ts';
import { entryOf, itemOf, kindOf, membersOf, minimumOf, type ValueModel } from './value-model.ts';

/**
 * The request as it is sent: bytes where the model has a blob, times as ISO 8601 in UTC. Throws ClientError, which tells
 * everything that is wrong.
 */
export function checkedInput(model: Model, inputShape: string | undefined, params: RawRecord): InputRecord {
  if (inputShape === undefined) {
    if (Object.keys(params).length > 0)
      return Object.fromEntries(Object.entries(params).map(([k, v]) => [k, inputOf(v)]));
    return {};
  }
  const faults: string[] = [];
  const value: ValueModel = { model, member: { type: inputShape }, path: '' };
  check(value, params, '', faults);
  if (faults.length > 0) throw failure(`Parameter validation failed:\n${faults.join('\n')}`);
  return sentRecord(value, params);
}

const STRUCTURE = ["<class 'dict'>"];
const LIST = ["<class 'list'>", "<class 'tuple'>"];
const FLOATING = ["<class 'float'>", "<class 'decimal.Decimal'>", "<class 'int'>"];
const SCALARS: Readonly<Record<string, readonly string[]>> = {
  string: ["<class 'str'>"],
  boolean: ["<class 'bool'>"],
  integer: ["<class 'int'>"],
  long: ["<class 'int'>"],
  float: FLOATING,
  double: FLOATING,
  blob: ["<class 'bytes'>", "<class 'bytearray'>", 'file-like object'],
  timestamp: ["<class 'datetime.datetime'>", 'timestamp-string'],
};

function check(value: ValueModel, given: RawValue, name: string, faults: string[]): void {
  const kind = kindOf(value);
  switch (kind.kind) {
    case 'structure':
      if (isRecord(given)) checkStructure(value, kind.required, given, name, faults);
      else faults.push(wrongType(given, name, STRUCTURE));
      return;
    case 'map':
      if (!isRecord(given)) {
        faults.push(wrongType(given, name, STRUCTURE));
        return;
      }
      for (const [key, item] of Object.entries(given)) {
        check(entryOf(value).key, key, `${name} (key: ${key})`, faults);
        check(entryOf(value).value, item, `${name}.${key}`, faults);
      }
      return;
    case 'list':
      if (!isList(given)) {
        faults.push(wrongType(given, name, LIST));
        return;
      }
      checkMinimum(value, given.length, 'length', given.length, name, faults);
      given.forEach((item, index) => check(itemOf(value), item, `${name}[${index}]`, faults));
      return;
    case 'scalar':
      checkScalar(value, kind.type, given, name, faults);
  }
}

function checkStructure(
  value: ValueModel,
  required: ReadonlySet<string>,
  given: RawRecord,
  name: string,
  faults: string[],
): void {
  const members = membersOf(value);
  for (const member of required) {
    // A token that is not given is made when the request is sent.
    if (Object.hasOwn(given, member) || members.get(member)?.member.token === true) continue;
    faults.push(`Missing required parameter in ${shown(name)}: "${member}"`);
  }
  for (const unknown of Object.keys(given)) {
    if (members.has(unknown)) continue;
    faults.push(`Unknown parameter in ${shown(name)}: "${unknown}", must be one of: ${[...members.keys()].join(', ')}`);
  }
  for (const [memberName, item] of Object.entries(given)) {
    const member = members.get(memberName);
    if (member !== undefined) check(member, item, `${name}.${memberName}`, faults);
  }
}

function checkScalar(value: ValueModel, type: string, given: RawValue, name: string, faults: string[]): void {
  if (!isOfType(type, given)) {
    faults.push(wrongType(given, name, SCALARS[type] ?? []));
    return;
  }
  if (type === 'string' && typeof given === 'string') {
    const length = Array.from(given).length;
    checkMinimum(value, length, 'length', length, name, faults);
  } else if (['integer', 'long', 'float', 'double'].includes(type)) {
    checkMinimum(value, Number(inputOf(given)), 'value', given, name, faults);
  }
}

function isOfType(type: string, given: RawValue): boolean {
  switch (type) {
    case 'string':
      return typeof given === 'string';
    case 'blob':
      return typeof given === 'string' || given instanceof Uint8Array;
    case 'timestamp':
      return timestampOf(given) !== null;
    default:
      return SCALARS[type]?.includes(typeText(given)) === true || (typeof given === 'boolean' && type !== 'boolean');
  }
}

function checkMinimum(
  value: ValueModel,
  size: number,
  what: 'length' | 'value',
  given: RawValue,
  name: string,
  faults: string[],
): void {
  const minimum = minimumOf(value);
  if (minimum === null || size >= minimum) return;
  const noun = what === 'length' ? ['length', 'min length'] : ['value', 'min value'];
  faults.push(`Invalid ${noun[0]} for parameter ${shown(name)}, value: ${textOf(given)}, valid ${noun[1]}: ${minimum}`);
}

function wrongType(given: RawValue, name: string, valid: readonly string[]): string {
  return (
    `Invalid type for parameter ${shown(name)}, value: ${textOf(given)}, type: ${typeText(given)}, ` +
    `valid types: ${valid.join(', ')}`
  );
}

function shown(name: string): string {
  if (name === '') return 'input';
  return name.startsWith('.') ? name.slice(1) : name;
}

function sentRecord(value: ValueModel, given: RawRecord): InputRecord {
  const members = membersOf(value);
  return Object.fromEntries(
    Object.entries(given).map(([name, item]) => {
      const member = members.get(name);
      return [name, member === undefined ? inputOf(item) : sent(member, item)];
    }),
  );
}

function sent(value: ValueModel, given: RawValue): InputValue {
  const kind = kindOf(value);
  if (kind.kind === 'structure') return isRecord(given) ? sentRecord(value, given) : inputOf(given);
  if (kind.kind === 'list') return isList(given) ? given.map((item) => sent(itemOf(value), item)) : inputOf(given);
  if (kind.kind === 'map') {
    if (!isRecord(given)) return inputOf(given);
    const entry = entryOf(value).value;
    return Object.fromEntries(Object.entries(given).map(([name, item]) => [name, sent(entry, item)]));
  }
  if (kind.type === 'blob' && typeof given === 'string') return new TextEncoder().encode(given);
  if (kind.type === 'timestamp') return timestampOf(given);
  return inputOf(given);
}
