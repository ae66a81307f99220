/**
 * Replies as documents, by the model, as the AWS command line reads them: members in the model's order and what the model does
 * not know left out; timestamps and blobs as the wire has them; numbers of XML by their types, numbers of JSON as they stand.
 */
import { isUtf8 } from 'node:buffer';
import type { Document, DocumentRecord } from '#client/command.ts';
import { floatDocument, integerDocument, parseDocument, WholeFloat } from '#client/whole-float.ts';
import { headerValue, type HeaderList } from '#wire/aws/http.ts';
import { scalarTypes, shapeOf, structureOf, type Member, type Model, type OperationModel } from '#wire/aws/model.ts';
import { failure } from '#client/failure.ts';
import { pythonBytes, pythonTypeOf } from '#client/python-text.ts';
import { isoTimestamp } from './timestamps.ts';
import { childOf, errorAt, parseXml, XmlError, type XmlElement } from './xml-document.ts';

export interface RawReply {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
}

export interface DecodeOptions {
  readonly timestamps: 'wire' | 'iso8601';
}

interface Operation {
  readonly name: string;
  readonly model: OperationModel;
}

/** The document of a success; without the member that is a stream of bytes. Throws ClientError when it cannot be read. */
export function decodeReply(
  model: Model,
  operation: Operation,
  reply: RawReply,
  options: DecodeOptions,
): DocumentRecord {
  const { output } = operation.model;
  if (model.protocol === 'ec2Query' || model.protocol === 'awsQuery') {
    const root = xmlOf(reply.body);
    if (output === undefined) return {};
    const start = model.protocol === 'awsQuery' ? childOf(root, `${operation.name}Result`) : root;
    if (start === null) throw failure(`'${operation.name}Result'`);
    return policiesDecoded(model, new XmlReply(model, options).structure(output, start));
  }
  if (output === undefined) return {};
  const bound = model.protocol === 'restJson1' ? boundMembers(model, output, reply.headers) : {};
  if (streamMember(model, operation.model) !== null) return bound;
  const body = jsonOfBody(reply.body);
  if (!isRecord(body)) {
    throw failure(`'${pythonTypeOf(body)}' object has no attribute '${body === null ? 'update' : 'get'}'`);
  }
  return { ...bound, ...new JsonReply(model, options).structure(output, body) };
}

/** The member of the reply that is the body as it comes; null: the body is a document. */
export function streamMember(model: Model, operation: OperationModel): string | null {
  if (model.protocol !== 'restJson1' || operation.output === undefined) return null;
  for (const [name, member] of structureOf(model, operation.output).members) {
    if (member.in === 'payload') return name;
  }
  return null;
}

/** Throws ClientError. */
export function xmlOf(body: Uint8Array): XmlElement {
  const text = Buffer.from(body).toString('utf8');
  try {
    if (!isUtf8(body)) throw errorAt(text, text.indexOf('\ufffd'), 'not well-formed (invalid token)');
    return parseXml(text);
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    throw failure(
      `Unable to parse response (${error.message}), invalid XML received. Further retries may succeed:\n${pythonBytes(body)}`,
    );
  }
}

/** The JSON of a body; what is none is a message, as botocore has it. */
export function jsonOfBody(body: Uint8Array): Document {
  if (body.length === 0) return {};
  const text = Buffer.from(body).toString('utf8');
  try {
    return isUtf8(body) ? parseDocument(text) : { message: text };
  } catch {
    return { message: text };
  }
}

export function isRecord(value: unknown): value is DocumentRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof WholeFloat);
}

function boundMembers(model: Model, output: string, headers: HeaderList): DocumentRecord {
  const bound: Record<string, Document> = {};
  for (const [name, member] of structureOf(model, output).members) {
    if (member.in !== 'header') continue;
    const text = headerValue(headers, member.name ?? name);
    if (text !== null) bound[name] = scalarOfText(member, text.trim());
  }
  return bound;
}

function scalarOfText(member: Member, text: string): Document {
  switch (member.type) {
    case 'boolean':
      return text === 'true';
    case 'integer':
    case 'long':
      if (!/^\s*[+-]?\d+\s*$/.test(text)) throw failure(`invalid literal for int() with base 10: '${text}'`);
      return integerDocument(BigInt(text.trim().replace(/^\+/, '')));
    case 'float':
    case 'double': {
      const value = Number(text);
      if (text.trim() === '' || Number.isNaN(value)) throw failure(`could not convert string to float: '${text}'`);
      return floatDocument(value);
    }
    default:
      return text;
  }
}

