/**
 * Turns a package's run-time schemas and declarations into our model.
 *
 * A schema is a tuple: `[3, namespace, name, traits, memberNames, memberSchemas, requiredCount]` for a structure (-3 for an
 * error), `[1, …, traits, item]` for a list, `[2, …, traits, key, value]` for a map, `[0, …, traits, schema]` for a named
 * simple type, `[9, …, traits, input, output]` for an operation. A number alone is a simple type, with 64 a list of it, with
 * 128 a map of it. Schemas that refer to others do so through functions; a member with traits is a pair.
 */
import type { Constraint, ErrorModel, Member, ModelFile, OperationModel, Shape } from '#wire/aws/model.ts';
import type { DeclaredType, Declarations } from './declarations.ts';
import type { Overlay } from './overlay.ts';
import type { ServiceSource } from './sources.ts';

type Traits = Readonly<Record<string, unknown>>;
type Tuple = readonly unknown[];

const traitOfBit = [
  'httpLabel',
  'idempotent',
  'idempotencyToken',
  'sensitive',
  'httpPayload',
  'httpResponseCode',
  'httpQueryParams',
] as const;

const simpleTypes = new Map<number, { readonly type: string; readonly timestamp?: Member['timestamp'] }>([
  [0, { type: 'string' }],
  [1, { type: 'integer' }],
  [2, { type: 'boolean' }],
  [4, { type: 'timestamp' }],
  [5, { type: 'timestamp', timestamp: 'date-time' }],
  [6, { type: 'timestamp', timestamp: 'http-date' }],
  [7, { type: 'timestamp', timestamp: 'epoch-seconds' }],
  [21, { type: 'blob' }],
  [42, { type: 'blob' }],
]);

/** A structure of which one member is given. */
const UNION = 4;
const LIST = 64;
const MAP = 128;

export interface DistilInput {
  readonly source: ServiceSource;
  readonly packageVersion: string;
  /** What the package's root exports. */
  readonly exports: Readonly<Record<string, unknown>>;
  readonly declarations: Declarations;
  readonly overlay: Overlay;
}

export function distil(input: DistilInput): ModelFile {
  return new Distillation(input).model();
}

class Distillation {
  readonly #input: DistilInput;
  readonly #shapes = new Map<string, Shape>();
  readonly #errors = new Map<string, ErrorModel>();
  readonly #enums = new Map<string, readonly string[]>();
  readonly #constraintsUsed = new Set<string>();
  readonly #numbersUsed = new Set<string>();

  constructor(input: DistilInput) {
    this.#input = input;
  }

