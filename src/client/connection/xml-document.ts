/** XML of replies as a tree: elements without their namespaces, and their text. No entities are declared. */

export interface XmlElement {
  readonly name: string;
  /** What stands before the first child. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

export class XmlError extends Error {
  override readonly name = 'XmlError';
}

/** Deeper than any model nests. */
const DEPTH_MAX = 100;

/** The root element. Throws XmlError. */
export function parseXml(source: string): XmlElement {
  return new XmlReader(source).document();
}

/** An error that says where: line and column. */
export function errorAt(source: string, index: number, what: string): XmlError {
  const lines = source.slice(0, index).split('\n');
  return new XmlError(`${what}: line ${lines.length}, column ${lines.at(-1)?.length ?? 0}`);
}

/** The first child of a name. */
export function childOf(element: XmlElement, name: string): XmlElement | null {
  return element.children.find((child) => child.name === name) ?? null;
}

interface OpenElement {
  readonly tag: string;
  text: string;
  readonly children: XmlElement[];
}

class XmlReader {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source.replace(/^\uFEFF/, '');
  }

  document(): XmlElement {
    const open: OpenElement[] = [];
    let root: XmlElement | null = null;
    while (this.#at < this.#source.length) {
      const inner = open.at(-1);
      const mark = this.#source.indexOf('<', this.#at);
      const text = this.#source.slice(this.#at, mark === -1 ? this.#source.length : mark);
      if (inner === undefined && text.trim() !== '')
        throw this.#error(root === null ? strayText(text) : 'junk after document element');
      if (inner?.children.length === 0) inner.text += this.#unescaped(text);
      if (mark === -1) break;
      this.#at = mark;
      if (this.#skipMarkup()) continue;
      if (this.#source.startsWith('<![CDATA[', mark)) {
        const content = this.#until(']]>', 9);
        if (inner === undefined) throw this.#error('not well-formed');
        if (inner.children.length === 0) inner.text += content;
      } else if (this.#source.startsWith('</', mark)) {
        const tag = this.#until('>', 2).trim();
        const ended = open.pop();
        if (ended === undefined || ended.tag !== tag) throw errorAt(this.#source, mark + 2, 'mismatched tag');
        const element = closed(ended);
        const parent = open.at(-1);
        if (parent === undefined) root = element;
        else parent.children.push(element);
      } else {
        if (inner === undefined && root !== null) throw this.#error('junk after document element');
        const element = this.#start(open);
        if (element !== null && inner === undefined) root = element;
      }
    }
    if (open.length > 0 || root === null) throw this.#error('no element found');
    return root;
  }

  /** Comments, instructions and the name of a document type; one that declares anything is refused, since it may hold entities. */
  #skipMarkup(): boolean {
    if (this.#source.startsWith('<!--', this.#at)) {
      this.#until('-->', 4);
      return true;
    }
    if (this.#source.startsWith('<?', this.#at)) {
      this.#until('?>', 2);
      return true;
    }
    if (!this.#source.startsWith('<!DOCTYPE', this.#at)) return false;
    const type = this.#until('>', 9);
    if (type.includes('[')) throw this.#error('declarations of a document type are not taken');
    return true;
  }

  /** An element that is empty at once, or null when it stays open. */
  #start(open: OpenElement[]): XmlElement | null {
    const match = /<([^\s/>!?<]+)((?:\s+[^\s=<>/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y;
    match.lastIndex = this.#at;
    const found = match.exec(this.#source);
    if (found === null) throw this.#error('not well-formed (invalid token)');
    this.#at = match.lastIndex;
    const element: OpenElement = { tag: found[1] ?? '', text: '', children: [] };
    if (found[3] !== '/') {
      if (open.length === DEPTH_MAX) throw this.#error('nested too deeply');
      open.push(element);
      return null;
    }
    open.at(-1)?.children.push(closed(element));
    return closed(element);
  }

  #unescaped(text: string): string {
    // A parser of XML knows one line end; a carriage return that is meant comes as a reference.
    const lines = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
    if (!lines.includes('&')) return lines;
    return lines.replace(REFERENCE, (whole, ...groups) => {
      const [hex, decimal, name, offset] = groups as [string?, string?, string?, number?];
      const value = referred(hex, decimal, name);
      if (value !== null) return value;
      this.#at += offset ?? 0;
      if (name !== undefined) throw this.#error('undefined entity');
      if (whole.endsWith(';')) throw this.#error('reference to invalid character number');
      this.#at += whole.length;
      throw this.#error('not well-formed (invalid token)');
    });
  }

  #until(end: string, skip: number): string {
    const from = this.#at + skip;
    const found = this.#source.indexOf(end, from);
    if (found === -1) throw this.#error('unclosed token');
    this.#at = found + end.length;
    return this.#source.slice(from, found);
  }

  #error(what: string): XmlError {
    return errorAt(this.#source, this.#at, what);
  }
}

/** What expat says of text where the document should begin. */
function strayText(text: string): string {
  return /^\s*[\w:]/.test(text) ? 'syntax error' : 'not well-formed (invalid token)';
}

function closed({ tag, text, children }: OpenElement): XmlElement {
  return { name: tag.slice(tag.indexOf(':') + 1), text, children };
}

const entities = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
  ['apos', "'"],
]);

/** What begins with an ampersand; only what also ends with a semicolon stands for a character. */
const REFERENCE = /&(?:#x([0-9a-fA-F]{1,6});|#(\d{1,7});|(\w+);|[#\w]*)/g;

/** Null: nothing is called so. */
function referred(hex: string | undefined, decimal: string | undefined, name: string | undefined): string | null {
  if (name !== undefined) return entities.get(name) ?? null;
  const code = hex === undefined ? Number(decimal ?? Number.NaN) : Number.parseInt(hex, 16);
  return code <= 0x10ffff ? String.fromCodePoint(code) : null;
}
