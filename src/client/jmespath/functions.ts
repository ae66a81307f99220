import type { Document, DocumentRecord } from '#client/command.ts';
import { jsonAscii } from './json-ascii.ts';
import { compareText, pythonSource, pythonText } from '#client/python-text.ts';
import { floatDocument, integerDocument, WholeFloat } from '#client/whole-float.ts';
import { JmespathError } from './error.ts';
import {
  ExpressionReference,
  isArray,
  isFloat,
  isNumber,
  isObject,
  kindOf,
  numeric,
  pythonEquals,
  typeNameOf,
  type Kind,
  type NumberValue,
  type Value,
} from './values.ts';

type ArrayKind = 'array-number' | 'array-string';

/** The kinds that a parameter takes; empty: all. */
type Parameter = readonly (Kind | ArrayKind)[];

interface FunctionRule {
  readonly parameters: readonly Parameter[];
  /** Whether the last parameter may be given more than once. */
  readonly variadic?: true;
  readonly apply: (operands: readonly Value[], evaluate: Evaluate) => Value;
}

export type Evaluate = (reference: ExpressionReference, value: Document) => Value;

/** Calls a function by its name. Throws JmespathError: no such function, wrong number or kinds of operands. */
export function callFunction(name: string, operands: readonly Value[], evaluate: Evaluate): Value {
  const rule = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (rule === undefined) throw new JmespathError(`Unknown function: ${name}()`);
  checkCount(name, rule, operands.length);
  for (const [index, parameter] of rule.parameters.entries()) checkKind(name, parameter, operands[index] ?? null);
  return rule.apply(operands, evaluate);
}

function checkCount(name: string, rule: FunctionRule, count: number): void {
  const expected = rule.parameters.length;
  if (rule.variadic === true ? count >= expected : count === expected) return;
  const words = `${rule.variadic === true ? 'at least ' : ''}${expected} argument${expected === 1 ? '' : 's'}`;
  throw new JmespathError(`Expected ${words} for function ${name}(), received ${count}`);
}

function checkKind(name: string, parameter: Parameter, operand: Value): void {
  if (parameter.length === 0) return;
  const kind = kindOf(operand);
  if (parameter.includes(kind)) return;
  const itemKinds = parameter.flatMap((allowed) => (allowed.startsWith('array-') ? [allowed.slice(6)] : []));
  if (!isArray(operand) || itemKinds.length === 0) throw wrongKind(name, operand, kind, parameter);
  // All items are of one kind, that of the first.
  const first = operand[0];
  if (first === undefined) return;
  const itemKind = itemKinds.length === 1 ? itemKinds[0] : kindOf(first);
  if (itemKind === undefined || !itemKinds.includes(itemKind))
    throw wrongKind(name, first, typeNameOf(first), parameter);
  const other = operand.find((item) => kindOf(item) !== itemKind);
  if (other !== undefined) throw wrongKind(name, other, typeNameOf(other), parameter);
}

function wrongKind(name: string, value: Value, actual: string, expected: readonly string[]): JmespathError {
  return new JmespathError(
    `In function ${name}(), invalid type for value: ${describe(value)}, ` +
      `expected one of: ${pythonSource(expected)}, received: "${actual}"`,
  );
}

function describe(value: Value): string {
  return value instanceof ExpressionReference ? '<expression>' : pythonText(value);
}

const ANY: Parameter = [];

