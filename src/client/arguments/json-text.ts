/** JSON as a value of an option. Refused in the words of Python's decoder, which the AWS command line hands on. */
import { parseDocument } from '#client/whole-float.ts';
import type { RawValue } from './raw-value.ts';

/** Throws SyntaxError, whose message says what is expected and where: line, column and character. */
export function parseJson(text: string): RawValue {
  try {
    return parseDocument(text);
  } catch (error) {
    throw new SyntaxError(complaint(text), { cause: error });
  }
}

function complaint(text: string): string {
  const reader = new Reader(text);
  try {
    reader.document();
  } catch (error) {
    if (error instanceof Complaint) return `${error.message}: ${place(text, error.index)}`;
    throw error;
  }
  return `Expecting value: ${place(text, 0)}`;
}

function place(text: string, index: number): string {
  const before = text.slice(0, index);
  const line = before.split('\n').length;
  return `line ${line} column ${index - before.lastIndexOf('\n')} (char ${index})`;
}

class Complaint extends Error {
  readonly index: number;

  constructor(message: string, index: number) {
    super(message);
    this.index = index;
  }
}

const WHITE = /[ \t\n\r]*/y;
const SCALAR = /null|true|false|NaN|-?Infinity|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** Walks over the text and complains of the first thing that is wrong. */
class Reader {
  readonly #text: string;
  #index = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#skip(WHITE);
    this.#value();
    this.#skip(WHITE);
    if (this.#index < this.#text.length) throw new Complaint('Extra data', this.#index);
  }

  #value(): void {
    const first = this.#text[this.#index];
    if (first === '"') this.#string();
    else if (first === '{') this.#record();
    else if (first === '[') this.#list();
    else if (!this.#skip(SCALAR)) throw new Complaint('Expecting value', this.#index);
  }

  #record(): void {
    this.#index += 1;
    this.#skip(WHITE);
    if (this.#taken('}')) return;
    for (;;) {
      if (this.#text[this.#index] !== '"') {
        throw new Complaint('Expecting property name enclosed in double quotes', this.#index);
      }
      this.#string();
      this.#skip(WHITE);
      if (!this.#taken(':')) throw new Complaint("Expecting ':' delimiter", this.#index);
      this.#skip(WHITE);
      this.#value();
      this.#skip(WHITE);
      if (this.#taken('}')) return;
      if (!this.#taken(',')) throw new Complaint("Expecting ',' delimiter", this.#index);
      this.#skip(WHITE);
    }
  }

  #list(): void {
    this.#index += 1;
    this.#skip(WHITE);
    if (this.#taken(']')) return;
    for (;;) {
      this.#value();
      this.#skip(WHITE);
      if (this.#taken(']')) return;
      if (!this.#taken(',')) throw new Complaint("Expecting ',' delimiter", this.#index);
      this.#skip(WHITE);
    }
  }

  #string(): void {
    const start = this.#index;
    this.#index += 1;
    for (;;) {
      const character = this.#text[this.#index];
      if (character === undefined) throw new Complaint('Unterminated string starting at', start);
      if (character < ' ') throw new Complaint('Invalid control character at', this.#index);
      if (character === '\\') this.#escape(start);
      else this.#index += 1;
      if (character === '"') return;
    }
  }

  #escape(start: number): void {
    if (this.#skip(ESCAPE)) return;
    const next = this.#text[this.#index + 1];
    if (next === undefined) throw new Complaint('Unterminated string starting at', start);
    if (next === 'u') throw new Complaint('Invalid \\uXXXX escape', this.#index + 1);
    throw new Complaint('Invalid \\escape', this.#index);
  }

  #taken(character: string): boolean {
    if (this.#text[this.#index] !== character) return false;
    this.#index += 1;
    return true;
  }

  /** Whether anything was skipped. */
  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#index;
    const length = pattern.exec(this.#text)?.[0].length ?? 0;
    this.#index += length;
    return length > 0;
  }
}
