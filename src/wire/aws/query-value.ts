/** Turns the parameters of a query protocol into an input value, by the model. */
import { formTree, shortened, type FormNode } from './form.ts';
import { scalarTypes, shapeOf, structureOf, type Member, type Model, type StructureShape } from './model.ts';
import { parseScalar } from './scalars.ts';

/** How the two query protocols differ. */
export interface QueryDialect {
  /** Between a list's name and an index; null: nothing, as EC2 has it (`Filter.1`, and not `Filter.member.1`). */
  readonly listSegment: string | null;
  unknown(path: string): void;
  missing(path: string): void;
  check(member: Member, value: string | number | readonly unknown[], path: string): void;
}

/** Parameters of the protocol and of presigned URLs, which no operation has as members. */
const commonParameters = new Set([
  'Action',
  'Version',
  'AWSAccessKeyId',
  'Signature',
  'SignatureMethod',
  'SignatureVersion',
  'SecurityToken',
  'Timestamp',
  'Expires',
]);

/** The input structure `name` from parameters. Throws WireError for wrong types; the rest goes to the dialect. */
export function inputOfParameters(
  model: Model,
  name: string | undefined,
  parameters: readonly (readonly [name: string, value: string])[],
  dialect: QueryDialect,
): Readonly<Record<string, unknown>> {
  const own = parameters.filter(([given]) => !commonParameters.has(given) && !/^X-Amz-/i.test(given));
  const tree = formTree(own);
  if (name !== undefined) return new QueryReader(model, dialect).structure(structureOf(model, name), tree, '');
  for (const given of tree.children.keys()) dialect.unknown(shortened(given));
  return {};
}

const memberNames = new WeakMap<StructureShape, ReadonlyMap<string, string>>();

/** Members of a structure by their name in a form. */
function membersByQueryName(shape: StructureShape): ReadonlyMap<string, string> {
  const known = memberNames.get(shape);
  if (known !== undefined) return known;
  const names = new Map([...shape.members].map(([name, member]) => [member.query ?? name, name]));
  memberNames.set(shape, names);
  return names;
}

class QueryReader {
  readonly #model: Model;
  readonly #dialect: QueryDialect;

  constructor(model: Model, dialect: QueryDialect) {
    this.#model = model;
    this.#dialect = dialect;
  }

  structure(shape: StructureShape, node: FormNode, path: string): Record<string, unknown> {
    const names = membersByQueryName(shape);
    const value: Record<string, unknown> = {};
    for (const [given, child] of node.children) {
      const name = names.get(given);
      const member = name === undefined ? undefined : shape.members.get(name);
      const childPath = joined(path, given);
      if (name === undefined || member === undefined) this.#dialect.unknown(childPath);
      else {
        const read = this.#value(member, child, childPath);
        if (read !== undefined) value[name] = read;
      }
    }
    for (const name of shape.required) {
      if (!Object.hasOwn(value, name)) this.#dialect.missing(joined(path, shape.members.get(name)?.query ?? name));
    }
    return value;
  }

  /** Undefined when nothing that belongs here was given. */
  #value(member: Member, node: FormNode, path: string): unknown {
    if (scalarTypes.has(member.type)) return this.#scalar(member, node, path);
    const shape = shapeOf(this.#model, member.type);
    // `Tags=` is how awsQuery writes an empty list; nothing else has a value at the name of an aggregate.
    if (node.text !== null && node.text !== '') this.#dialect.unknown(path);
    if (shape.kind === 'structure') return this.structure(shape, node, path);
    if (shape.kind === 'map') return this.#map(shape, node, path);
    const items = this.#items(node, path, this.#dialect.listSegment).map(([itemPath, item]) =>
      this.#value(shape.item, item, itemPath),
    );
    const given = items.filter((item) => item !== undefined);
    this.#dialect.check(member, given, path);
    return given;
  }

  #scalar(member: Member, node: FormNode, path: string): unknown {
    for (const name of node.children.keys()) this.#dialect.unknown(joined(path, name));
    if (node.text === null) return undefined;
    const value = parseScalar(member, node.text, path, 'date-time');
    if (typeof value === 'string' || typeof value === 'number') this.#dialect.check(member, value, path);
    return value;
  }

  #map(
    shape: { readonly key: Member; readonly value: Member },
    node: FormNode,
    path: string,
  ): Readonly<Record<string, unknown>> {
    const value: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const [entryPath, entry] of this.#items(node, path, 'entry')) {
      const keyName = shape.key.query ?? 'key';
      const valueName = shape.value.query ?? 'value';
      const keyNode = entry.children.get(keyName);
      const valueNode = entry.children.get(valueName);
      if (keyNode?.text === null || keyNode === undefined) this.#dialect.missing(joined(entryPath, keyName));
      else if (valueNode === undefined) this.#dialect.missing(joined(entryPath, valueName));
      else value[keyNode.text] = this.#value(shape.value, valueNode, joined(entryPath, valueName));
    }
    return value;
  }

  /** The items of a list in the order of their indices, which may have gaps; no index makes anything be allocated. */
  #items(node: FormNode, path: string, segment: string | null): readonly (readonly [path: string, item: FormNode])[] {
    let list = node;
    let listPath = path;
    if (segment !== null) {
      for (const name of node.children.keys()) {
        if (name !== segment) this.#dialect.unknown(joined(path, name));
      }
      const inner = node.children.get(segment);
      if (inner === undefined) return [];
      list = inner;
      listPath = joined(path, segment);
    }
    const items: [number, FormNode][] = [];
    for (const [name, item] of list.children) {
      if (/^(0|[1-9]\d{0,9})$/.test(name)) items.push([Number(name), item]);
      else this.#dialect.unknown(joined(listPath, name));
    }
    items.sort(([left], [right]) => left - right);
    return items.map(([index, item]) => [joined(listPath, String(index)), item]);
  }
}

function joined(path: string, name: string): string {
  return path === '' ? shortened(name) : `${path}.${shortened(name)}`;
}
