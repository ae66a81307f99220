import type { Document } from '#client/command.ts';
import { parseDocument } from '#client/whole-float.ts';
import { JmespathError } from './error.ts';

export type TokenType =
  | 'and'
  | 'colon'
  | 'comma'
  | 'current'
  | 'dot'
  | 'eof'
  | 'eq'
  | 'expref'
  | 'filter'
  | 'flatten'
  | 'gt'
  | 'gte'
  | 'lbrace'
  | 'lbracket'
  | 'literal'
  | 'lparen'
  | 'lt'
  | 'lte'
  | 'ne'
  | 'not'
  | 'number'
  | 'or'
  | 'pipe'
  | 'quoted_identifier'
  | 'rbrace'
  | 'rbracket'
  | 'rparen'
  | 'star'
  | 'unquoted_identifier';

export interface Token {
  readonly type: TokenType;
  /** A name, a literal's value, a number, or the characters themselves. */
  readonly value: Document;
  /** Where the token is said to start, in code points. */
  readonly start: number;
}

const SINGLE: Readonly<Record<string, TokenType>> = {
  '.': 'dot',
  '*': 'star',
  ']': 'rbracket',
  ',': 'comma',
  ':': 'colon',
  '@': 'current',
  '(': 'lparen',
  ')': 'rparen',
  '{': 'lbrace',
  '}': 'rbrace',
};

/** Characters that mean one thing alone and another with a second one: the second, both, alone. */
const DOUBLE: Readonly<Record<string, readonly [second: string, both: TokenType, alone: TokenType]>> = {
  '|': ['|', 'or', 'pipe'],
  '&': ['&', 'and', 'expref'],
  '<': ['=', 'lte', 'lt'],
  '>': ['=', 'gte', 'gt'],
  '!': ['=', 'ne', 'not'],
};

/** Numbers that JSON has no word for; the AWS command line reads these. */
const NUMBER_WORDS = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
]);

/** The tokens of an expression, `eof` last. Throws JmespathError. */
export function tokensOf(expression: string): readonly Token[] {
  if (expression === '') throw new JmespathError('Invalid JMESPath expression: cannot be empty.');
  return new Lexer(expression).tokens();
}

class Lexer {
  readonly #expression: string;
  /** One string for each code point: positions count them. */
  readonly #characters: readonly string[];
  #position = 0;

  constructor(expression: string) {
    this.#expression = expression;
    this.#characters = Array.from(expression);
  }

  tokens(): readonly Token[] {
    const tokens: Token[] = [];
    while (this.#position < this.#characters.length) {
      if (/[ \t\n\r]/.test(this.#current)) this.#position++;
      else tokens.push(this.#token());
    }
    tokens.push({ type: 'eof', value: '', start: this.#characters.length });
    return tokens;
  }

  /** Empty at the end. */
  get #current(): string {
    return this.#characters[this.#position] ?? '';
  }

  #token(): Token {
    const start = this.#position;
    const character = this.#current;
    const single = SINGLE[character];
    if (single !== undefined) return this.#take(single, character);
    const double = DOUBLE[character];
    if (double !== undefined) return this.#doubleToken(character, double);
    if (/[A-Za-z_]/.test(character)) {
      return { type: 'unquoted_identifier', value: this.#run(/[A-Za-z0-9_]/), start };
    }
    if (/[-0-9]/.test(character)) return this.#number();
    switch (character) {
      case '[':
        return this.#bracket();
      case "'":
        return { type: 'literal', value: this.#quoted("'").replaceAll("\\'", "'"), start };
      case '`':
        return { type: 'literal', value: this.#literal(), start };
      case '"':
        return { type: 'quoted_identifier', value: this.#quotedIdentifier(), start };
      case '=':
        return this.#equals();
      default:
        throw this.#error(`Unknown token ${character}`, start);
    }
  }

  #take(type: TokenType, text: string): Token {
    const start = this.#position;
    this.#position += text.length;
    return { type, value: text, start };
  }

  #doubleToken(character: string, [second, both, alone]: readonly [string, TokenType, TokenType]): Token {
    const next = this.#characters[this.#position + 1];
    return next === second ? this.#take(both, character + second) : this.#take(alone, character);
  }

  #bracket(): Token {
    const next = this.#characters[this.#position + 1];
    if (next === ']') return this.#take('flatten', '[]');
    return next === '?' ? this.#take('filter', '[?') : this.#take('lbracket', '[');
  }

  #equals(): Token {
    const start = this.#position;
    if (this.#characters[start + 1] !== '=') throw this.#error("Unknown token '='", start);
    return this.#take('eq', '==');
  }

  #number(): Token {
    const start = this.#position;
    const sign = this.#current === '-' ? '-' : '';
    this.#position += sign.length;
    const digits = this.#run(/[0-9]/);
    if (digits === '') throw this.#error("Unknown token '-'", start);
    return { type: 'number', value: Number(sign + digits) + 0, start };
  }

  /** The characters from here on that match. */
  #run(pattern: RegExp): string {
    const start = this.#position;
    while (pattern.test(this.#current)) this.#position++;
    return this.#characters.slice(start, this.#position).join('');
  }

  /** What stands between two delimiters, backslashes with it. */
  #quoted(delimiter: string): string {
    const start = this.#position;
    let index = start + 1;
    while (this.#characters[index] !== delimiter) {
      if (this.#characters[index] === '\\') index++;
      if (index >= this.#characters.length) throw this.#error(`Unclosed ${delimiter} delimiter`, start);
      index++;
    }
    this.#position = index + 1;
    return this.#characters.slice(start + 1, index).join('');
  }

  #literal(): Document {
    const start = this.#position;
    const text = this.#quoted('`').replaceAll('\\`', '`');
    const number = NUMBER_WORDS.get(text.trim());
    if (number !== undefined) return number;
    try {
      return parseDocument(text);
    } catch {
      // A string without its quotes: deprecated, and still read.
    }
    try {
      return parseDocument(`"${text.trimStart()}"`);
    } catch {
      throw this.#error(`Bad token ${text}`, start);
    }
  }

  #quotedIdentifier(): string {
    const start = this.#position;
    const text = this.#quoted('"');
    try {
      return JSON.parse(`"${text}"`) as string;
    } catch {
      throw this.#error(stringFault(text), start);
    }
  }

  #error(message: string, position: number): JmespathError {
    return new JmespathError(`Bad jmespath expression: ${message}:\n${this.#expression}\n${' '.repeat(position)}^`);
  }
}

/** What is wrong with the inside of a JSON string. */
function stringFault(text: string): string {
  const fault = /^(?:[^\\\p{Cc}]|[\u007f-\u009f]|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*(\\u|\\)?/u.exec(text)?.[1];
  if (fault === '\\u') return 'Invalid \\uXXXX escape';
  return fault === undefined ? 'Invalid control character at' : 'Invalid \\escape';
}
