import { isInRange, parseRange } from './address.ts';
import { type Context, expand, matches, parseTemplate, splitTokens, type Template, textOf } from './template.ts';

/**
 * One key of one operator of a `Condition`. How a key that the request does not have is judged: an operator that asks for a
 * match fails, one that asks for none (`StringNotEquals`) holds, `…IfExists` holds, `ForAllValues` holds, `ForAnyValue` fails.
 */
export interface Condition {
  readonly operator: string;
  readonly quantifier: 'all' | 'any' | null;
  readonly ifExists: boolean;
  /** In lower case. */
  readonly key: string;
  readonly values: readonly Template[];
}

interface Family {
  /** Holds when no value matches, instead of when one does. */
  readonly negated: boolean;
  readonly wildcards: boolean;
  readonly test: (given: string, wanted: readonly string[]) => boolean;
  /** Whether a text without variables can be a value of it. */
  readonly isValue: (text: string) => boolean;
}

const isText = (): boolean => true;

function text(test: (given: string, wanted: string) => boolean, negated: boolean): Family {
  return { negated, wildcards: false, isValue: isText, test: (given, wanted) => test(given, textOf(wanted)) };
}

function ordered(
  parse: (text: string) => number | null,
  compare: (given: number, wanted: number) => boolean,
  negated = false,
): Family {
  return {
    negated,
    wildcards: false,
    isValue: (value) => parse(value) !== null,
    test: (given, wanted) => {
      const [left, right] = [parse(given), parse(textOf(wanted))];
      return left !== null && right !== null && compare(left, right);
    },
  };
}

const same = (given: string, wanted: string): boolean => given === wanted;
const sameIgnoringCase = (given: string, wanted: string): boolean => given.toLowerCase() === wanted.toLowerCase();
const like = (negated: boolean): Family => ({ negated, wildcards: true, isValue: isText, test: matchesTokens });
const arn = (negated: boolean): Family => ({ negated, wildcards: true, isValue: isText, test: matchesArn });
const address = (negated: boolean): Family => ({
  negated,
  wildcards: false,
  isValue: (value) => parseRange(value) !== null,
  test: (given, wanted) => {
    const range = parseRange(textOf(wanted));
    return range !== null && isInRange(given, range);
  },
});

const ORDERS: readonly [string, (given: number, wanted: number) => boolean, boolean][] = [
  ['Equals', (given, wanted) => given === wanted, false],
  ['NotEquals', (given, wanted) => given === wanted, true],
  ['LessThan', (given, wanted) => given < wanted, false],
  ['LessThanEquals', (given, wanted) => given <= wanted, false],
  ['GreaterThan', (given, wanted) => given > wanted, false],
  ['GreaterThanEquals', (given, wanted) => given >= wanted, false],
];

const FAMILIES: ReadonlyMap<string, Family> = new Map<string, Family>([
  ['StringEquals', text(same, false)],
  ['StringNotEquals', text(same, true)],
  ['StringEqualsIgnoreCase', text(sameIgnoringCase, false)],
  ['StringNotEqualsIgnoreCase', text(sameIgnoringCase, true)],
  ['StringLike', like(false)],
  ['StringNotLike', like(true)],
  ...ORDERS.map(([name, compare, negated]): [string, Family] => [
    `Numeric${name}`,
    ordered(parseNumber, compare, negated),
  ]),
  ...ORDERS.map(([name, compare, negated]): [string, Family] => [`Date${name}`, ordered(parseDate, compare, negated)]),
  ['Bool', { ...text(sameIgnoringCase, false), isValue: isBoolean }],
  ['BinaryEquals', { ...text(same, false), isValue: (value) => /^[A-Za-z0-9+/]*={0,2}$/.test(value) }],
  ['IpAddress', address(false)],
  ['NotIpAddress', address(true)],
  ['ArnEquals', arn(false)],
  ['ArnLike', arn(false)],
  ['ArnNotEquals', arn(true)],
  ['ArnNotLike', arn(true)],
  ['Null', { ...text(sameIgnoringCase, false), isValue: isBoolean }],
]);

