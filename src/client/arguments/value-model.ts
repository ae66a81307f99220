/** What the model says of a value of a request, with what clients know beyond it: the least lengths and numbers. */
import { readFileSync } from 'node:fs';
import { scalarTypes, shapeOf, type Member, type Model, type RuntimeShape, type ScalarType } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

/** A value's place in the model: its member, and the path that the table of minimums knows it by. */
export interface ValueModel {
  readonly model: Model;
  readonly member: Member;
  /** `CreateSnapshotRequest.TagSpecifications[]`, from the structure that the value is in. */
  readonly path: string;
}

export type ValueKind =
  | { readonly kind: 'scalar'; readonly type: ScalarType }
  | Exclude<RuntimeShape, { readonly kind: 'scalar' }>;

export function kindOf({ model, member }: ValueModel): ValueKind {
  if (isScalarType(member.type)) return { kind: 'scalar', type: member.type };
  return shapeOf(model, member.type);
}

/** The members of the structure that a value is. */
export function membersOf(value: ValueModel): ReadonlyMap<string, ValueModel> {
  const kind = kindOf(value);
  if (kind.kind !== 'structure') throw new TypeError(`${value.path} is a structure`);
  return new Map(
    [...kind.members].map(([name, member]) => [
      name,
      { model: value.model, member, path: `${value.member.type}.${name}` },
    ]),
  );
}

export function itemOf(value: ValueModel): ValueModel {
  const kind = kindOf(value);
  if (kind.kind !== 'list') throw new TypeError(`${value.path} is a list`);
  return { model: value.model, member: kind.item, path: `${value.path}[]` };
}

export function entryOf(value: ValueModel): { readonly key: ValueModel; readonly value: ValueModel } {
  const kind = kindOf(value);
  if (kind.kind !== 'map') throw new TypeError(`${value.path} is a map`);
  return {
    key: { model: value.model, member: kind.key, path: `${value.path}{key}` },
    value: { model: value.model, member: kind.value, path: `${value.path}{value}` },
  };
}

/** The least number, or the least length of a text or a list; null: there is none. */
export function minimumOf({ model, path }: ValueModel): number | null {
  const table = minimums()[model.service];
  return (Object.hasOwn(table, path) ? table[path] : undefined) ?? null;
}

type Minimums = Readonly<Record<ServiceName, Readonly<Record<string, number>>>>;

let loaded: Minimums | null = null;

function minimums(): Minimums {
  loaded ??= JSON.parse(readFileSync(new URL('./minimums.json', import.meta.url), 'utf8')) as Minimums;
  return loaded;
}

function isScalarType(type: string): type is ScalarType {
  return scalarTypes.has(type);
}