const FUNCTIONS: Readonly<Record<string, FunctionRule>> = {
  abs: one(['number'], (value: NumberValue) => (isNegative(value) ? negated(value) : value)),
  avg: one(['array-number'], (list: readonly NumberValue[]) =>
    list.length === 0 ? null : floatDocument(Number(numeric(sum(list))) / list.length),
  ),
  ceil: one(['number'], (value: NumberValue) => rounded(value, Math.ceil)),
  contains: {
    parameters: [['array', 'string'], ANY],
    apply: ([subject = null, search = null]) => contains(subject, search),
  },
  ends_with: two((text, end) => text.endsWith(end)),
  floor: one(['number'], (value: NumberValue) => rounded(value, Math.floor)),
  join: {
    parameters: [['string'], ['array-string']],
    apply: ([glue = null, list = null]) => strings(list).join(textOf(glue)),
  },
  keys: one(['object'], (record: DocumentRecord) => Object.keys(record)),
  length: one(['string', 'array', 'object'], (value: string | readonly Document[] | DocumentRecord) => {
    if (typeof value === 'string') return Array.from(value).length;
    return isArray(value) ? value.length : Object.keys(value).length;
  }),
  map: {
    parameters: [['expref'], ['array']],
    apply: ([reference = null, list = null], evaluate) => mapped(reference, list, evaluate),
  },
  max: one(['array-number', 'array-string'], (list: readonly Document[]) => extreme(list, list, 1)),
  max_by: {
    parameters: [['array'], ['expref']],
    apply: ([list = null, reference = null], evaluate) => extremeBy('max_by', list, reference, evaluate, 1),
  },
  merge: { parameters: [['object']], variadic: true, apply: merged },
  min: one(['array-number', 'array-string'], (list: readonly Document[]) => extreme(list, list, -1)),
  min_by: {
    parameters: [['array'], ['expref']],
    apply: ([list = null, reference = null], evaluate) => extremeBy('min_by', list, reference, evaluate, -1),
  },
  not_null: {
    parameters: [ANY],
    variadic: true,
    apply: (operands) => operands.find((operand) => operand !== null) ?? null,
  },
  reverse: one(['array', 'string'], (value: string | readonly Document[]) =>
    typeof value === 'string' ? Array.from(value).toReversed().join('') : value.toReversed(),
  ),
  sort: one(['array-string', 'array-number'], (list: readonly Document[]) => list.toSorted(compare)),
  sort_by: {
    parameters: [['array'], ['expref']],
    apply: ([list = null, reference = null], evaluate) => sortedBy(list, reference, evaluate),
  },
  starts_with: two((text, start) => text.startsWith(start)),
  sum: one(['array-number'], sum),
  to_array: one(ANY, (value: Document) => (isArray(value) ? value : [value])),
  to_number: one(ANY, toNumber),
  to_string: one(ANY, (value: Document) => (typeof value === 'string' ? value : jsonAscii(value))),
  type: one(ANY, (value: Document) => typeName(value)),
  values: one(['object'], (record: DocumentRecord) => Object.values(record)),
};

/** A function of one operand; `checkKind` has made sure that it is what `apply` takes. */
function one(parameter: Parameter, apply: (operand: never) => Value): FunctionRule {
  return { parameters: [parameter], apply: ([operand = null]) => apply(operand as never) };
}

/** A function of two strings. */
function two(apply: (left: string, right: string) => boolean): FunctionRule {
  return {
    parameters: [['string'], ['string']],
    apply: ([left = null, right = null]) => apply(left as string, right as string),
  };
}

function typeName(value: Value): string | null {
  const kind = kindOf(value);
  return kind === 'expref' ? null : kind;
}

function textOf(value: Value): string {
  return typeof value === 'string' ? value : '';
}

function strings(list: Value): readonly string[] {
  return isArray(list) ? list.map(pythonText) : [];
}

function isNegative(value: NumberValue): boolean {
  const number = numeric(value);
  return number < 0 || Object.is(number, -0);
}

function negated(value: NumberValue): NumberValue {
  return value instanceof WholeFloat ? new WholeFloat(-value.value) : -value;
}

function rounded(value: NumberValue, round: (value: number) => number): number | bigint {
  const number = numeric(value);
  if (typeof number === 'bigint') return number;
  if (!Number.isFinite(number)) {
    const what = Number.isNaN(number) ? 'float NaN' : 'float infinity';
    throw new JmespathError(`cannot convert ${what} to integer`);
  }
  return integerDocument(BigInt(round(number)));
}

/** Whole numbers exactly; floating point from the first such number on. */
function sum(list: readonly NumberValue[]): NumberValue {
  let whole = 0n;
  let float: number | null = null;
  for (const item of list) {
    const number = numeric(item);
    if (float !== null) float += Number(number);
    else if (isFloat(item)) float = Number(whole) + Number(number);
    else whole += BigInt(number);
  }
  return float === null ? integerDocument(whole) : floatDocument(float);
}

function contains(subject: Value, search: Value): boolean {
  if (isArray(subject)) return subject.some((item) => pythonEquals(item, search));
  if (typeof search === 'string') return textOf(subject).includes(search);
  throw new JmespathError(`'in <string>' requires string as left operand, not ${typeNameOf(search)}`);
}

