/**
 * The short way to write a structure: `Name=tag:Owner,Values=a,b` or `Ebs={VolumeSize=8},DeviceName=/dev/sda`.
 *
 *   parameter = keyval *( "," keyval )
 *   keyval    = key ( "=" / "@=" ) values          "@=": the value names a file
 *   values    = list / record / value *( "," value )
 *   list      = "[" [ item *( "," item ) ] "]"
 *   record    = "{" [ key ( "=" / "@=" ) item *( "," … ) ] "}"
 *   item      = list / record / value
 *   value     = "'" … "'" / '"' … '"' / bare       `\,` in a bare value is a comma
 *
 * A comma may end a value or the pair: after one, what has no `=` is another value, and what has one is the next pair.
 * Everything is text here; the model says later what is a number.
 *
 * Source: "Using shorthand syntax with parameters in the AWS CLI", AWS CLI User Guide, and what the AWS CLI accepts.
 */

export type ShorthandValue = string | Uint8Array | readonly ShorthandValue[] | ShorthandRecord;

export interface ShorthandRecord {
  readonly [key: string]: ShorthandValue;
}

/** Reads what a `@=` names; null: it names no file, and is the value itself. */
export type FileReader = (value: string) => string | Uint8Array | null;

/** Says where the text stops to be shorthand. */
export class ShorthandError extends Error {
  override readonly name = 'ShorthandError';
}

/** Throws ShorthandError, and what `readFile` throws. */
export function parseShorthand(text: string, readFile: FileReader): ShorthandRecord {
  return new ShorthandParser(text, readFile).parameter();
}