/** The parts of `ForAllValues:StringEqualsIfExists`; null when there is no such operator. */
export function parseOperator(source: string): Pick<Condition, 'operator' | 'quantifier' | 'ifExists'> | null {
  const [, quantifier, operator = '', ifExists] =
    /^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$/.exec(source) ?? [];
  if (!FAMILIES.has(operator) || (operator === 'Null' && ifExists !== undefined)) return null;
  return {
    operator,
    quantifier: quantifier === undefined ? null : quantifier === 'ForAllValues' ? 'all' : 'any',
    ifExists: ifExists !== undefined,
  };
}

/** A value of an operator's key; null when the operator cannot take it. */
export function parseConditionValue(operator: string, source: string, variables: boolean): Template | null {
  const family = FAMILIES.get(operator);
  if (family === undefined) return null;
  const template = parseTemplate(source, { variables, wildcards: family.wildcards });
  return template.constant !== null && !family.isValue(source) ? null : template;
}

export function holds(condition: Condition, context: Context): boolean {
  const { operator, quantifier, ifExists, key, values } = condition;
  const given = context.get(key) ?? [];
  if (operator === 'Null') {
    const absent = String(given.length === 0);
    return values.some((value) => value.source.toLowerCase() === absent);
  }
  const family = FAMILIES.get(operator);
  if (family === undefined) return false; // Never parsed; what is not understood grants nothing.
  if (given.length === 0) return ifExists || (quantifier === null ? family.negated : quantifier === 'all');
  const wanted = values.flatMap((value) => {
    const tokens = expand(value, context);
    return tokens === null ? [] : [tokens];
  });
  const hit = (one: string): boolean => wanted.some((tokens) => family.test(one, tokens));
  const satisfied = (one: string): boolean => hit(one) !== family.negated;
  if (quantifier === 'all') return given.every(satisfied);
  if (quantifier === 'any') return given.some(satisfied);
  // Several values under an operator for one: negated, none of them may match.
  return family.negated ? given.every(satisfied) : given.some(satisfied);
}

function matchesTokens(given: string, wanted: readonly string[]): boolean {
  return matches(wanted, given);
}

const ARN_PARTS = 6;

/** Part by part: a wildcard does not reach over the colons, but for those of the resource, which comes last. */
function matchesArn(given: string, wanted: readonly string[]): boolean {
  const parts = splitRest(given);
  const patterns = splitTokens(wanted, ':', ARN_PARTS);
  if (patterns.length === 1) return matches(wanted, given);
  return (
    parts.length === ARN_PARTS &&
    patterns.length === ARN_PARTS &&
    patterns.every((pattern, index) => matches(pattern, parts[index] ?? ''))
  );
}

function splitRest(arnText: string): readonly string[] {
  const parts = arnText.split(':');
  return parts.length <= ARN_PARTS ? parts : [...parts.slice(0, ARN_PARTS - 1), parts.slice(ARN_PARTS - 1).join(':')];
}

function isBoolean(value: string): boolean {
  return /^(?:true|false)$/i.test(value);
}

function parseNumber(value: string): number | null {
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(value) ? Number(value) : null;
}

const ISO_DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

/** ISO 8601, or seconds since 1970; in milliseconds. */
function parseDate(value: string): number | null {
  if (/^\d{1,12}$/.test(value)) return Number(value) * 1000;
  if (!ISO_DATE.test(value)) return null;
  // A time without a zone is UTC in AWS, and local to Date.parse.
  const ms = Date.parse(/T.*(?:Z|[+-]\d{2}:?\d{2})$/.test(value) || !value.includes('T') ? value : `${value}Z`);
  return Number.isNaN(ms) ? null : ms;
}
