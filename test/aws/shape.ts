/**
 * What a reply should look like, as JSON: an object has these members and no others, a list has things of the one shape that
 * stands in it (`[]`: none), or of the several, each in its place, and a leaf is itself, or in angle brackets what it is one of. A member whose name ends in `?` is
 * one that older clients do not know; `isNewest`: this one does.
 */
export type Shape = string | number | boolean | null | readonly Shape[] | { readonly [name: string]: Shape };

const KINDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  '<string>': (value) => typeof value === 'string' && value !== '',
  '<number>': (value) => typeof value === 'number',
  // Of a header, which an older command line shows as it came.
  '<digits>': (value) => (typeof value === 'number' ? value > 0 : /^\d+$/.test(stringOr(value))),
  '<boolean>': (value) => typeof value === 'boolean',
  // The older command line shows seconds as they came, the newer makes a date of them.
  '<time>': (value) =>
    typeof value === 'number' ? value > 1e9 : /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d/.test(stringOr(value)),
  '<percent>': (value) => /^\d+%$/.test(stringOr(value)),
  '<base64>': (value) => /^[A-Za-z0-9+/]+={0,2}$/.test(stringOr(value)),
  '<uuid>': (value) => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(stringOr(value)),
  '<hex64>': (value) => /^[0-9a-f]{64}$/.test(stringOr(value)),
  '<arn>': (value) => /^arn:aws:[a-z]+:[a-z0-9-]*:(?:\d{12}|aws):/.test(stringOr(value)),
  '<volume>': (value) => /^vol-[0-9a-f]{17}$/.test(stringOr(value)),
  '<snapshot>': (value) => /^snap-[0-9a-f]{17}$/.test(stringOr(value)),
  '<policy>': (value) => /^policy-[0-9a-f]{17}$/.test(stringOr(value)),
  '<rule>': (value) => /^[0-9A-Za-z]{11}$/.test(stringOr(value)),
  '<principal>': (value) => /^(?:AIDA|AROA|ANPA|AKIA|ASIA)[A-Z0-9]{16,17}$/.test(stringOr(value)),
};

function stringOr(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Where `value` is not of the shape, and why; null: it is. */
export function misfit(value: unknown, shape: Shape, isNewest: boolean, path = 'reply'): string | null {
  if (typeof shape === 'string' && shape.startsWith('<')) {
    const isOne = KINDS[shape];
    if (isOne === undefined) return `${path}: there is no kind ${shape}`;
    return isOne(value) ? null : `${path}: ${JSON.stringify(value)} is no ${shape}`;
  }
  if (isList(shape)) return misfitOfList(value, shape, isNewest, path);
  if (typeof shape === 'object' && shape !== null) return misfitOfObject(value, shape, isNewest, path);
  return value === shape ? null : `${path}: ${JSON.stringify(value)} is not ${JSON.stringify(shape)}`;
}

function isList(shape: Shape): shape is readonly Shape[] {
  return Array.isArray(shape);
}

function misfitOfList(value: unknown, shapes: readonly Shape[], isNewest: boolean, path: string): string | null {
  if (!Array.isArray(value)) return `${path}: ${JSON.stringify(value)} is no list`;
  const [first] = shapes;
  const isCounted = shapes.length !== 1;
  if (isCounted ? value.length !== shapes.length : value.length === 0) return `${path}: there are ${value.length}`;
  for (const [index, one] of value.entries()) {
    const found = misfit(one, (isCounted ? shapes[index] : first) ?? null, isNewest, `${path}[${index}]`);
    if (found !== null) return found;
  }
  return null;
}

function misfitOfObject(
  value: unknown,
  shape: { readonly [name: string]: Shape },
  isNewest: boolean,
  path: string,
): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `${path}: ${JSON.stringify(value)} is no object`;
  }
  const members = new Map(Object.entries(value));
  for (const [spelled, each] of Object.entries(shape)) {
    const name = spelled.replace(/\?$/, '');
    if (!members.has(name)) {
      if (spelled !== name && !isNewest) continue;
      return `${path}: there is no ${name}`;
    }
    const found = misfit(members.get(name), each, isNewest, `${path}.${name}`);
    if (found !== null) return found;
    members.delete(name);
  }
  // Who does not know how to page through a list shows what the newer ones keep to themselves.
  if (!isNewest) members.delete('IsTruncated');
  return members.size === 0 ? null : `${path}: nobody expects ${[...members.keys()].join(', ')}`;
}
