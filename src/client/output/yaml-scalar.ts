/**
 * How YAML writes a text: plain where it stays a text, between single quotes where it would become something else, between
 * double quotes where it holds what cannot stand there. The choices and the folding are those of libyaml's emitter, which the
 * AWS command line's second version uses.
 */

/** What follows this column is folded to the next line at a blank. */
const FOLD_COLUMN = 80;

/** A name of a record longer than this many bytes, or of several lines, is written after a `?`. */
const SIMPLE_KEY_BYTES_MAX = 128;

/** Texts that YAML 1.2 reads as something else: truth values, numbers, dates, null, merge and value keys. */
const RESOLVES_OTHERWISE = [
  /^(?:true|True|TRUE|false|False|FALSE|~|null|Null|NULL|<<|=)$/,
  /^[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?$/,
  /^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$/,
  /^[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?$/,
  /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
  /^[-+]?0b[0-1_]+$/,
  /^[-+]?0o?[0-7_]+$/,
  /^[-+0-9][0-9_]*(?<=[0-9_])$/,
  /^[-+]?0x[0-9a-fA-F_]+$/,
  /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/,
  /^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?$/,
];

/** How those begin; most texts begin otherwise. */
const MAY_RESOLVE_OTHERWISE = /^[-+.0-9~<=tTfFnN]/;

/** Characters that cannot stand as they are: all but those that libyaml prints. */
const SPECIAL = /[^\n -~\u00a0-\ud7ff\ue000-\ufefe\uff00-\ufffd]/u;

const NAMED_ESCAPES: Readonly<Record<string, string>> = {
  '\0': '0',
  '\u0007': 'a',
  '\b': 'b',
  '\t': 't',
  '\n': 'n',
  '\u000b': 'v',
  '\f': 'f',
  '\r': 'r',
  '\u001b': 'e',
  '"': '"',
  '\\': '\\',
  '\u0085': 'N',
  '\u2028': 'L',
  '\u2029': 'P',
};

const LINE_BREAK = /[\n\u2028\u2029]/;

/** Where a text is to stand. */
export interface ScalarPlace {
  /** How many characters the line has before the text. */
  readonly column: number;
  /** How far lines that go on are indented. */
  readonly indent: number;
}

/** A text as a value; may take several lines. */
export function yamlScalar(text: string, place: ScalarPlace): string {
  if (isPlain(text)) return folded(text, place);
  return maySingleQuote(text) ? singleQuoted(text, place) : doubleQuoted(text, place);
}

/** A text as the name of a member: on one line. Null: it must be written after a `?`. */
export function yamlSimpleKey(text: string): string | null {
  if (LINE_BREAK.test(text) || Buffer.byteLength(text) > SIMPLE_KEY_BYTES_MAX) return null;
  if (text !== '' && isPlain(text)) return text;
  if (maySingleQuote(text)) return `'${text.replaceAll("'", "''")}'`;
  return doubleQuoted(text, { column: -Infinity, indent: 0 });
}

function isPlain(text: string): boolean {
  if (text === '' || /^ | $/.test(text) || LINE_BREAK.test(text) || SPECIAL.test(text)) return false;
  if (/^(?:[#,[\]{}&*!|>'"%@`]|[-?:](?: |$)|---|\.\.\.)/.test(text)) return false;
  if (/:(?: |$)| #/.test(text)) return false;
  return !MAY_RESOLVE_OTHERWISE.test(text) || !RESOLVES_OTHERWISE.some((pattern) => pattern.test(text));
}

/** A blank before a line break would be lost between single quotes, and one after it. */
function maySingleQuote(text: string): boolean {
  return !SPECIAL.test(text) && !/ [\n\u2028\u2029]|[\n\u2028\u2029] /.test(text);
}

/** Breaks a long text at single blanks. */
function folded(text: string, { column, indent }: ScalarPlace): string {
  if (column + text.length <= FOLD_COLUMN) return text;
  const parts: string[] = [];
  let at = column;
  const characters = Array.from(text);
  for (const [index, character] of characters.entries()) {
    if (at > FOLD_COLUMN && isLoneBlank(characters, index)) {
      parts.push(lineBreak(indent));
      at = indent;
    } else {
      parts.push(character);
      at++;
    }
  }
  return parts.join('');
}

function isLoneBlank(characters: readonly string[], index: number): boolean {
  return characters[index] === ' ' && characters[index - 1] !== ' ' && characters[index + 1] !== ' ';
}

function singleQuoted(text: string, { column, indent }: ScalarPlace): string {
  const parts = ["'"];
  const characters = Array.from(text);
  let at = column + 1;
  let broken = false;
  for (const [index, character] of characters.entries()) {
    if (LINE_BREAK.test(character)) {
      if (!broken && character === '\n') parts.push('\n');
      parts.push(character);
      at = 0;
      broken = true;
      continue;
    }
    const inside = index > 0 && index < characters.length - 1;
    if (inside && at > FOLD_COLUMN && isLoneBlank(characters, index)) {
      parts.push(lineBreak(indent));
      at = indent;
      continue;
    }
    if (broken) {
      parts.push(' '.repeat(indent));
      at = indent;
      broken = false;
    }
    parts.push(character === "'" ? "''" : character);
    at += character === "'" ? 2 : 1;
  }
  if (broken) parts.push(' '.repeat(indent));
  parts.push("'");
  return parts.join('');
}

function doubleQuoted(text: string, { column, indent }: ScalarPlace): string {
  const parts = ['"'];
  const characters = Array.from(text);
  let at = column + 1;
  let afterBlank = false;
  for (const [index, character] of characters.entries()) {
    const inside = index > 0 && index < characters.length - 1;
    if (character === ' ' && inside && !afterBlank && at > FOLD_COLUMN) {
      parts.push(lineBreak(indent));
      at = indent;
      if (characters[index + 1] === ' ') {
        parts.push('\\');
        at++;
      }
    } else {
      const written = escaped(character);
      parts.push(written);
      at += written.length > 1 ? written.length : 1;
    }
    afterBlank = character === ' ';
  }
  parts.push('"');
  return parts.join('');
}

function escaped(character: string): string {
  const name = NAMED_ESCAPES[character];
  if (name !== undefined) return `\\${name}`;
  if (!SPECIAL.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16).toUpperCase();
  if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}

function lineBreak(indent: number): string {
  return `\n${' '.repeat(indent)}`;
}
