/**
 * A second reading of the same rules, for tests: straight from the JSON of a document, with regular expressions, no parsing step
 * and nothing shared with the evaluator.
 */

type Json = Readonly<Record<string, unknown>>;

export interface NaiveRequest {
  readonly action: string;
  readonly resource: string;
  readonly context: Readonly<Record<string, readonly string[]>>;
}

export function naiveDecision(documents: readonly string[], request: NaiveRequest): 'allow' | 'deny' | 'none' {
  const found = documents.flatMap((source) => {
    const document = JSON.parse(source) as Json;
    return listOf(document['Statement'])
      .map((statement) => statement as Json)
      .filter((statement) => hit(statement, document['Version'] === '2012-10-17', request))
      .map((statement) => statement['Effect']);
  });
  const hits = new Set(found);
  if (hits.has('Deny')) return 'deny';
  return hits.has('Allow') ? 'allow' : 'none';
}

function hit(statement: Json, modern: boolean, request: NaiveRequest): boolean {
  const action = (text: unknown): boolean => regexp(String(text), true, 'i').test(request.action);
  const resource = (text: unknown): boolean => {
    const filled = fill(String(text), modern, request);
    return filled !== null && regexp(filled, true, '').test(request.resource);
  };
  if ('Action' in statement && !listOf(statement['Action']).some(action)) return false;
  if ('NotAction' in statement && listOf(statement['NotAction']).some(action)) return false;
  if ('Resource' in statement && !listOf(statement['Resource']).some(resource)) return false;
  if ('NotResource' in statement) {
    const list = listOf(statement['NotResource']);
    if (list.some(resource)) return false;
    if (statement['Effect'] === 'Allow' && list.some((text) => fill(String(text), modern, request) === null))
      return false;
  }
  return Object.entries((statement['Condition'] ?? {}) as Json).every(([operator, keys]) =>
    Object.entries(keys as Json).every(([key, values]) => condition(operator, key, listOf(values), modern, request)),
  );
}

function condition(
  operator: string,
  key: string,
  values: readonly unknown[],
  modern: boolean,
  request: NaiveRequest,
): boolean {
  const entry = Object.entries(request.context).find(([name]) => name.toLowerCase() === key.toLowerCase());
  const given = entry?.[1] ?? [];
  if (operator.replace(/^.*:/, '') === 'Null') {
    return values.some((value) => (String(value).toLowerCase() === 'true') === (given.length === 0));
  }
  const all = operator.startsWith('ForAllValues:');
  const any = operator.startsWith('ForAnyValue:');
  const optional = operator.endsWith('IfExists');
  const plain = operator.replace(/^For\w+Values?:/, '').replace(/IfExists$/, '');
  const negative = plain.includes('Not');
  if (given.length === 0) {
    if (optional || all) return true;
    return any ? false : negative;
  }
  const positive = plain.replace('Not', '');
  const wanted = values
    .map((value) => fill(String(value), modern, request))
    .filter((value): value is string => value !== null);
  const matched = given.map((one) => wanted.some((value) => compare(positive, one, value)));
  const fine = matched.map((match) => (negative ? !match : match));
  if (all) return fine.every(Boolean);
  if (any) return fine.some(Boolean);
  return negative ? !matched.includes(true) : matched.includes(true);
}

function compare(operator: string, given: string, wanted: string): boolean {
  switch (operator) {
    case 'StringEquals':
      return given === unescaped(wanted);
    case 'StringEqualsIgnoreCase':
    case 'Bool':
      return given.toLowerCase() === unescaped(wanted).toLowerCase();
    case 'StringLike':
      return regexp(wanted, true, '').test(given);
    case 'ArnLike':
    case 'ArnEquals':
      return arnLike(given, wanted);
    case 'IpAddress':
      return inCidr(given, unescaped(wanted));
    default:
      return inOrder(operator, given, unescaped(wanted));
  }
}

function inOrder(operator: string, given: string, wanted: string): boolean {
  const value = (text: string): number =>
    operator.startsWith('Date') ? (/^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text)) : Number(text);
  const [left, right] = [value(given), value(wanted)];
  switch (operator.replace(/^(?:Numeric|Date)/, '')) {
    case 'Equals':
      return left === right;
    case 'LessThan':
      return left < right;
    case 'LessThanEquals':
      return left <= right;
    case 'GreaterThan':
      return left > right;
    case 'GreaterThanEquals':
      return left >= right;
    default:
      throw new Error(`the naive evaluator does not know ${operator}`);
  }
}

/** IPv4 only. */
function inCidr(address: string, range: string): boolean {
  const bits = (text: string): string =>
    text
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('');
  const [base = '', length = '32'] = range.split('/');
  return bits(address).startsWith(bits(base).slice(0, Number(length)));
}

function arnLike(given: string, wanted: string): boolean {
  if (/^[*?]+$/.test(wanted)) return regexp(wanted, true, '').test(given);
  const cut = (text: string): string[] => {
    const [a = '', b = '', c = '', d = '', e = '', ...rest] = text.split(':');
    return [a, b, c, d, e, rest.join(':')];
  };
  const parts = cut(given);
  return cut(wanted).every((pattern, index) => regexp(pattern, true, '').test(parts[index] ?? ''));
}

// A literal `*` from a variable is carried through as a private character that no test value has.
const ESCAPED: readonly (readonly [string, string])[] = [
  ['*', '\uE000'],
  ['?', '\uE001'],
  ['$', '\uE002'],
];

function escaped(text: string): string {
  return ESCAPED.reduce((value, [from, to]) => value.replaceAll(from, to), text);
}

function unescaped(text: string): string {
  return ESCAPED.reduce((value, [from, to]) => value.replaceAll(to, from), text);
}

function fill(text: string, modern: boolean, request: NaiveRequest): string | null {
  if (!modern) return text;
  let missing = false;
  const filled = text.replace(
    /\$\{([*?$])\}|\$\{([\w:/-]+)(?:\s*,\s*'([^']*)')?\s*\}/g,
    (_whole, literal: string | undefined, key: string | undefined, fallback: string | undefined) => {
      if (literal !== undefined) return escaped(literal);
      const found =
        Object.entries(request.context).find(([name]) => name.toLowerCase() === key?.toLowerCase())?.[1] ?? [];
      const value = found.length === 1 ? found[0] : fallback;
      if (value === undefined) missing = true;
      return escaped(value ?? '');
    },
  );
  return missing ? null : filled;
}

function regexp(pattern: string, wild: boolean, flags: string): RegExp {
  const source = pattern.split('').map((character) => {
    if (wild && character === '*') return '[^]*';
    if (wild && character === '?') return '[^]';
    return unescaped(character).replace(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
  });
  return new RegExp(`^${source.join('')}$`, flags);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [value];
}
