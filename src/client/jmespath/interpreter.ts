import type { Document } from '#client/command.ts';
import { JmespathError } from './error.ts';
import { CURRENT, type Comparison, type Expression } from './expression.ts';
import { callFunction, compareOrdered, documentOf, put } from './functions.ts';
import { equals, ExpressionReference, isArray, isFalse, isNumber, isObject, type Value } from './values.ts';

/** What an expression gives on a document. Throws JmespathError. */
export function evaluate(expression: Expression, document: Document): Document {
  return documentOf(valueOf(expression, document));
}

function valueOf(expression: Expression, value: Document): Value {
  switch (expression.kind) {
    case 'current':
      return value;
    case 'literal':
      return expression.value;
    case 'field':
      return isObject(value) && Object.hasOwn(value, expression.name) ? (value[expression.name] ?? null) : null;
    case 'index':
      return isArray(value) ? (value.at(expression.index) ?? null) : null;
    case 'slice':
      return isArray(value) ? slice(value, expression) : null;
    case 'chain':
      return expression.steps.reduce<Value>((result, step) => valueOf(step, documentOf(result)), value);
    case 'flatten': {
      const list = valueOf(expression.of, value);
      return isArray(list) ? list.flat() : null;
    }
    case 'projection':
    case 'valueProjection':
    case 'filterProjection':
      return projection(expression, value);
    case 'comparison':
      return comparison(expression.comparison, valueOf(expression.left, value), valueOf(expression.right, value));
    case 'and':
    case 'or': {
      const left = valueOf(expression.left, value);
      return isFalse(left) === (expression.kind === 'or') ? valueOf(expression.right, value) : left;
    }
    case 'not':
      return isFalse(valueOf(expression.of, value));
    case 'list':
      return value === null ? null : expression.items.map((item) => evaluate(item, value));
    case 'record':
      return value === null ? null : record(expression.members, value);
    case 'call':
      return callFunction(
        expression.name,
        expression.operands.map((operand) => valueOf(operand, value)),
        (reference, item) => valueOf(reference.expression, item),
      );
    case 'reference':
      return new ExpressionReference(expression.of);
  }
}

type Projection = Extract<Expression, { kind: 'projection' | 'valueProjection' | 'filterProjection' }>;

/** The right side on each element of the left; what it gives null on is left out. */
function projection(expression: Projection, value: Document): Document {
  const base = valueOf(expression.of, value);
  const elements = expression.kind === 'valueProjection' ? (isObject(base) ? Object.values(base) : null) : base;
  if (elements === null || !isArray(elements)) return null;
  const kept =
    expression.kind === 'filterProjection'
      ? elements.filter((element) => !isFalse(valueOf(expression.condition, element)))
      : elements;
  if (expression.right === CURRENT) return kept.filter((element) => element !== null);
  const results: Document[] = [];
  for (const element of kept) {
    const result = evaluate(expression.right, element);
    if (result !== null) results.push(result);
  }
  return results;
}

function record(members: Extract<Expression, { kind: 'record' }>['members'], value: Document): Document {
  const result: Record<string, Document> = {};
  for (const [name, member] of members) put(result, name, evaluate(member, value));
  return result;
}

/** Numbers and texts have an order; of other kinds, the comparison gives null. */
function comparison(sign: Comparison, left: Value, right: Value): Document {
  if (sign === 'eq') return equals(left, right);
  if (sign === 'ne') return !equals(left, right);
  if (!isOrdered(left) || !isOrdered(right)) return null;
  switch (sign) {
    case 'lt':
      return compareOrdered(left, right, '<') < 0;
    case 'lte':
      return compareOrdered(left, right, '<=') <= 0;
    case 'gt':
      return compareOrdered(left, right, '>') > 0;
    case 'gte':
      return compareOrdered(left, right, '>=') >= 0;
  }
}

function isOrdered(value: Value): value is string | Extract<Value, number | bigint> {
  return typeof value === 'string' || isNumber(value);
}

/** `list[start:stop:step]` as Python slices. */
function slice(
  list: readonly Document[],
  { start, stop, step }: Extract<Expression, { kind: 'slice' }>,
): readonly Document[] {
  const stride = step ?? 1;
  if (stride === 0) throw new JmespathError('slice step cannot be zero');
  const [least, most] = stride > 0 ? [0, list.length] : [-1, list.length - 1];
  const bound = (given: number | null, otherwise: number): number =>
    given === null ? otherwise : Math.max(least, Math.min(most, given < 0 ? given + list.length : given));
  const from = bound(start, stride > 0 ? least : most);
  const to = bound(stop, stride > 0 ? most : least);
  const result: Document[] = [];
  for (let index = from; stride > 0 ? index < to : index > to; index += stride) result.push(list[index] ?? null);
  return result;
}
