/** The distilled API model of a service at run time: loaded once, looked up by Map, so a client's name never meets Object.prototype. */
import { readFileSync } from 'node:fs';
import { present } from '#base/assert.ts';
import type { ServiceName } from './operations.ts';

export type ProtocolName = 'awsJson1_1' | 'ec2Query' | 'awsQuery' | 'restJson1';

export type ScalarType = 'string' | 'boolean' | 'integer' | 'long' | 'float' | 'double' | 'timestamp' | 'blob';

/** What the constraint overlay says of a value: characters of a string, items of a list, bounds of a number. */
export interface Constraint {
  readonly min?: number;
  readonly max?: number;
  /** Must match the whole value, as on the reference pages. */
  readonly pattern?: string;
}

/** A member of a structure, the item of a list, or the key or value of a map. */
export interface Member extends Constraint {
  /** A ScalarType or the name of a shape. */
  readonly type: string;
  /** Name of the enumeration that a string belongs to. */
  readonly enum?: string;
  /** Name in the form body of a query protocol, when it differs from the member's. */
  readonly query?: string;
  /** Name of the element in an XML reply, when it differs from the member's. */
  readonly xml?: string;
  /** Where HTTP carries it, when not in the body; `payload`: it is the body. */
  readonly in?: 'label' | 'query' | 'header' | 'payload';
  /** Name of the header or query parameter. */
  readonly name?: string;
  /** When not the protocol's default. */
  readonly timestamp?: 'date-time' | 'http-date' | 'epoch-seconds';
  /** Clients fill it with a fresh token for every call. */
  readonly token?: true;
  readonly sensitive?: true;
}

export type Shape =
  | {
      readonly kind: 'structure';
      readonly required?: readonly string[];
      /** In the order of the API reference. */
      readonly members: Readonly<Record<string, Member>>;
      readonly sensitive?: true;
    }
  | { readonly kind: 'list'; readonly item: Member; readonly sensitive?: true }
  | { readonly kind: 'map'; readonly key: Member; readonly value: Member; readonly sensitive?: true };

export interface OperationModel {
  /** Name of a structure; absent: the operation takes nothing. */
  readonly input?: string;
  readonly output?: string;
  readonly http?: { readonly method: string; readonly uri: string; readonly status: number };
  /** Names of errors; EC2's model has none. */
  readonly errors?: readonly string[];
}

export interface ErrorModel {
  /** The code on the wire, when it is not the name of the error. */
  readonly code?: string;
  readonly fault: 'client' | 'server';
  readonly status?: number;
  readonly members: readonly string[];
}

/** The file `models/<service>.json`. */
export interface ModelFile {
  readonly notice: string;
  readonly service: ServiceName;
  readonly protocol: ProtocolName;
  readonly apiVersion: string;
  /** What precedes the operation in X-Amz-Target. */
  readonly targetPrefix?: string;
  readonly xmlNamespace?: string;
  readonly operations: Readonly<Record<string, OperationModel>>;
  /** Operations that the service has and this model leaves out. */
  readonly otherOperations: readonly string[];
  readonly errors: Readonly<Record<string, ErrorModel>>;
  readonly enums: Readonly<Record<string, readonly string[]>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** A structure with its members by name. */
export interface StructureShape {
  readonly kind: 'structure';
  readonly required: ReadonlySet<string>;
  readonly members: ReadonlyMap<string, Member>;
  readonly sensitive: boolean;
}

export type RuntimeShape = StructureShape | Exclude<Shape, { kind: 'structure' }>;

export interface Model {
  readonly service: ServiceName;
  readonly protocol: ProtocolName;
  readonly apiVersion: string;
  readonly targetPrefix: string | null;
  readonly xmlNamespace: string | null;
  readonly operations: ReadonlyMap<string, OperationModel>;
  readonly otherOperations: ReadonlySet<string>;
  /** By their code on the wire. */
  readonly errors: ReadonlyMap<string, ErrorModel & { readonly name: string }>;
  readonly enums: ReadonlyMap<string, ReadonlySet<string>>;
  readonly shapes: ReadonlyMap<string, RuntimeShape>;
}

export const scalarTypes: ReadonlySet<string> = new Set<ScalarType>([
  'string',
  'boolean',
  'integer',
  'long',
  'float',
  'double',
  'timestamp',
  'blob',
]);

const loaded = new Map<ServiceName, Model>();

/** The model of a service, parsed at its first use (a few milliseconds). */
export function loadModel(service: ServiceName): Model {
  const known = loaded.get(service);
  if (known !== undefined) return known;
  const file = JSON.parse(readFileSync(new URL(`./models/${service}.json`, import.meta.url), 'utf8')) as ModelFile;
  const model = runtimeModel(file);
  loaded.set(service, model);
  return model;
}

/** The shape of a name that the model itself uses. */
export function shapeOf(model: Model, name: string): RuntimeShape {
  return present(model.shapes.get(name), `the ${model.service} model holds the shape ${name}`);
}

export function structureOf(model: Model, name: string): StructureShape {
  const shape = shapeOf(model, name);
  if (shape.kind !== 'structure') throw new TypeError(`${name} is a structure`);
  return shape;
}

function runtimeModel(file: ModelFile): Model {
  return {
    service: file.service,
    protocol: file.protocol,
    apiVersion: file.apiVersion,
    targetPrefix: file.targetPrefix ?? null,
    xmlNamespace: file.xmlNamespace ?? null,
    operations: new Map(Object.entries(file.operations)),
    otherOperations: new Set(file.otherOperations),
    errors: new Map(Object.entries(file.errors).map(([name, error]) => [error.code ?? name, { ...error, name }])),
    enums: new Map(Object.entries(file.enums).map(([name, values]) => [name, new Set(values)])),
    shapes: new Map(Object.entries(file.shapes).map(([name, shape]) => [name, runtimeShape(shape)])),
  };
}

function runtimeShape(shape: Shape): RuntimeShape {
  if (shape.kind !== 'structure') return shape;
  return {
    kind: 'structure',
    required: new Set(shape.required ?? []),
    members: new Map(Object.entries(shape.members)),
    sensitive: shape.sensitive === true,
  };
}