class JsonReply {
  readonly #model: Model;
  readonly #options: DecodeOptions;

  constructor(model: Model, options: DecodeOptions) {
    this.#model = model;
    this.#options = options;
  }

  structure(name: string, source: DocumentRecord): DocumentRecord {
    const value: Record<string, Document> = {};
    for (const [memberName, member] of structureOf(this.#model, name).members) {
      const given = Object.hasOwn(source, memberName) ? source[memberName] : undefined;
      if (given !== undefined && given !== null) value[memberName] = this.#value(member, given);
    }
    return value;
  }

  #value(member: Member, given: Document): Document {
    if (given === null) return null;
    if (scalarTypes.has(member.type)) {
      const isInstant = member.type === 'timestamp' && this.#options.timestamps === 'iso8601';
      return isInstant ? isoDocument(given) : asItCame(given);
    }
    const shape = shapeOf(this.#model, member.type);
    if (shape.kind === 'list' && Array.isArray(given)) return given.map((item) => this.#value(shape.item, item));
    if (shape.kind === 'list' || !isRecord(given)) return asItCame(given);
    if (shape.kind === 'structure') return this.structure(member.type, given);
    return Object.fromEntries(Object.entries(given).map(([key, item]) => [key, this.#value(shape.value, item)]));
  }
}

class XmlReply {
  readonly #model: Model;
  readonly #options: DecodeOptions;

  constructor(model: Model, options: DecodeOptions) {
    this.#model = model;
    this.#options = options;
  }

  structure(name: string, element: XmlElement): DocumentRecord {
    const byName = new Map<string, XmlElement>();
    for (const child of element.children) if (!byName.has(child.name)) byName.set(child.name, child);
    const value: Record<string, Document> = {};
    for (const [memberName, member] of structureOf(this.#model, name).members) {
      const child = byName.get(member.xml ?? memberName);
      if (child !== undefined) value[memberName] = this.#value(member, child);
    }
    return value;
  }

  #value(member: Member, element: XmlElement): Document {
    if (scalarTypes.has(member.type)) {
      const value = scalarOfText(member, element.text);
      const isInstant = member.type === 'timestamp' && this.#options.timestamps === 'iso8601';
      return isInstant ? isoDocument(value) : value;
    }
    const shape = shapeOf(this.#model, member.type);
    if (shape.kind === 'structure') return this.structure(member.type, element);
    if (shape.kind === 'list') return element.children.map((child) => this.#value(shape.item, child));
    const entries = element.children.map((entry) => {
      const key = childOf(entry, shape.key.xml ?? 'key');
      const value = childOf(entry, shape.value.xml ?? 'value');
      if (key === null || value === null) throw failure(`Unknown tag: ${entry.children[0]?.name ?? entry.name}`);
      return [key.text, this.#value(shape.value, value)] as const;
    });
    return Object.fromEntries(entries);
  }
}

/** Python reads no JSON that nests deeper. */
const DEPTH_MAX = 990;

/** What the model has as something else. Throws ClientError where it nests so deeply that nothing can print it. */
function asItCame(given: Document): Document {
  let level: readonly Document[] = [given];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEPTH_MAX) throw failure('maximum recursion depth exceeded while decoding a JSON document');
    level = level.flatMap((value) => (Array.isArray(value) || isRecord(value) ? Object.values(value) : []));
  }
  return given;
}

function isoDocument(value: Document): Document {
  const plain = value instanceof WholeFloat ? value.value : value;
  return typeof plain === 'string' || typeof plain === 'number' ? isoTimestamp(plain) : value;
}

/** Where replies of IAM hold a policy: as percent-encoded JSON, which is printed as the document that it is. */
const policyMembers = new Set(['PolicyDocument', 'AssumeRolePolicyDocument', 'Document']);

function policiesDecoded(model: Model, document: DocumentRecord): DocumentRecord {
  if (model.service !== 'iam') return document;
  return Object.fromEntries(
    Object.entries(document).map(([name, value]) => [
      name,
      typeof value === 'string' && policyMembers.has(name) ? policyOf(value) : withinDecoded(model, value),
    ]),
  );
}

function withinDecoded(model: Model, value: Document): Document {
  if (Array.isArray(value)) return (value as readonly Document[]).map((item) => withinDecoded(model, item));
  return isRecord(value) ? policiesDecoded(model, value) : value;
}

function policyOf(text: string): Document {
  try {
    return parseDocument(decodeURIComponent(text));
  } catch {
    return text;
  }
}
