import type { Document } from './command.ts';

/**
 * A number that came as floating point and is whole. The AWS command line keeps the two kinds of numbers apart and prints
 * 5.0 for it; all other numbers say by their value which kind they are.
 */
export class WholeFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** A floating-point number as a document holds it. */
export function floatDocument(value: number): number | WholeFloat {
  return Number.isInteger(value) ? new WholeFloat(value) : value;
}

/** A whole number as a document holds it. */
export function integerDocument(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Whether JSON may hold a number that `JSON.parse` alone would make another of: 5.0, 1E9, more than 15 digits, -0. */
const TELLING_NUMBER = /(?:^|[:[,])\s*-?(?:\d+[.eE]|\d{16}|(?<=-)0)/;

/** The JSON in `text`, with the kinds of numbers kept apart. Throws SyntaxError. */
export function parseDocument(text: string): Document {
  return JSON.parse(text, TELLING_NUMBER.test(text) ? numbersKept : undefined) as Document;
}

/** `context` is what ECMAScript's "JSON.parse source text access" adds: a scalar as the text has it. */
function numbersKept(_name: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  return typeof value === 'number' && source !== undefined ? numberOf(value, source) : value;
}

function numberOf(value: number, source: string): number | bigint | WholeFloat {
  if (/[.eE]/.test(source)) return floatDocument(value);
  return Number.isSafeInteger(value) ? value + 0 : BigInt(source);
}
