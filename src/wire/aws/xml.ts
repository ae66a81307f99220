/** Writes reply values as XML, by the model. */
import { scalarTypes, shapeOf, structureOf, type Member, type Model } from './model.ts';
import { formatScalar } from './scalars.ts';

/** A document with one root. `namespace` null: none. */
export function xmlDocument(root: string, namespace: string | null, inner: string): string {
  const attribute = namespace === null ? '' : ` xmlns="${escapeXml(namespace)}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${attribute}>${inner}</${root}>`;
}

/** The members of a structure as elements. Absent members have none; an empty list is an empty element. */
export function xmlOfStructure(model: Model, name: string, value: unknown): string {
  return new XmlWriter(model).structure(name, value);
}

// Characters that XML 1.0 cannot hold, not even escaped: controls, halves of surrogate pairs, the two non-characters.
// eslint-disable-next-line no-control-regex
const impossible = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]|\p{Surrogate}/gu;
const special = /[&<>"'\r]/g;
const entities = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&apos;'],
  ['\r', '&#xD;'],
]);

/** Text that may stand in an element or an attribute. What XML cannot hold becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text.replace(impossible, '\uFFFD').replace(special, (character) => entities.get(character) ?? character);
}

class XmlWriter {
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
  }

  structure(name: string, value: unknown): string {
    if (typeof value !== 'object' || value === null) throw new TypeError(`a reply holds no ${name} where one belongs`);
    const shape = structureOf(this.#model, name);
    let text = '';
    for (const [memberName, member] of shape.members) {
      const memberValue = (value as Readonly<Record<string, unknown>>)[memberName];
      if (memberValue !== undefined && memberValue !== null) {
        text += this.#element(member.xml ?? memberName, member, memberValue);
      }
    }
    return text;
  }

  #element(name: string, member: Member, value: unknown): string {
    const inner = this.#inner(member, value);
    return inner === '' ? `<${name}/>` : `<${name}>${inner}</${name}>`;
  }

  #inner(member: Member, value: unknown): string {
    if (scalarTypes.has(member.type)) return escapeXml(formatScalar(member, value, 'date-time'));
    const shape = shapeOf(this.#model, member.type);
    if (shape.kind === 'structure') return this.structure(member.type, value);
    if (shape.kind === 'list') {
      if (!Array.isArray(value)) throw new TypeError(`a reply holds no list where ${member.type} belongs`);
      const itemName = shape.item.xml ?? 'member';
      return value.map((item) => this.#element(itemName, shape.item, item)).join('');
    }
    if (typeof value !== 'object' || value === null)
      throw new TypeError(`a reply holds no map where ${member.type} belongs`);
    return Object.entries(value)
      .map(([key, item]) => {
        const keyText = this.#element(shape.key.xml ?? 'key', shape.key, key);
        return `<entry>${keyText}${this.#element(shape.value.xml ?? 'value', shape.value, item)}</entry>`;
      })
      .join('');
  }
}
