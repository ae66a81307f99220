/** The HTML of the API reference as blocks of text: paragraphs, lists, notes. What it does not know is text. */
import { Blocks, levelIndent } from './page.ts';

const TAG = /<(\/?)([a-zA-Z]+)(?:\s[^<>]*)?\/?>/g;

const INLINE = new Set(['code', 'a', 'i', 'b', 'em', 'strong', 'span', 'abbr']);
const BREAKS = new Set(['p', 'br', 'div', 'dl', 'dt']);
const LISTS = new Set(['ul', 'ol']);
const NOTES = new Map([
  ['note', 'NOTE:'],
  ['important', 'WARNING:'],
  ['danger', 'DANGER:'],
]);
/** What the reference does not show. */
const HIDDEN = new Set(['fullname', 'examples']);

const ENTITIES = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
  ['apos', "'"],
  ['nbsp', ' '],
]);

const ENTITY = /&(?:#(\d+)|#x([\da-f]+)|([a-z]+));/gi;

/** Adds the blocks of `html`, whose nesting begins at `level`. */
export function addHtml(blocks: Blocks, level: number, html: string): void {
  new HtmlReader(blocks, level).read(html);
}

/** The first sentence without its full stop, for lists. */
export function firstSentence(html: string): string {
  const blocks = new Blocks();
  addHtml(blocks, 0, html);
  const first = blocks.blocks[0]?.text ?? '';
  return /^(.*?(?<!\b(?:e\.g|i\.e|vs)))\.(?:\s|$)/.exec(first)?.[1] ?? first;
}

class HtmlReader {
  readonly #blocks: Blocks;
  readonly #levelMin: number;
  #level: number;
  /** Columns of the lists that are open. */
  #listIndent = 0;
  /** For each open list, the number of its last item; null: it has bullets. */
  readonly #lists: (number | null)[] = [];
  /** What the next paragraph begins with; null: nothing. */
  #mark: string | null = null;
  #line = '';
  #hidden = 0;

  constructor(blocks: Blocks, level: number) {
    this.#blocks = blocks;
    this.#levelMin = level;
    this.#level = level;
  }

  read(html: string): void {
    let from = 0;
    for (const match of html.matchAll(TAG)) {
      const name = match[2] ?? '';
      if (!isKnown(name)) continue;
      this.#text(html.slice(from, match.index));
      from = match.index + match[0].length;
      if (match[1] === '/') this.#close(name);
      else this.#open(name);
    }
    this.#text(html.slice(from));
    this.#flush();
  }

  #text(text: string): void {
    if (this.#hidden === 0) this.#line += decode(text);
  }

  #open(name: string): void {
    if (INLINE.has(name)) {
      // The reference forgets a blank before some names.
      if (/[\w,;:]$/.test(this.#line)) this.#line += ' ';
      return;
    }
    if (HIDDEN.has(name)) {
      this.#hidden += 1;
      return;
    }
    this.#flush();
    const label = NOTES.get(name);
    if (label !== undefined) {
      this.#blocks.term(this.#indent(), label);
      this.#level += 1;
    } else if (LISTS.has(name)) {
      // The list of an item stands below its text.
      if (this.#lists.length > 0) this.#listIndent += 2;
      this.#lists.push(name === 'ol' ? 0 : null);
    } else if (name === 'li') {
      this.#mark = this.#nextMark();
    } else if (name === 'dd') {
      this.#listIndent += 3;
    }
  }

  #close(name: string): void {
    if (INLINE.has(name)) return;
    if (HIDDEN.has(name)) {
      this.#hidden = Math.max(0, this.#hidden - 1);
      return;
    }
    this.#flush();
    if (NOTES.has(name)) {
      this.#level = Math.max(this.#levelMin, this.#level - 1);
    } else if (LISTS.has(name)) {
      this.#lists.pop();
      if (this.#lists.length > 0) this.#listIndent -= 2;
    } else if (name === 'li') {
      this.#mark = null;
    } else if (name === 'dd') {
      this.#listIndent -= 3;
    }
  }

  #nextMark(): string {
    const last = this.#lists.pop();
    if (last === undefined || last === null) {
      if (last === null) this.#lists.push(null);
      return 'o ';
    }
    this.#lists.push(last + 1);
    return `${last + 1}. `;
  }

  #flush(): void {
    const text = this.#line.replace(/\s+/g, ' ').trim();
    this.#line = '';
    if (text === '') return;
    if (this.#mark !== null) {
      this.#blocks.bullet(this.#indent(), `${this.#mark}${text}`);
      this.#mark = null;
      return;
    }
    // A further paragraph of an item stands below its text.
    this.#blocks.text(this.#indent() + (this.#lists.length > 0 ? 2 : 0), text);
  }

  #indent(): number {
    return levelIndent(this.#level) + this.#listIndent;
  }
}

function isKnown(name: string): boolean {
  return (
    INLINE.has(name) ||
    BREAKS.has(name) ||
    LISTS.has(name) ||
    NOTES.has(name) ||
    HIDDEN.has(name) ||
    /^(?:li|dd)$/.test(name)
  );
}

function decode(text: string): string {
  return text.replace(ENTITY, (whole: string, decimal?: string, hexadecimal?: string, name?: string) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hexadecimal !== undefined) return String.fromCodePoint(Number.parseInt(hexadecimal, 16));
    return ENTITIES.get(name ?? '') ?? whole;
  });
}
