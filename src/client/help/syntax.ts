/** How the value of an option is written: in shorthand, as JSON, as words. */
import { scalarTypes, shapeOf, type Member, type Model } from '#wire/aws/model.ts';
import { valuesOf } from './value-names.ts';

/** Deeper structures have no shorthand. */
const SHORTHAND_DEPTH_MAX = 3;

export interface Syntax {
  readonly title: 'Shorthand Syntax:' | 'JSON Syntax:' | 'Syntax:';
  readonly text: string;
}

/** None for a scalar, which is written as it is. */
export function syntaxesOf(model: Model, member: Member): readonly Syntax[] {
  const shape = model.shapes.get(member.type);
  if (shape === undefined) return [];
  if (shape.kind === 'list' && scalarTypes.has(shape.item.type)) {
    return [{ title: 'Syntax:', text: wordsSyntax(model, shape.item) }];
  }
  // The whole of it is its one value, which can be given alone.
  if (shape.kind === 'structure' && shape.members.size === 1 && shape.members.get('Value')?.type === 'string')
    return [];
  const shorthand = shorthandSyntax(model, member);
  return [
    ...(shorthand === null ? [] : [{ title: 'Shorthand Syntax:', text: shorthand } as const]),
    { title: 'JSON Syntax:', text: new JsonSyntax(model).text(member) },
  ];
}

function wordsSyntax(model: Model, item: Member): string {
  const word = scalarText(model, item, false);
  const values = valuesOf(model, item);
  const list = `${word} ${word} ...`;
  if (values.length === 0) return list;
  return [list, '', 'Where valid values are:', ...values.map((value) => `  ${value}`)].join('\n');
}

function scalarText(model: Model, member: Member, withValues: boolean): string {
  if (member.type === 'boolean') return 'true|false';
  if (member.type !== 'string') return member.type;
  const values = withValues ? valuesOf(model, member) : [];
  return values.length === 0 ? '"string"' : values.map((value) => `"${value}"`).join('|');
}

/** Null: it is nested too deeply. */
function shorthandSyntax(model: Model, member: Member): string | null {
  const shape = shapeOf(model, member.type);
  if (shape.kind !== 'list') return new Shorthand(model).text(member, []);
  const item = new Shorthand(model).text(shape.item, []);
  return item === null ? null : `${item} ...`;
}

class Shorthand {
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
  }

  text(member: Member, above: readonly string[]): string | null {
    if (above.length > SHORTHAND_DEPTH_MAX) return null;
    const shape = this.#model.shapes.get(member.type);
    if (shape === undefined) return member.type;
    if (shape.kind === 'structure') return this.#structure(shape.members, above);
    if (shape.kind === 'list') {
      const item = this.text(shape.item, [...above, shape.item.type]);
      if (item === null) return null;
      const isBracketed = !scalarTypes.has(shape.item.type) || above.length > 1;
      return isBracketed ? `[${item},${item}]` : `${item},${item}`;
    }
    const value = this.text(shape.value, [...above, shape.value.type]);
    if (value === null) return null;
    const pairs = `KeyName1=${value},KeyName2=${value}`;
    if (above.length > 0) return `{${pairs}}`;
    const keys = valuesOf(this.#model, shape.key);
    if (keys.length === 0) return pairs;
    return [pairs, '', 'Where valid key names are:', ...keys.map((key) => `  ${key}`)].join('\n');
  }

  #structure(members: ReadonlyMap<string, Member>, above: readonly string[]): string | null {
    const parts: string[] = [];
    for (const [name, member] of members) {
      const value =
        this.#model.shapes.has(member.type) && above.includes(member.type)
          ? '( ... recursive ... )'
          : this.text(member, [...above, member.type]);
      if (value === null) return null;
      parts.push(value.startsWith('( ...') ? value : `${name}=${value}`);
    }
    return above.length === 0 ? parts.join(',') : `{${parts.join(',')}}`;
  }
}

/** Every list with one item, every structure with all its members. */
class JsonSyntax {
  readonly #model: Model;
  readonly #above: string[] = [];

  constructor(model: Model) {
    this.#model = model;
  }

  text(member: Member, indent = 0): string {
    const shape = this.#model.shapes.get(member.type);
    if (shape === undefined) return scalarText(this.#model, member, true);
    if (this.#above.filter((type) => type === member.type).length > 1) {
      return shape.kind === 'structure' ? '{ ... recursive ... }' : '';
    }
    this.#above.push(member.type);
    const text = this.#shape(shape, indent);
    this.#above.pop();
    return text;
  }

  #shape(shape: ReturnType<typeof shapeOf>, indent: number): string {
    const pad = ' '.repeat(indent);
    const inner = ' '.repeat(indent + 2);
    if (shape.kind === 'list') {
      if (scalarTypes.has(shape.item.type)) return `[${scalarText(this.#model, shape.item, true)}, ...]`;
      return `[\n${inner}${this.text(shape.item, indent + 2)}\n${inner}...\n${pad}]`;
    }
    if (shape.kind === 'map') {
      const key = scalarText(this.#model, shape.key, true);
      return `{${key}: ${this.text(shape.value, indent + 4)}\n${inner}...}`;
    }
    const members = [...shape.members].map(([name, member]) => `${inner}"${name}": ${this.text(member, indent + 2)}`);
    return `{\n${members.join(',\n')}\n${pad}}`;
  }
}