const SINGLE_QUOTED = /'(?:\\'|[^'])*'/y;
const DOUBLE_QUOTED = /"(?:\\"|[^"])*"/y;
/** A first value may hold `=` but ends before `]` and `}`, a further one the other way round. Neither holds quotes. */
const FIRST = /(?:\\,|[!#-&(-+\--<>-Z\\-z|-\uffff])(?:\\,|[\s!#-&(-+\--\\^-|~-\uffff])*/uy;
const FURTHER = /(?:\\,|[!#-&(-+\--<>-Z\\-z|-\uffff])(?:\\,|[\s!#-&(-+\--<>-\uffff])*/uy;
const KEY = /[a-zA-Z0-9\-_.#/:]*/y;
const WHITE = /[ \t\n\r\v\f]*/y;

class ShorthandParser {
  readonly #text: string;
  readonly #readFile: FileReader;
  #index = 0;
  #fromFile = false;

  constructor(text: string, readFile: FileReader) {
    this.#text = text;
    this.#readFile = readFile;
  }

  parameter(): ShorthandRecord {
    const pairs = new Map<string, ShorthandValue>();
    let end = this.#index;
    do {
      if (pairs.size > 0) this.#expect(',');
      const key = this.#key();
      const value = this.#values();
      if (pairs.has(key)) throw this.#duplicate(key, end + 1);
      pairs.set(key, value);
      end = this.#index;
    } while (this.#index < this.#text.length);
    return Object.fromEntries(pairs);
  }

  #key(): string {
    const key = this.#match(KEY) ?? '';
    this.#white();
    this.#fromFile = this.#current() === '@';
    if (this.#fromFile) this.#index += 1;
    this.#expect('=');
    return key;
  }

  #values(): ShorthandValue {
    if (this.#current() === null) return '';
    if (this.#current() === '[') return this.#list();
    if (this.#current() === '{') return this.#record();
    return this.#commaValues();
  }

  /** `a` is a text and `a,b` a list; `a,b=c` ends before the comma. */
  #commaValues(): ShorthandValue {
    const first = this.#value();
    this.#white();
    if (this.#current() !== ',') return first;
    this.#expect(',');
    const values = [first];
    for (;;) {
      try {
        const value = this.#furtherValue();
        this.#white();
        if (this.#current() !== null) this.#expect(',');
        else {
          values.push(value);
          break;
        }
        values.push(value);
      } catch (error) {
        if (!(error instanceof ShorthandError) || this.#current() === null) throw error;
        this.#index = this.#text.lastIndexOf(',', this.#index);
        break;
      }
    }
    return values.length === 1 ? first : values;
  }

  #item(): ShorthandValue {
    if (this.#current() === '[') return this.#list();
    if (this.#current() === '{') return this.#record();
    return this.#value();
  }

  #list(): ShorthandValue {
    this.#expect('[');
    const values: ShorthandValue[] = [];
    while (this.#current() !== ']') {
      values.push(this.#item());
      this.#endOfItem(']');
    }
    this.#index += 1;
    return values;
  }

  #record(): ShorthandValue {
    this.#expect('{');
    const pairs = new Map<string, ShorthandValue>();
    while (this.#current() !== '}') {
      const key = this.#key();
      const value = this.#item();
      this.#endOfItem('}');
      pairs.set(key, value);
    }
    this.#index += 1;
    return Object.fromEntries(pairs);
  }

  #endOfItem(close: string): void {
    this.#white();
    if (this.#current() !== close) this.#expect(',');
  }

  #value(): ShorthandValue {
    const quote = this.#current();
    if (quote === "'" || quote === '"') return this.#quoted(quote);
    const bare = this.#match(FIRST);
    return bare === null ? '' : this.#resolved(unescaped(bare));
  }

  #furtherValue(): ShorthandValue {
    const quote = this.#current();
    if (quote === "'" || quote === '"') return this.#quoted(quote);
    const bare = this.#match(FURTHER);
    if (bare === null) throw this.#unexpected('<second>', '<none>');
    return this.#resolved(unescaped(bare));
  }

  #quoted(quote: "'" | '"'): ShorthandValue {
    const whole = this.#match(quote === "'" ? SINGLE_QUOTED : DOUBLE_QUOTED);
    if (whole === null) throw this.#unexpected(quote === "'" ? '<singled quoted>' : '<double quoted>', '<none>');
    return this.#resolved(whole.slice(1, -1).replaceAll(`\\${quote}`, quote).replaceAll('\\\\', '\\'));
  }

  #resolved(value: string): string | Uint8Array {
    return this.#fromFile ? (this.#readFile(value) ?? value) : value;
  }

  #expect(character: string): void {
    this.#white();
    const actual = this.#current();
    if (actual !== character) throw this.#unexpected(character, actual ?? 'EOF');
    this.#index += 1;
    this.#white();
  }

  #white(): void {
    this.#match(WHITE);
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#index;
    const matched = pattern.exec(this.#text)?.[0] ?? null;
    this.#index += matched?.length ?? 0;
    return matched;
  }

  /** Null: the text is at its end. */
  #current(): string | null {
    const code = this.#text.codePointAt(this.#index);
    return code === undefined ? null : String.fromCodePoint(code);
  }

  #unexpected(expected: string, received: string): ShorthandError {
    return new ShorthandError(
      `Expected: '${expected}', received: '${received}' for input:\n${this.#pointer(this.#index)}`,
    );
  }

  #duplicate(key: string, index: number): ShorthandError {
    return new ShorthandError(
      `Second instance of key "${key}" encountered for input:\n${this.#pointer(index)}\n` +
        'This is often because there is a preceding "," instead of a space.',
    );
  }

  /** The text with a caret under the character. */
  #pointer(index: number): string {
    const column = index - (this.#text.lastIndexOf('\n', index - 1) + 1);
    const lineEnd = this.#text.indexOf('\n', index);
    const [consumed, remaining] =
      lineEnd === -1 ? [this.#text, ''] : [this.#text.slice(0, lineEnd), this.#text.slice(lineEnd)];
    return `${consumed}\n${' '.repeat(column)}^${remaining}`;
  }
}

function unescaped(bare: string): string {
  return bare.replaceAll('\\,', ',').trimEnd();
}
