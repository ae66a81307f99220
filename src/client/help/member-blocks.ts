/** What the shapes of an operation's input and output say of themselves, nested as they are. */
import { shapeOf, type Member, type Model } from '#wire/aws/model.ts';
import type { DocumentationFile } from './documentation.ts';
import { addHtml } from './html.ts';
import { levelIndent, type Blocks } from './page.ts';
import { typeName } from './value-names.ts';

export interface Reference {
  readonly model: Model;
  readonly documentation: DocumentationFile;
}

export function textOf({ documentation }: Reference, structure: string, member: string): string {
  const texts = Object.hasOwn(documentation.shapes, structure) ? documentation.shapes[structure] : undefined;
  return texts !== undefined && Object.hasOwn(texts, member) ? (texts[member] ?? '') : '';
}

/** The members of a structure, the item of a list, the key and value of a map: each with its text, and theirs below. */
export function addNested(
  blocks: Blocks,
  reference: Reference,
  level: number,
  type: string,
  above: readonly string[] = [],
): void {
  if (!reference.model.shapes.has(type)) return;
  const shape = shapeOf(reference.model, type);
  const path = [...above, type];
  if (shape.kind === 'structure') {
    for (const [name, member] of shape.members) {
      addMember(blocks, reference, level, { name, member, text: textOf(reference, type, name) }, path);
    }
  } else if (shape.kind === 'list') {
    const text = textOf(reference, shape.item.type, '');
    addMember(blocks, reference, level, { name: '', member: shape.item, text }, path);
  } else {
    addMember(blocks, reference, level, { name: 'key', member: shape.key, text: '' }, path);
    const text = textOf(reference, shape.value.type, '');
    addMember(blocks, reference, level, { name: 'value', member: shape.value, text }, path);
  }
}

interface NamedMember {
  readonly name: string;
  readonly member: Member;
  readonly text: string;
}

function addMember(
  blocks: Blocks,
  reference: Reference,
  level: number,
  { name, member, text }: NamedMember,
  above: readonly string[],
): void {
  // A structure that contains itself is told twice, and only named from then on.
  if (above.filter((type) => type === member.type).length > 1) {
    if (reference.model.shapes.get(member.type)?.kind === 'structure') {
      blocks.text(levelIndent(level), '( ... recursive ... )');
    }
    return;
  }
  const type = typeName(reference.model, member);
  blocks.term(levelIndent(level), name === '' ? `(${type})` : `${name} -> (${type})`);
  if (text === '') blocks.apart();
  addHtml(blocks, level + 1, text);
  addConstraints(blocks, level + 1, member);
  addNested(blocks, reference, level + 1, member.type, above);
}

/** What the model demands of a value, where the API reference's own page of the type says it. */
export function addConstraints(blocks: Blocks, level: number, member: Member): void {
  const parts = [
    ...(member.min === undefined ? [] : [`min: ${member.min}`]),
    ...(member.max === undefined ? [] : [`max: ${member.max}`]),
    ...(member.pattern === undefined ? [] : [`pattern: ${member.pattern}`]),
  ];
  if (parts.length === 0) return;
  const indent = levelIndent(level);
  blocks.text(indent, 'Constraints:');
  for (const part of parts) blocks.bullet(indent, `o ${part}`);
}
