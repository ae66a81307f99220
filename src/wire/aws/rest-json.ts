/** The protocol of the EBS direct APIs: members in the path, the query, headers and a JSON or binary body. */
import { headerValue, type HeaderList, type HttpReply, type HttpRequestParts } from './http.ts';
import { parseForm } from './form.ts';
import { JsonReader, jsonOfStructure, parseJsonObject } from './json-value.ts';
import {
  scalarTypes,
  shapeOf,
  structureOf,
  type Member,
  type Model,
  type OperationModel,
  type StructureShape,
} from './model.ts';
import { formatScalar, parseScalar, type Scalar } from './scalars.ts';
import { labelsOf } from './uri.ts';
import { WireError } from './wire-error.ts';

/** Throws WireError. */
export function decodeRestJson(model: Model, operation: OperationModel, request: HttpRequestParts): unknown {
  if (operation.input === undefined) return {};
  const shape = structureOf(model, operation.input);
  const bodyMembers = [...shape.members.values()].some((member) => member.in === undefined);
  const source = bodyMembers ? parseJsonObject(request.body) : {};
  const reader = new JsonReader(model);
  const bound = boundMembers(model, operation, shape, request);
  const body = reader.structure(operation.input, source, '', 0, (member) => member.in !== undefined);
  for (const [name, member] of shape.members) {
    if (member.in === undefined) continue;
    const value = bound.get(name);
    if (value === undefined) {
      if (shape.required.has(name)) reader.violations.missing(name);
      continue;
    }
    body[name] = value;
    if (typeof value === 'string' || typeof value === 'number' || Array.isArray(value)) {
      reader.violations.check(member, value, name);
    }
  }
  reader.violations.throwIfAny();
  return body;
}

/** The members that are not in the JSON body, by name. */
function boundMembers(
  model: Model,
  operation: OperationModel,
  shape: StructureShape,
  request: HttpRequestParts,
): ReadonlyMap<string, Scalar | readonly Scalar[]> {
  const labels = labelsOf(operation.http?.uri ?? '/', request.path) ?? new Map<string, string>();
  const query = parseForm(request.query);
  const values = new Map<string, Scalar | readonly Scalar[]>();
  for (const [name, member] of shape.members) {
    const texts = textsOf(name, member, labels, query, request);
    if (member.in === 'payload') values.set(name, request.body);
    else if (texts.length === 0) continue;
    else if (scalarTypes.has(member.type)) {
      values.set(name, parseScalar(member, texts[0] ?? '', name, timestampDefault(member)));
    } else {
      const list = shapeOf(model, member.type);
      if (list.kind !== 'list') throw new WireError('malformed', name, `The parameter ${name} cannot be read.`);
      values.set(
        name,
        texts.map((text) => parseScalar(list.item, text, name, timestampDefault(member))),
      );
    }
  }
  return values;
}

function textsOf(
  name: string,
  member: Member,
  labels: ReadonlyMap<string, string>,
  query: readonly (readonly [name: string, value: string])[],
  request: HttpRequestParts,
): readonly string[] {
  if (member.in === 'label') return listOf(labels.get(name));
  if (member.in === 'header') return listOf(headerValue(request.headers, member.name ?? name)?.trim());
  if (member.in !== 'query') return [];
  return query.filter(([given]) => given === (member.name ?? name)).map(([, value]) => value);
}

function listOf(text: string | undefined): readonly string[] {
  return text === undefined ? [] : [text];
}

function timestampDefault(member: Member): 'http-date' | 'date-time' {
  return member.in === 'header' ? 'http-date' : 'date-time';
}

export function encodeRestJson(model: Model, operation: OperationModel, output: unknown, requestId: string): HttpReply {
  const status = operation.http?.status ?? 200;
  const members =
    operation.output === undefined ? new Map<string, Member>() : structureOf(model, operation.output).members;
  const values = (output ?? {}) as Readonly<Record<string, unknown>>;
  const headers: [string, string][] = [['x-amzn-RequestId', requestId]];
  let payload: Uint8Array | null = null;
  for (const [name, member] of members) {
    const value = values[name];
    if (member.in === 'payload') payload = value instanceof Uint8Array ? value : new Uint8Array(0);
    else if (member.in === 'header' && value !== undefined && value !== null) {
      headers.push([member.name ?? name, formatScalar(member, value, 'http-date')]);
    }
  }
  if (payload !== null) return reply(status, 'application/octet-stream', headers, payload);
  const hasBody = [...members.values()].some((member) => member.in === undefined);
  if (!hasBody || operation.output === undefined) return { status, headers, body: new Uint8Array(0) };
  const json = jsonOfStructure(model, operation.output, output, (member) => member.in !== undefined);
  return reply(status, 'application/json', headers, new TextEncoder().encode(JSON.stringify(json)));
}

export function encodeRestJsonError(
  model: Model,
  error: {
    readonly code: string;
    readonly message: string;
    readonly status: number;
    readonly members: Readonly<Record<string, string | undefined>>;
  },
  requestId: string,
): HttpReply {
  const { code, message, status, members } = error;
  // Modelled errors of ebs spell it `Message`; the errors of the front door, which no model has, `message`.
  const messageName = model.errors.get(code)?.members.includes('Message') === true ? 'Message' : 'message';
  const headers: HeaderList = [
    ['x-amzn-RequestId', requestId],
    ['x-amzn-errortype', code],
  ];
  const body = new TextEncoder().encode(JSON.stringify({ [messageName]: message, ...members }));
  return reply(status, 'application/json', headers, body);
}

function reply(status: number, contentType: string, headers: HeaderList, body: Uint8Array): HttpReply {
  return { status, headers: [['Content-Type', contentType], ...headers], body };
}
