/** The input of an operation as the request that asks for it, by the model. */
import { assert } from '#base/assert.ts';
import { uuid, type Random } from '#base/random.ts';
import type { InputRecord, InputValue } from '#client/command.ts';
import type { HeaderList } from '#wire/aws/http.ts';
import { scalarTypes, shapeOf, structureOf, type Member, type Model, type OperationModel } from '#wire/aws/model.ts';
import { base64Of } from '#wire/aws/scalars.ts';
import { timestampText, type RequestTimestamp } from './timestamps.ts';

export interface EncodedRequest {
  readonly method: string;
  /** Percent-encoded, begins with a slash. */
  readonly path: string;
  /** Without the question mark; '' when there is none. */
  readonly query: string;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
  /** Whether the signature leaves out the body, as for streams. */
  readonly unsignedPayload: boolean;
}

/** The input with the members filled in that clients fill in; the same for all attempts of one call. */
export function completeInput(
  model: Model,
  operation: OperationModel,
  input: InputRecord,
  random: Random,
): InputRecord {
  if (operation.input === undefined) return input;
  const tokens = [...structureOf(model, operation.input).members]
    .filter(([name, member]) => member.token === true && (input[name] ?? null) === null)
    .map(([name]) => [name, uuid(random)] as const);
  return tokens.length === 0 ? input : { ...input, ...Object.fromEntries(tokens) };
}

/** Throws ClientError when a timestamp is none. */
export function encodeRequest(
  model: Model,
  name: string,
  operation: OperationModel,
  input: InputRecord,
): EncodedRequest {
  switch (model.protocol) {
    case 'awsJson1_1':
      return posted(
        [
          ['X-Amz-Target', `${model.targetPrefix}.${name}`],
          ['Content-Type', 'application/x-amz-json-1.1'],
        ],
        JSON.stringify(operation.input === undefined ? {} : jsonOfStructure(model, operation.input, input)),
      );
    case 'awsQuery':
    case 'ec2Query':
      return formRequest(formFields(model, name, operation, input));
    case 'restJson1':
      return restRequest(model, operation, input);
  }
}

/** The parameters of a query protocol in their order. */
export function formFields(
  model: Model,
  name: string,
  operation: OperationModel,
  input: InputRecord,
): readonly FormField[] {
  const fields: FormField[] = [
    ['Action', name],
    ['Version', model.apiVersion],
  ];
  if (operation.input !== undefined) addStructure(model, operation.input, input, '', fields);
  return fields;
}

export type FormField = readonly [name: string, value: string];

export function formRequest(fields: readonly FormField[]): EncodedRequest {
  return posted([['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8']], formText(fields));
}

/** As Python's `urlencode` writes it: a blank is a plus sign. */
export function formText(fields: readonly FormField[]): string {
  return fields.map(([name, value]) => `${formEncoded(name)}=${formEncoded(value)}`).join('&');
}