  model(): ModelFile {
    const { source, exports, overlay } = this.#input;
    const tuples = new Map<string, Tuple>();
    for (const value of Object.values(exports)) {
      if (Array.isArray(value) && value[0] === 9) tuples.set(String(value[2]), value);
    }
    const names = [...tuples.keys()].sort();
    const chosen = source.operations === null ? names : source.operations.toSorted();
    const operations: Record<string, OperationModel> = {};
    for (const name of chosen) {
      const tuple = tuples.get(name);
      if (tuple === undefined) throw new Error(`${source.package} has no operation ${name}`);
      operations[name] = this.#operation(name, tuple);
    }
    for (const value of Object.values(exports)) this.#error(value);
    const unused = [
      ...Object.keys(overlay.constraints).filter((key) => !this.#constraintsUsed.has(key)),
      ...Object.keys(overlay.numbers).filter((key) => !this.#numbersUsed.has(key)),
    ];
    if (unused.length > 0)
      throw new Error(`the overlay of ${source.service} names what the model lacks: ${unused.join(', ')}`);
    return {
      notice:
        `Derived from ${source.package} ${this.#input.packageVersion}, ` +
        'Copyright Amazon.com, Inc. or its affiliates, licensed under the Apache License 2.0. ' +
        'Changed: distilled by scripts/model/build.ts, constraints added by hand.',
      service: source.service,
      protocol: source.protocol,
      apiVersion: source.apiVersion,
      ...(source.targetPrefix !== undefined && { targetPrefix: source.targetPrefix }),
      ...(source.xmlNamespace !== undefined && { xmlNamespace: source.xmlNamespace }),
      operations,
      otherOperations: names.filter((name) => !Object.hasOwn(operations, name)),
      errors: sorted(this.#errors),
      enums: sorted(this.#enums),
      shapes: sorted(this.#shapes),
    };
  }

  #operation(name: string, tuple: Tuple): OperationModel {
    const { source, declarations } = this.#input;
    const traits = traitsOf(tuple[3]);
    const http = traits['http'] as readonly [string, string, number] | undefined;
    const input = this.#root(tuple[4]);
    const output = this.#root(tuple[5]);
    const errors = (declarations.errors.get(name) ?? []).filter((error) => error !== source.baseError);
    return {
      ...(input !== null && { input }),
      ...(output !== null && { output }),
      ...(http !== undefined &&
        source.protocol === 'restJson1' && { http: { method: http[0], uri: http[1], status: http[2] } }),
      ...(errors.length > 0 && { errors }),
    };
  }

  /** The input or output of an operation: a structure, or nothing. */
  #root(reference: unknown): string | null {
    const schema = resolve(reference);
    return schema === 'unit' ? null : this.#member(schema, null, 'root').type;
  }

  #error(value: unknown): void {
    if (!Array.isArray(value) || value[0] !== -3) return;
    const name = String(value[2]);
    if (name === this.#input.source.baseError) return;
    const traits = traitsOf(value[3]);
    // A service of JSON that once had a query protocol keeps its old codes; its clients go by the name.
    const isQuery = this.#input.source.protocol === 'awsQuery';
    const query = isQuery ? (traits['awsQueryError'] as readonly [string, number] | undefined) : undefined;
    const status = query?.[1] ?? (traits['httpError'] as number | undefined);
    this.#errors.set(name, {
      ...(query !== undefined && query[0] !== name && { code: query[0] }),
      fault: traits['error'] === 'server' ? 'server' : 'client',
      ...(status !== undefined && { status }),
      members: value[4] as readonly string[],
    });
  }

  /** A use of a schema: registers the shapes that it needs and names its type. */
  #member(reference: unknown, declared: DeclaredType | null, path: string): Member {
    const [schema, ownTraits] = unpair(reference);
    const resolved = resolve(schema);
    if (typeof resolved === 'number') return this.#simple(resolved, ownTraits, declared, path);
    const tuple = resolved as Tuple;
    const name = String(tuple[2]);
    switch (tuple[0]) {
      case 0: {
        const merged = { ...traitsOf(tuple[3]), ...ownTraits };
        return this.#member([tuple[4], merged], declared, path);
      }
      case 1:
      case 2:
      case 3:
      case UNION:
        this.#shape(name, tuple, declared);
        return { type: name, ...this.#traits(ownTraits), ...this.#constraint(path) };
      default:
        throw new Error(`schema ${name} is of the unknown kind ${String(tuple[0])}`);
    }
  }

  #simple(code: number, traits: Traits, declared: DeclaredType | null, path: string): Member {
    const many = code & (LIST | MAP);
    if (many !== 0) return this.#anonymous(code - many, many, traits, declared, path);
    const simple = simpleTypes.get(code);
    if (simple === undefined) throw new Error(`${path} is of the unknown simple type ${code}`);
    const kind = this.#input.overlay.numbers[path];
    if (kind !== undefined) this.#numbersUsed.add(path);
    const enumeration = simple.type === 'string' ? this.#enumeration(declared) : null;
    return {
      type: simple.type === 'integer' && kind !== undefined ? kind : simple.type,
      ...(enumeration !== null && { enum: enumeration }),
      ...(simple.timestamp !== undefined && { timestamp: simple.timestamp }),
      ...this.#traits(traits),
      ...this.#constraint(path),
    };
  }

  /** A list or map of a simple type that has no shape of its own in the package. */
  #anonymous(code: number, many: number, traits: Traits, declared: DeclaredType | null, path: string): Member {
    const isList = many === LIST;
    const valueDeclared = declaredItem(declared);
    const value = this.#simple(code, {}, valueDeclared, `${path}[]`);
    const key = isList ? null : this.#simple(0, {}, declared?.kind === 'map' ? declared.key : null, `${path}{}`);
    const constrained = value.min ?? value.max ?? value.pattern;
    const name =
      constrained === undefined
        ? `${value.enum ?? value.type}${isList ? '[]' : `{${key?.enum ?? ''}}`}`
        : `${path}${isList ? '[]' : '{}'}`;
    this.#shapes.set(name, key === null ? { kind: 'list', item: value } : { kind: 'map', key, value });
    return { type: name, ...this.#traits(traits), ...this.#constraint(path) };
  }

