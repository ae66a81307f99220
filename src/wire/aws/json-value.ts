/** JSON to input values and reply values to JSON, by the model. */
import { Violations } from './constraints.ts';
import { scalarTypes, shapeOf, structureOf, type Member, type Model } from './model.ts';
import { base64Of, isNumberOf, parseBase64, type Scalar } from './scalars.ts';
import {
  dateOfEpochSeconds,
  epochSeconds,
  formatDateTime,
  formatHttpDate,
  parseDateTime,
  parseHttpDate,
} from './timestamps.ts';
import { WireError } from './wire-error.ts';

/** Deeper than any model nests. */
const DEPTH_MAX = 32;

/** The JSON object of a body; an empty body is an empty object. Throws WireError `malformed`. */
export function parseJsonObject(body: Uint8Array): Readonly<Record<string, unknown>> {
  if (body.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new WireError('malformed', '', 'The request body is not valid JSON.');
  }
  if (!isObject(value)) throw new WireError('malformed', '', 'The request body must be a JSON object.');
  return value;
}

/** Reads values and collects what they violate. Members that the model does not have are ignored, null is absence. */
export class JsonReader {
  readonly #model: Model;
  readonly violations: Violations;

  constructor(model: Model) {
    this.#model = model;
    this.violations = new Violations(model, { enums: true });
  }

  /**
   * The members of the structure `name` that `source` holds. Throws WireError `wrong-type`.
   * `elsewhere`: whether a member is bound to another place than the body and therefore skipped.
   */
  structure(
    name: string,
    source: Readonly<Record<string, unknown>>,
    path = '',
    depth = 0,
    elsewhere: (member: Member) => boolean = () => false,
  ): Record<string, unknown> {
    const shape = structureOf(this.#model, name);
    const value: Record<string, unknown> = {};
    for (const [memberName, member] of shape.members) {
      if (elsewhere(member)) continue;
      const given = Object.hasOwn(source, memberName) ? source[memberName] : undefined;
      const memberPath = path === '' ? memberName : `${path}.${memberName}`;
      if (given !== undefined && given !== null) {
        value[memberName] = this.#value(member, given, memberPath, depth + 1, shape.sensitive);
      } else if (shape.required.has(memberName)) this.violations.missing(memberPath);
    }
    return value;
  }

  #value(member: Member, given: unknown, path: string, depth: number, sensitive: boolean): unknown {
    if (depth > DEPTH_MAX) throw new WireError('malformed', path, 'The request is nested too deeply.');
    if (scalarTypes.has(member.type)) {
      const value = scalarOfJson(member, given, path);
      if (typeof value === 'string' || typeof value === 'number') this.violations.check(member, value, path, sensitive);
      return value;
    }
    const shape = shapeOf(this.#model, member.type);
    if (shape.kind === 'list') {
      if (!Array.isArray(given)) throw wrongType(given, 'a list', path);
      this.violations.check(member, given, path);
      return given.map((item, index) =>
        this.#value(shape.item, item, `${path}.${index + 1}.member`, depth + 1, sensitive),
      );
    }
    if (!isObject(given)) throw wrongType(given, shape.kind === 'map' ? 'a map' : 'a structure', path);
    if (shape.kind === 'structure') return this.structure(member.type, given, path, depth);
    // Without a prototype, so that a key of the client never meets one.
    const value = Object.create(null) as Record<string, unknown>;
    for (const [key, item] of Object.entries(given)) {
      this.violations.check(shape.key, key, path);
      if (item !== null) value[key] = this.#value(shape.value, item, `${path}.value`, depth + 1, sensitive);
    }
    return value;
  }
}

function scalarOfJson(member: Member, given: unknown, path: string): Scalar {
  switch (member.type) {
    case 'string':
      if (typeof given === 'string') return given;
      throw wrongType(given, 'a String', path);
    case 'boolean':
      if (typeof given === 'boolean') return given;
      throw wrongType(given, 'a Boolean', path);
    case 'timestamp': {
      const date = dateOfJson(member, given);
      if (date !== null) return date;
      throw wrongType(given, 'a Timestamp', path);
    }
    case 'blob': {
      const bytes = typeof given === 'string' ? parseBase64(given) : null;
      if (bytes !== null) return bytes;
      throw wrongType(given, 'a Blob', path);
    }
    default:
      if (typeof given === 'number' && isNumberOf(member.type, given)) return given;
      throw wrongType(given, numberNames.get(member.type) ?? 'a Number', path);
  }
}

const numberNames = new Map([
  ['integer', 'an Integer'],
  ['long', 'a Long'],
  ['float', 'a Float'],
  ['double', 'a Double'],
]);

function dateOfJson(member: Member, given: unknown): Date | null {
  if (typeof given === 'number') return member.timestamp === undefined ? dateOfEpochSeconds(given) : null;
  if (typeof given !== 'string') return null;
  return member.timestamp === 'http-date' ? parseHttpDate(given) : parseDateTime(given);
}

function wrongType(given: unknown, expected: string, path: string): WireError {
  return new WireError('wrong-type', path, `${tokenName(given)} can not be converted to ${expected} (${path})`);
}

/** What AWS's parser calls a JSON token. */
function tokenName(given: unknown): string {
  if (Array.isArray(given)) return 'START_ARRAY';
  if (given === null) return 'VALUE_NULL';
  return { string: 'STRING_VALUE', number: 'NUMBER_VALUE', boolean: 'BOOLEAN_VALUE', object: 'START_OBJECT' }[
    typeof given as 'string' | 'number' | 'boolean' | 'object'
  ];
}

/** A structure of a reply as a JSON value. `elsewhere` as in JsonReader. Throws TypeError when a handler gave something of another type. */
export function jsonOfStructure(
  model: Model,
  name: string,
  value: unknown,
  elsewhere: (member: Member) => boolean = () => false,
): Readonly<Record<string, unknown>> {
  if (!isObject(value)) throw new TypeError(`a reply holds no ${name} where one belongs`);
  const json: Record<string, unknown> = {};
  for (const [memberName, member] of structureOf(model, name).members) {
    const memberValue = value[memberName];
    if (memberValue === undefined || memberValue === null || elsewhere(member)) continue;
    json[memberName] = jsonOf(model, member, memberValue);
  }
  return json;
}

function jsonOf(model: Model, member: Member, value: unknown): unknown {
  if (scalarTypes.has(member.type)) return jsonOfScalar(member, value);
  const shape = shapeOf(model, member.type);
  if (shape.kind === 'structure') return jsonOfStructure(model, member.type, value);
  if (shape.kind === 'list') {
    if (!Array.isArray(value)) throw new TypeError(`a reply holds no list where ${member.type} belongs`);
    return value.map((item) => jsonOf(model, shape.item, item));
  }
  if (!isObject(value)) throw new TypeError(`a reply holds no map where ${member.type} belongs`);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, jsonOf(model, shape.value, item)]));
}

function jsonOfScalar(member: Member, value: unknown): string | number | boolean {
  switch (member.type) {
    case 'string':
      if (typeof value === 'string') return value;
      break;
    case 'boolean':
      if (typeof value === 'boolean') return value;
      break;
    case 'timestamp':
      if (!(value instanceof Date)) break;
      if (member.timestamp === 'date-time') return formatDateTime(value);
      return member.timestamp === 'http-date' ? formatHttpDate(value) : epochSeconds(value);
    case 'blob':
      if (value instanceof Uint8Array) return base64Of(value);
      break;
    default:
      if (typeof value === 'number' && isNumberOf(member.type, value)) return value;
  }
  throw new TypeError(`a reply holds ${typeof value} where the model has ${member.type}`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
