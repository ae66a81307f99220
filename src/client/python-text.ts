/** Values as Python writes them: what `--output text` and `table` show, and what messages quote. */
import type { Document } from './command.ts';
import { WholeFloat } from './whole-float.ts';

/** As `str()` of Python. */
export function pythonText(document: Document): string {
  return typeof document === 'string' ? document : pythonSource(document);
}

/** As `repr()` of Python. */
export function pythonSource(document: Document): string {
  if (document === null) return 'None';
  if (typeof document === 'string') return pythonQuoted(document);
  if (typeof document === 'boolean') return document ? 'True' : 'False';
  if (typeof document === 'number' || typeof document === 'bigint' || document instanceof WholeFloat) {
    return numberText(document);
  }
  if (Array.isArray(document)) return `[${document.map(pythonSource).join(', ')}]`;
  return `{${Object.entries(document)
    .map(([name, value]) => `${pythonQuoted(name)}: ${pythonSource(value)}`)
    .join(', ')}}`;
}

/** The name of a value's type in Python, as messages have it. */
export function pythonTypeOf(document: Document): string {
  if (document === null) return 'NoneType';
  if (typeof document === 'string') return 'str';
  if (typeof document === 'boolean') return 'bool';
  if (typeof document === 'bigint') return 'int';
  if (typeof document === 'number') return Number.isInteger(document) ? 'int' : 'float';
  if (document instanceof WholeFloat) return 'float';
  return Array.isArray(document) ? 'list' : 'dict';
}

/** A number in the shortest digits that give it again; floating point with a dot or an exponent. */
export function numberText(number: number | bigint | WholeFloat): string {
  if (typeof number === 'bigint') return number.toString();
  if (number instanceof WholeFloat) return floatText(number.value);
  if (Number.isSafeInteger(number)) return number.toString();
  return Number.isInteger(number) ? BigInt(number).toString() : floatText(number);
}

/** Python shows an exponent below this and from 1e16 on. */
const EXPONENT_MIN = -4;
const EXPONENT_MAX = 15;

function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [digits = '', power = '0'] = value.toExponential().split('e');
  const exponent = Number(power);
  if (exponent < EXPONENT_MIN || exponent > EXPONENT_MAX) {
    return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const text = value.toFixed(Math.max(1, digits.replace(/[-.]/g, '').length - 1 - exponent));
  return text;
}

const NAMED_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A text as `repr()` of Python. */
export function pythonQuoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/[\\'"]|[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (character) => {
    if (character === '\\' || character === quote) return `\\${character}`;
    if (character === '"' || character === "'") return character;
    return NAMED_ESCAPES[character] ?? codeEscape(character.codePointAt(0) ?? 0);
  });
  return `${quote}${escaped}${quote}`;
}

function codeEscape(code: number): string {
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}

/** Orders by code points, as Python does; JavaScript's own order is by UTF-16 units. */
export function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const [a, b] = [left.charCodeAt(index), right.charCodeAt(index)];
    // The two halves of a high code point count above all others.
    if (a !== b) return isSurrogate(a) === isSurrogate(b) ? a - b : isSurrogate(a) ? 1 : -1;
  }
  return left.length - right.length;
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xe000;
}

/** Bytes as Python shows them: `b'…'`. */
export function pythonBytes(bytes: Uint8Array): string {
  const quote = bytes.includes(0x27) && !bytes.includes(0x22) ? '"' : "'";
  let text = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    if (character === '\\' || character === quote) text += `\\${character}`;
    else if (character === '\n') text += '\\n';
    else if (character === '\r') text += '\\r';
    else if (character === '\t') text += '\\t';
    else text += byte >= 0x20 && byte < 0x7f ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `b${quote}${text}${quote}`;
}
