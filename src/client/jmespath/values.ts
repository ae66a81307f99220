/** What values are to expressions: kinds, numbers of two sorts, and Python's equality. */
import type { Document, DocumentRecord } from '#client/command.ts';
import { pythonTypeOf } from '#client/python-text.ts';
import { WholeFloat } from '#client/whole-float.ts';
import type { Expression } from './expression.ts';

/** `&expression`: handed to a function, not evaluated. */
export class ExpressionReference {
  readonly expression: Expression;

  constructor(expression: Expression) {
    this.expression = expression;
  }
}

export type Value = Document | ExpressionReference;

export type NumberValue = number | bigint | WholeFloat;

export type Kind = 'boolean' | 'array' | 'object' | 'null' | 'string' | 'number' | 'expref';

export function kindOf(value: Value): Kind {
  if (value === null) return 'null';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number' || typeof value === 'bigint' || value instanceof WholeFloat) return 'number';
  if (value instanceof ExpressionReference) return 'expref';
  return Array.isArray(value) ? 'array' : 'object';
}

/** The name of a value's type in Python, as some messages have it. */
export function typeNameOf(value: Value): string {
  return value instanceof ExpressionReference ? '_Expression' : pythonTypeOf(value);
}

export function isArray(value: Value): value is readonly Document[] {
  return Array.isArray(value);
}

export function isObject(value: Value): value is DocumentRecord {
  return kindOf(value) === 'object';
}

export function isNumber(value: Value): value is NumberValue {
  return kindOf(value) === 'number';
}

export function isFloat(value: Value): boolean {
  return value instanceof WholeFloat || (typeof value === 'number' && !Number.isInteger(value));
}

export function numeric(value: NumberValue): number | bigint {
  return value instanceof WholeFloat ? value.value : value;
}

/** False in a condition: null, false, and what is empty. Zero is true. */
export function isFalse(value: Value): boolean {
  if (value === null || value === false || value === '') return true;
  if (isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}

/** Equality of expressions: a truth value equals no number. */
export function equals(left: Value, right: Value): boolean {
  return (typeof left === 'boolean') === (typeof right === 'boolean') && pythonEquals(left, right);
}

/** Equality of Python, which also holds inside of lists and records: True equals 1. */
export function pythonEquals(left: Value, right: Value): boolean {
  if (isArray(left)) {
    return (
      isArray(right) &&
      left.length === right.length &&
      left.every((item, index) => pythonEquals(item, right[index] ?? null))
    );
  }
  if (isObject(left)) {
    if (!isObject(right)) return false;
    const names = Object.keys(left);
    return (
      names.length === Object.keys(right).length &&
      names.every((name) => Object.hasOwn(right, name) && pythonEquals(left[name] ?? null, right[name] ?? null))
    );
  }
  const [a, b] = [asNumber(left), asNumber(right)];
  // oxlint-disable-next-line eqeqeq -- a number and a bigint are equal when their values are.
  if (a !== null && b !== null) return a == b;
  return left === right;
}

function asNumber(value: Value): number | bigint | null {
  if (typeof value === 'boolean') return Number(value);
  return isNumber(value) ? numeric(value) : null;
}
