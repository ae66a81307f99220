/** Scalars written as text: in forms, query strings, labels, headers and XML. */
import type { Member } from './model.ts';
import {
  dateOfEpochSeconds,
  epochSeconds,
  formatDateTime,
  formatHttpDate,
  parseDateTime,
  parseHttpDate,
} from './timestamps.ts';
import { WireError } from './wire-error.ts';

export type Scalar = string | number | boolean | Date | Uint8Array;
export type TimestampFormat = NonNullable<Member['timestamp']>;

const typeNames = new Map<string, string>([
  ['boolean', 'a boolean: true or false'],
  ['integer', 'a 32-bit integer'],
  ['long', 'an integer'],
  ['float', 'a number'],
  ['double', 'a number'],
  ['timestamp', 'a timestamp'],
  ['blob', 'base64-encoded bytes'],
]);

/** Parses the text of a scalar member. Throws WireError `wrong-type`. */
export function parseScalar(member: Member, text: string, path: string, timestampDefault: TimestampFormat): Scalar {
  const value = parsed(member, text, timestampDefault);
  if (value === null) {
    const shown = member.sensitive === true ? '' : ` (${text.slice(0, 256)})`;
    throw new WireError(
      'wrong-type',
      path,
      `Value${shown} for parameter ${path} is invalid. It must be ${typeNames.get(member.type)}.`,
    );
  }
  return value;
}

/** Whether a number is one that the type can hold. */
export function isNumberOf(type: string, value: number): boolean {
  if (type === 'integer') return Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31;
  if (type === 'long') return Number.isSafeInteger(value);
  return Number.isFinite(value);
}

/** The bytes of a base64 text, null when it is none. */
export function parseBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** The text of a scalar of a reply. Throws TypeError when a handler gave something of another type: our mistake. */
export function formatScalar(member: Member, value: unknown, timestampDefault: TimestampFormat): string {
  switch (member.type) {
    case 'string':
      if (typeof value === 'string') return value;
      break;
    case 'boolean':
      if (typeof value === 'boolean') return String(value);
      break;
    case 'timestamp':
      if (value instanceof Date) return formatTimestamp(value, member.timestamp ?? timestampDefault);
      break;
    case 'blob':
      if (value instanceof Uint8Array) return base64Of(value);
      break;
    default:
      if (typeof value === 'number' && isNumberOf(member.type, value)) return String(value);
  }
  throw new TypeError(`a reply holds ${typeof value} where the model has ${member.type}`);
}

export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function formatTimestamp(date: Date, format: TimestampFormat): string {
  if (format === 'date-time') return formatDateTime(date);
  return format === 'http-date' ? formatHttpDate(date) : String(epochSeconds(date));
}

function parsed(member: Member, text: string, timestampDefault: TimestampFormat): Scalar | null {
  switch (member.type) {
    case 'string':
      return text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : null;
    case 'timestamp':
      return parsedTimestamp(text, member.timestamp ?? timestampDefault);
    case 'blob':
      return parseBase64(text);
    default:
      return parsedNumber(member.type, text);
  }
}

function parsedNumber(type: string, text: string): number | null {
  const syntax =
    type === 'integer' || type === 'long' ? /^[+-]?\d{1,19}$/ : /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/;
  if (text.length > 64 || !syntax.test(text)) return null;
  const value = Number(text);
  return isNumberOf(type, value) ? value : null;
}

function parsedTimestamp(text: string, format: TimestampFormat): Date | null {
  if (format === 'date-time') return parseDateTime(text);
  if (format === 'http-date') return parseHttpDate(text);
  const seconds = parsedNumber('double', text);
  return seconds === null ? null : dateOfEpochSeconds(seconds);
}