function merged(operands: readonly Value[]): Document {
  const result: Record<string, Document> = {};
  for (const operand of operands) {
    if (!isObject(operand)) throw new JmespathError(`'${typeNameOf(operand)}' object is not iterable`);
    for (const [name, value] of Object.entries(operand)) put(result, name, value);
  }
  return result;
}

/** Sets a member whatever its name: `__proto__` is a name like any other. */
export function put(record: Record<string, Document>, name: string, value: Document): void {
  if (name === '__proto__')
    Object.defineProperty(record, name, { value, enumerable: true, writable: true, configurable: true });
  else record[name] = value;
}

/** A value that can stand in a document. */
export function documentOf(value: Value): Document {
  if (value instanceof ExpressionReference) throw new JmespathError('Encountered unrecognized type in JSON encoder.');
  return value;
}

function referenceOf(value: Value): ExpressionReference {
  if (value instanceof ExpressionReference) return value;
  throw new JmespathError('an expression is wanted');
}

function mapped(reference: Value, list: Value, evaluate: Evaluate): Document {
  if (!isArray(list)) return null;
  return list.map((item) => documentOf(evaluate(referenceOf(reference), item)));
}

/** The order of two keys. Throws JmespathError where one is a text and the other a number. `sign`: as a message writes it. */
function compare(left: Document, right: Document, sign = '<'): number {
  if (typeof left === 'string' && typeof right === 'string') return compareText(left, right);
  if (!isNumber(left) || !isNumber(right)) {
    const types = `'${typeNameOf(left)}' and '${typeNameOf(right)}'`;
    throw new JmespathError(`'${sign}' not supported between instances of ${types}`);
  }
  const [a, b] = [numeric(left), numeric(right)];
  if (a < b) return -1;
  return a > b ? 1 : 0;
}

export function compareOrdered(left: string | NumberValue, right: string | NumberValue, sign: string): number {
  return compare(left, right, sign);
}

/** The first item with the greatest (`direction` 1) or least (-1) key; null: there is none. */
function extreme(list: readonly Document[], keys: readonly Document[], direction: 1 | -1): Document {
  let best = 0;
  for (let index = 1; index < keys.length; index++) {
    const order = compare(keys[index] ?? null, keys[best] ?? null, direction === 1 ? '>' : '<');
    if (order * direction > 0) best = index;
  }
  return list[best] ?? null;
}

function extremeBy(name: string, list: Value, reference: Value, evaluate: Evaluate, direction: 1 | -1): Document {
  if (!isArray(list)) return null;
  return extreme(list, keysOf(name, list, reference, evaluate, ['number', 'string']), direction);
}

function sortedBy(list: Value, reference: Value, evaluate: Evaluate): Document {
  const first = isArray(list) ? list[0] : undefined;
  if (!isArray(list) || first === undefined) return documentOf(list);
  const kind = kindOf(evaluate(referenceOf(reference), first));
  if (kind !== 'number' && kind !== 'string') throw wrongKind('sort_by', first, kind, ['string', 'number']);
  const keys = keysOf('sort_by', list, reference, evaluate, [kind]);
  const order = keys.map((_key, index) => index);
  order.sort((left, right) => compare(keys[left] ?? null, keys[right] ?? null));
  return order.map((index) => list[index] ?? null);
}

function keysOf(
  name: string,
  list: readonly Document[],
  reference: Value,
  evaluate: Evaluate,
  kinds: readonly Kind[],
): readonly Document[] {
  return list.map((item) => {
    const key = evaluate(referenceOf(reference), item);
    const kind = kindOf(key);
    if (!kinds.includes(kind)) throw wrongKind(name, key, kind, kinds);
    return documentOf(key);
  });
}

const FLOAT = /^[-+]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[-+]?\d+(?:_\d+)*)?$/i;

function toNumber(value: Document): Document {
  if (isNumber(value)) return value;
  if (typeof value !== 'string') return null;
  const text = value.trim();
  if (/^[-+]?\d+(?:_\d+)*$/.test(text)) return integerDocument(BigInt(text.replace(/^\+|_/g, '')));
  if (/^[-+]?(?:inf(?:inity)?|nan)$/i.test(text)) {
    return /nan/i.test(text) ? Number.NaN : text.startsWith('-') ? -Infinity : Infinity;
  }
  if (!FLOAT.test(text)) return null;
  return floatDocument(Number(text.replaceAll('_', '')));
}