  #shape(name: string, tuple: Tuple, declared: DeclaredType | null): void {
    if (this.#shapes.has(name)) return;
    const sensitive = traitsOf(tuple[3])['sensitive'] === 1 && { sensitive: true as const };
    if (tuple[0] === 3 || tuple[0] === UNION) {
      // The place is taken first: a structure may contain itself.
      this.#shapes.set(name, { kind: 'structure', members: {} });
      this.#shapes.set(name, { ...this.#structure(name, tuple), ...sensitive });
    } else if (tuple[0] === 1) {
      this.#shapes.set(name, {
        kind: 'list',
        item: this.#member(tuple[4], declaredItem(declared), `${name}[]`),
        ...sensitive,
      });
    } else {
      const key = this.#member(tuple[4], declared?.kind === 'map' ? declared.key : null, `${name}{}`);
      const value = this.#member(tuple[5], declaredItem(declared), `${name}[]`);
      this.#shapes.set(name, { kind: 'map', key, value, ...sensitive });
    }
  }

  #structure(name: string, tuple: Tuple): Shape {
    const names = tuple[4] as readonly string[];
    const schemas = tuple[5] as readonly unknown[];
    const requiredCount = (tuple[6] as number | undefined) ?? 0;
    // The declaration of a union has no members of its own.
    const declared =
      this.#input.declarations.members.get(name) ??
      // The name is TypeScript's own.
      this.#input.declarations.members.get(`_${name}`) ??
      (tuple[0] === UNION ? new Map<string, DeclaredType | null>(names.map((member) => [member, null])) : undefined);
    if (declared === undefined) throw new Error(`no declaration of ${name}`);
    const schemaOf = new Map(names.map((member, index) => [member, schemas[index]]));
    const ordered = [...declared.keys()].filter((member) => schemaOf.has(member));
    if (ordered.length !== names.length) throw new Error(`${name} is declared with other members than its schema has`);
    const members: Record<string, Member> = {};
    for (const member of ordered) {
      const distilled = this.#member(schemaOf.get(member), declared.get(member) ?? null, `${name}.${member}`);
      members[member] = this.#named(member, distilled, unpair(schemaOf.get(member))[1]);
    }
    const required = names.slice(0, requiredCount);
    return {
      kind: 'structure',
      ...(required.length > 0 && { required: ordered.filter((member) => required.includes(member)) }),
      members,
    };
  }

  /** Adds the names that a structure's member has on the wire. */
  #named(member: string, distilled: Member, traits: Traits): Member {
    const { protocol } = this.#input.source;
    const { type, ...rest } = distilled;
    const { xml: xmlName, ...others } = rest;
    const xml = xmlName ?? member;
    const query =
      protocol === 'ec2Query'
        ? ((traits['ec2QueryName'] as string | undefined) ?? xml.charAt(0).toUpperCase() + xml.slice(1))
        : xml;
    const isQuery = protocol === 'ec2Query' || protocol === 'awsQuery';
    return {
      type,
      ...(isQuery && query !== member && { query }),
      ...(isQuery && xml !== member && { xml }),
      ...others,
    };
  }

  #traits(traits: Traits): Partial<Member> {
    const isRest = this.#input.source.protocol === 'restJson1';
    return {
      ...(typeof traits['xmlName'] === 'string' && { xml: traits['xmlName'] }),
      ...(isRest && httpBinding(traits)),
      ...(traits['idempotencyToken'] === 1 && { token: true }),
      ...(traits['sensitive'] === 1 && { sensitive: true }),
    };
  }

  #constraint(path: string): Constraint {
    const constraint = this.#input.overlay.constraints[path];
    if (constraint === undefined) return {};
    this.#constraintsUsed.add(path);
    return constraint;
  }

  #enumeration(declared: DeclaredType | null): string | null {
    if (declared?.kind !== 'name') return null;
    const values = this.#input.exports[declared.name];
    if (values === null || typeof values !== 'object' || Array.isArray(values)) return null;
    const name = declared.name.replace(/^_/, '');
    this.#enums.set(name, Object.values(values) as readonly string[]);
    return name;
  }
}

function httpBinding(traits: Traits): Partial<Member> {
  if (traits['httpLabel'] === 1) return { in: 'label' };
  if (traits['httpPayload'] === 1) return { in: 'payload' };
  if (typeof traits['httpQuery'] === 'string') return { in: 'query', name: traits['httpQuery'] };
  if (typeof traits['httpHeader'] === 'string') return { in: 'header', name: traits['httpHeader'] };
  return {};
}

function declaredItem(declared: DeclaredType | null): DeclaredType | null {
  if (declared?.kind === 'list') return declared.item;
  return declared?.kind === 'map' ? declared.value : null;
}

/** Parts a `[schema, traits]` pair; a tuple of a schema begins with its kind and a namespace. */
function unpair(reference: unknown): readonly [schema: unknown, traits: Traits] {
  if (!Array.isArray(reference) || typeof reference[1] === 'string') return [reference, {}];
  return [reference[0], traitsOf(reference[1])];
}

function resolve(reference: unknown): unknown {
  return typeof reference === 'function' ? resolve((reference as () => unknown)()) : reference;
}

function traitsOf(traits: unknown): Traits {
  if (typeof traits === 'object' && traits !== null) return traits as Traits;
  const bits = Number(traits ?? 0);
  return Object.fromEntries(traitOfBit.filter((_, index) => ((bits >> index) & 1) === 1).map((trait) => [trait, 1]));
}

function sorted<T>(map: ReadonlyMap<string, T>): Record<string, T> {
  return Object.fromEntries([...map].sort(([left], [right]) => (left < right ? -1 : 1)));
}