/** Percent-encoded but for letters, digits and `-._~`. */
export function uriEncoded(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function formEncoded(text: string): string {
  return uriEncoded(text).replaceAll('%20', '+');
}

function posted(headers: HeaderList, body: string): EncodedRequest {
  return { method: 'POST', path: '/', query: '', headers, body: Buffer.from(body), unsignedPayload: false };
}

function membersOf(
  model: Model,
  shapeName: string,
  value: InputValue,
): readonly (readonly [string, Member, InputValue])[] {
  const { members } = structureOf(model, shapeName);
  return Object.entries(value as InputRecord).flatMap(([name, item]) => {
    const member = members.get(name);
    return member === undefined || item === null ? [] : [[name, member, item] as const];
  });
}

function jsonOfStructure(model: Model, shapeName: string, value: InputValue): unknown {
  return Object.fromEntries(
    membersOf(model, shapeName, value).map(([name, member, item]) => [name, jsonOf(model, member, item)]),
  );
}

function jsonOf(model: Model, member: Member, value: InputValue): unknown {
  if (value === null) return null;
  if (member.type === 'timestamp') {
    const format = member.timestamp ?? 'epoch-seconds';
    const text = timestampText(value as RequestTimestamp, format);
    return format === 'epoch-seconds' ? Number(text) : text;
  }
  if (member.type === 'blob') return blobText(value);
  if (scalarTypes.has(member.type)) return value;
  const shape = shapeOf(model, member.type);
  if (shape.kind === 'list') return (value as readonly InputValue[]).map((item) => jsonOf(model, shape.item, item));
  if (shape.kind === 'structure') return jsonOfStructure(model, member.type, value);
  return Object.fromEntries(
    Object.entries(value as InputRecord).map(([key, item]) => [key, jsonOf(model, shape.value, item)]),
  );
}

function addStructure(model: Model, shapeName: string, value: InputValue, prefix: string, fields: FormField[]): void {
  for (const [name, member, item] of membersOf(model, shapeName, value)) {
    addValue(model, member, item, `${prefix}${member.query ?? name}`, fields);
  }
}

function addValue(model: Model, member: Member, value: InputValue, name: string, fields: FormField[]): void {
  if (scalarTypes.has(member.type)) {
    fields.push([name, scalarText(member, value, 'date-time')]);
    return;
  }
  const shape = shapeOf(model, member.type);
  if (shape.kind === 'structure') {
    addStructure(model, member.type, value, `${name}.`, fields);
    return;
  }
  assert(shape.kind === 'list', 'no operation of a query protocol takes a map');
  const items = value as readonly InputValue[];
  const isEc2 = model.protocol === 'ec2Query';
  // The query protocol has a way to say that a list is empty; EC2's has none.
  if (items.length === 0 && !isEc2) fields.push([name, '']);
  for (const [index, item] of items.entries()) {
    addValue(model, shape.item, item, `${name}${isEc2 ? '' : '.member'}.${index + 1}`, fields);
  }
}

function restRequest(model: Model, operation: OperationModel, input: InputRecord): EncodedRequest {
  const { method, uri } = operation.http ?? { method: 'POST', uri: '/' };
  const query: string[] = [];
  const headers: [string, string][] = [];
  const json: Record<string, unknown> = {};
  let path = uri;
  let payload: Uint8Array | null = null;
  for (const [name, member, value] of operation.input === undefined ? [] : membersOf(model, operation.input, input)) {
    const wireName = member.name ?? name;
    if (member.in === 'label') {
      const text = uriEncoded(scalarText(member, value, 'date-time'));
      path = path.replace(`{${name}}`, () => text).replace(`{${wireName}}`, () => text);
    } else if (member.in === 'query') {
      query.push(...queryTexts(model, member, value).map((text) => `${uriEncoded(wireName)}=${uriEncoded(text)}`));
    } else if (member.in === 'header') headers.push([wireName, headerText(scalarText(member, value, 'http-date'))]);
    else if (member.in === 'payload') payload = value instanceof Uint8Array ? value : Buffer.from(textOf(value));
    else json[name] = jsonOf(model, member, value);
  }
  const hasJson = Object.keys(json).length > 0;
  if (hasJson) headers.push(['Content-Type', 'application/json']);
  const body = payload ?? (hasJson ? Buffer.from(JSON.stringify(json)) : new Uint8Array(0));
  return { method, path, query: query.join('&'), headers, body, unsignedPayload: payload !== null };
}

function queryTexts(model: Model, member: Member, value: InputValue): readonly string[] {
  if (!Array.isArray(value)) return [scalarText(member, value, 'date-time')];
  const shape = shapeOf(model, member.type);
  assert(shape.kind === 'list', 'a list is given where the model has one');
  return (value as readonly InputValue[]).map((item) => scalarText(shape.item, item, 'date-time'));
}

function scalarText(member: Member, value: InputValue, timestampDefault: 'date-time' | 'http-date'): string {
  if (member.type === 'timestamp')
    return timestampText(value as RequestTimestamp, member.timestamp ?? timestampDefault);
  if (member.type === 'blob') return blobText(value);
  return textOf(value);
}

/** UTF-8, one character for each byte, as headers are held. */
function headerText(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function blobText(value: InputValue): string {
  return base64Of(value instanceof Uint8Array ? value : Buffer.from(textOf(value)));
}

function textOf(value: InputValue): string {
  if (typeof value === 'object') throw new TypeError('a scalar is given where the model has one');
  return String(value);
}
