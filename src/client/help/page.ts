/** A page of help as its parts, before it is text for a terminal or a manual page. */

/** Columns of the terminal that a line may take, as the pages of the AWS command line do. */
export const WIDTH = 78;

/** Column at which the text of a section begins. */
export const MARGIN = 7;

export interface Page {
  /** Stands at both ends of the first line. */
  readonly title: string;
  /** One line, for lists of manual pages. */
  readonly summary: string;
  readonly sections: readonly Section[];
}

export interface Section {
  readonly heading: string;
  readonly blocks: readonly Block[];
}

/** Texts are in one line, and are broken where they are shown; the lines of a verbatim block stay as they are. */
export interface Block {
  readonly kind: 'text' | 'bullet' | 'term' | 'verbatim';
  /** Columns from the margin of the section. */
  readonly indent: number;
  readonly text: string;
  /** Stands right below what is before it. */
  readonly tight: boolean;
}

/** Columns of a level of nesting: 3 and 4 in turn. */
export function levelIndent(level: number): number {
  return Math.floor(3.5 * level);
}

/** Collects the blocks of a section. */
export class Blocks {
  readonly #blocks: Block[] = [];
  #tightNext = false;

  get blocks(): readonly Block[] {
    return this.#blocks;
  }

  text(indent: number, text: string): void {
    this.#push('text', indent, text);
  }

  bullet(indent: number, text: string): void {
    this.#push('bullet', indent, text);
  }

  verbatim(indent: number, text: string): void {
    this.#push('verbatim', indent, text);
  }

  /** A name that what follows explains; that stands right below it. */
  term(indent: number, text: string): void {
    this.#push('term', indent, text);
    this.#tightNext = true;
  }

  /** What follows stands apart after all: a term without an explanation. */
  apart(): void {
    this.#tightNext = false;
  }

  #push(kind: Block['kind'], indent: number, text: string): void {
    this.#blocks.push({ kind, indent, text, tight: this.#tightNext });
    this.#tightNext = false;
  }
}
