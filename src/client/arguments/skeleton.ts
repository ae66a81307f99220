/** A request or a reply with a value in every place, for users to fill in or to write a query against. */
import type { Document, DocumentRecord } from '#client/command.ts';
import { WholeFloat } from '#client/whole-float.ts';
import type { Model } from '#wire/aws/model.ts';
import { ITEM_NAMES } from './item-names.ts';
import { entryOf, itemOf, kindOf, membersOf, type ValueModel } from './value-model.ts';

/** A request: empty texts, the first of an enumeration, noughts, true. A blob is null. */
export function inputSkeleton(model: Model, shape: string | undefined): DocumentRecord {
  return recordOf(model, shape, null);
}

/** A reply: as a request, but a text is the name of its member. */
export function outputSkeleton(model: Model, shape: string | undefined): DocumentRecord {
  return recordOf(model, shape, '');
}

/** As JSON, each member on a line of its own, indented by four. */
export function skeletonText(document: Document): string {
  return `${written(document, '')}\n`;
}

function recordOf(model: Model, shape: string | undefined, name: string | null): DocumentRecord {
  if (shape === undefined) return {};
  const record = valueOf({ model, member: { type: shape }, path: '' }, name, []);
  return typeof record === 'object' && record !== null && !Array.isArray(record) ? (record as DocumentRecord) : {};
}

/** `name`: of the member, where texts are names; null where they are not. `above`: the shapes that hold this one. */
function valueOf(place: ValueModel, name: string | null, above: readonly string[]): Document {
  const { model, member } = place;
  switch (member.type) {
    case 'string':
      return name ?? firstOf(model, member.enum);
    case 'integer':
    case 'long':
      return 0;
    case 'float':
    case 'double':
      return new WholeFloat(0);
    case 'boolean':
      return true;
    case 'timestamp':
      return '1970-01-01T00:00:00';
    case 'blob':
      return null;
    default:
      return shapeValue(place, name, above);
  }
}

function shapeValue(place: ValueModel, name: string | null, above: readonly string[]): Document {
  const kind = kindOf(place);
  const { type } = place.member;
  const held = [...above, type];
  switch (kind.kind) {
    case 'structure':
      // A structure within itself ends after its second turn.
      if (above.includes(type)) return {};
      return Object.fromEntries(
        [...membersOf(place)].map(([memberName, member]) => [
          memberName,
          valueOf(member, name === null ? null : memberName, held),
        ]),
      );
    case 'list':
      return [valueOf(itemOf(place), name === null ? null : itemName(itemOf(place)), held)];
    case 'map':
      return { KeyName: valueOf(entryOf(place).value, name === null ? null : '', held) };
    case 'scalar':
      throw new TypeError(`${type} is the name of a shape`);
  }
}

function itemName({ member, path }: ValueModel): string {
  return (Object.hasOwn(ITEM_NAMES, path) ? ITEM_NAMES[path] : undefined) ?? member.enum ?? member.type;
}

function firstOf(model: Model, enumeration: string | undefined): string {
  const values = enumeration === undefined ? undefined : model.enums.get(enumeration);
  const [first = ''] = values ?? [];
  return first;
}

function written(document: Document, indent: string): string {
  if (document instanceof WholeFloat) return `${document.value}.0`;
  if (document === null || typeof document !== 'object') return JSON.stringify(document);
  const deeper = `${indent}    `;
  const isArray = Array.isArray(document);
  const items = isArray
    ? document.map((item: Document) => written(item, deeper))
    : Object.entries(document as DocumentRecord).map(
        ([name, item]) => `${JSON.stringify(name)}: ${written(item, deeper)}`,
      );
  const [open, close] = isArray ? '[]' : '{}';
  if (items.length === 0) return `${open}${close}`;
  return `${open}\n${items.map((item) => `${deeper}${item}`).join(',\n')}\n${indent}${close}`;
}
