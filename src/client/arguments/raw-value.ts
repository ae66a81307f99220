/** Values of a request before they are checked, and as Python writes them in messages of the AWS command line. */
import type { InputValue } from '#client/command.ts';
import { numberText, pythonBytes, pythonQuoted, pythonTypeOf } from '#client/python-text.ts';
import { WholeFloat } from '#client/whole-float.ts';

/** What a value of a request may be while it is checked: whole numbers and floating-point ones are still apart. */
export type RawValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | WholeFloat
  | Uint8Array
  | readonly RawValue[]
  | { readonly [name: string]: RawValue };

export type RawRecord = { readonly [name: string]: RawValue };

export function isRecord(value: RawValue): value is RawRecord {
  return (
    value !== null &&
    typeof value === 'object' &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array) &&
    !(value instanceof WholeFloat)
  );
}

export function isList(value: RawValue): value is readonly RawValue[] {
  return Array.isArray(value);
}

/** The records that an option gave as JSON. Python keeps these in another class, which its messages name. */
const ordered = new WeakSet<object>();

/** The value, whose records are henceforth written as Python's OrderedDict. */
export function inOrder(value: RawValue): RawValue {
  if (isList(value)) value.forEach(inOrder);
  else if (isRecord(value)) {
    ordered.add(value);
    Object.values(value).forEach(inOrder);
  }
  return value;
}

/** As `str(value)` writes it. */
export function textOf(value: RawValue): string {
  return typeof value === 'string' ? value : repr(value);
}

/** As `repr(value)` writes it. */
export function repr(value: RawValue): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return pythonQuoted(value);
  if (typeof value === 'number' || typeof value === 'bigint' || value instanceof WholeFloat) return numberText(value);
  if (value instanceof Uint8Array) return pythonBytes(value);
  if (isList(value)) return `[${value.map(repr).join(', ')}]`;
  if (isRecord(value)) return recordText(value);
  throw new TypeError('a value of a request is one of these');
}

function recordText(record: RawRecord): string {
  const items = Object.entries(record).map(([name, item]) => [pythonQuoted(name), repr(item)] as const);
  if (!ordered.has(record)) return `{${items.map(([name, item]) => `${name}: ${item}`).join(', ')}}`;
  return items.length === 0
    ? 'OrderedDict()'
    : `OrderedDict([${items.map((pair) => `(${pair.join(', ')})`).join(', ')}])`;
}

/** As `str(type(value))` writes it. */
export function typeText(value: RawValue): string {
  const isOrdered = isRecord(value) && ordered.has(value);
  return `<class '${isOrdered ? 'collections.OrderedDict' : typeName(value)}'>`;
}

export function typeName(value: RawValue): string {
  if (value instanceof Uint8Array) return 'bytes';
  if (isList(value)) return 'list';
  return isRecord(value) ? 'dict' : pythonTypeOf(value);
}

/** The value as a request takes it, once checked. */
export function inputOf(value: RawValue): InputValue {
  if (value instanceof WholeFloat) return value.value;
  if (typeof value === 'bigint') return Number(value);
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (isList(value)) return value.map(inputOf);
  if (isRecord(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inputOf(item)]));
  }
  throw new TypeError('a value of a request is one of these');
}

const WHOLE = /^[+-]?[0-9]+(?:_[0-9]+)*$/;
const FLOATING =
  /^[+-]?(?:(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*(?:_[0-9]+)*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)$/i;

/** As `int(text)` reads it; null: it is none. */
export function wholeNumber(text: string): number | bigint | null {
  const trimmed = text.trim();
  if (!WHOLE.test(trimmed)) return null;
  const digits = trimmed.replaceAll('_', '');
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number + 0 : BigInt(digits.replace(/^\+/, ''));
}

/** As `float(text)` reads it; null: it is none. */
export function floatingNumber(text: string): number | WholeFloat | null {
  const trimmed = text.trim();
  if (!FLOATING.test(trimmed)) return null;
  const lower = trimmed.toLowerCase().replaceAll('_', '');
  if (lower.endsWith('nan')) return Number.NaN;
  if (lower.includes('inf')) return lower.startsWith('-') ? -Infinity : Infinity;
  const number = Number(lower);
  return Number.isInteger(number) ? new WholeFloat(number) : number;
}
