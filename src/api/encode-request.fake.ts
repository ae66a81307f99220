import { type Member, type Model, scalarTypes, shapeOf, structureOf } from '#wire/aws/model.ts';
import type { ClientRequest } from './signing-client.fake.ts';

/** An operation's input as a client puts it on the wire, by the model; for tests that call everything. */
export function encodeRequest(
  model: Model,
  operation: string,
  input: Readonly<Record<string, unknown>>,
): ClientRequest {
  const operationModel = model.operations.get(operation);
  if (operationModel === undefined) throw new Error(`the ${model.service} model has no ${operation}`);
  const shape = operationModel.input ?? null;
  switch (model.protocol) {
    case 'awsJson1_1':
      return {
        service: model.service,
        body: JSON.stringify(shape === null ? {} : jsonOf(model, shape, input)),
        headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `${model.targetPrefix}.${operation}` },
      };
    case 'awsQuery':
    case 'ec2Query': {
      const form = new URLSearchParams({ Action: operation, Version: model.apiVersion });
      if (shape !== null) formOf(model, shape, input, '', form);
      return {
        service: model.service,
        body: form.toString(),
        headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
      };
    }
    case 'restJson1':
      return restOf(model, shape, input, operationModel.http ?? { method: 'POST', uri: '/', status: 200 });
  }
}

function jsonOf(model: Model, shapeName: string, value: unknown): unknown {
  const shape = shapeOf(model, shapeName);
  if (shape.kind === 'list') return (value as unknown[]).map((item) => jsonValue(model, shape.item, item));
  const entries = Object.entries(value as object);
  if (shape.kind === 'map')
    return Object.fromEntries(entries.map(([key, item]) => [key, jsonValue(model, shape.value, item)]));
  return Object.fromEntries(
    entries.map(([name, item]) => [name, jsonValue(model, shape.members.get(name) ?? { type: 'string' }, item)]),
  );
}

function jsonValue(model: Model, member: Member, value: unknown): unknown {
  if (value instanceof Date) return member.timestamp === 'date-time' ? value.toISOString() : value.getTime() / 1000;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return scalarTypes.has(member.type) ? value : jsonOf(model, member.type, value);
}

function formOf(model: Model, shapeName: string, value: unknown, prefix: string, form: URLSearchParams): void {
  const shape = structureOf(model, shapeName);
  for (const [name, item] of Object.entries(value as object)) {
    const member = shape.members.get(name);
    if (member !== undefined) formValue(model, member, item, `${prefix}${member.query ?? name}`, form);
  }
}

function formValue(model: Model, member: Member, value: unknown, name: string, form: URLSearchParams): void {
  if (scalarTypes.has(member.type)) {
    const text =
      value instanceof Date
        ? value.toISOString()
        : value instanceof Uint8Array
          ? Buffer.from(value).toString('base64')
          : String(value);
    form.set(name, text);
    return;
  }
  const shape = shapeOf(model, member.type);
  if (shape.kind === 'structure') formOf(model, member.type, value, `${name}.`, form);
  else if (shape.kind === 'list') {
    const segment = model.protocol === 'awsQuery' ? '.member' : '';
    for (const [index, item] of (value as unknown[]).entries())
      formValue(model, shape.item, item, `${name}${segment}.${index + 1}`, form);
  }
}

function restOf(
  model: Model,
  shapeName: string | null,
  input: Readonly<Record<string, unknown>>,
  http: { readonly method: string; readonly uri: string },
): ClientRequest {
  let path = http.uri;
  let body: string | Uint8Array = '';
  const query: string[] = [];
  const headers: Record<string, string> = {};
  const json: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(input)) {
    const member = shapeName === null ? undefined : structureOf(model, shapeName).members.get(name);
    if (member === undefined) continue;
    const wireName = member.name ?? name;
    const texts = Array.isArray(value) ? value.map(String) : [String(value)];
    if (member.in === 'label')
      path = path.replace(new RegExp(`\\{(?:${name}|${wireName})\\}`), encodeURIComponent(texts[0] ?? ''));
    else if (member.in === 'query')
      query.push(...texts.map((text) => `${encodeURIComponent(wireName)}=${encodeURIComponent(text)}`));
    else if (member.in === 'header') headers[wireName.toLowerCase()] = texts[0] ?? '';
    else if (member.in === 'payload') body = value as Uint8Array;
    else json[name] = jsonValue(model, member, value);
  }
  if (body === '' && http.method !== 'GET' && http.method !== 'DELETE') {
    body = JSON.stringify(json);
    headers['content-type'] = 'application/json';
  }
  return { service: model.service, method: http.method, path, query: query.sort().join('&'), headers, body };
}
