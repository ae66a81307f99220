/** `application/x-www-form-urlencoded` parameters as a tree: `Filter.1.Value.2=x` lies at Filter → 1 → Value → 2. */
import { WireError } from './wire-error.ts';

export const FORM_LIMITS = {
  /** More segments in a name than any model nests. */
  depthMax: 32,
  /** Parameters of one request. */
  countMax: 10_000,
} as const;

export interface FormNode {
  /** The value given at this very name, null when only names below it were given. */
  text: string | null;
  readonly children: Map<string, FormNode>;
}

/** The parameters in the order given. Throws WireError `malformed`. */
export function parseForm(text: string): readonly (readonly [name: string, value: string])[] {
  const parameters: [string, string][] = [];
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf('&', start);
    const part = text.slice(start, end === -1 ? text.length : end);
    start = end === -1 ? text.length : end + 1;
    if (part === '') continue;
    if (parameters.length === FORM_LIMITS.countMax) {
      throw new WireError('malformed', '', `The request has more than ${FORM_LIMITS.countMax} parameters.`);
    }
    const mark = part.indexOf('=');
    parameters.push(mark === -1 ? [decoded(part), ''] : [decoded(part.slice(0, mark)), decoded(part.slice(mark + 1))]);
  }
  return parameters;
}

/** The body of a form as text. Throws WireError `malformed` when it is not UTF-8. */
export function formText(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new WireError('malformed', '', 'The request body is not valid UTF-8.');
  }
}

/** Arranges parameters by the dots of their names. Throws WireError `malformed` when a name comes twice or is too deep. */
export function formTree(parameters: readonly (readonly [name: string, value: string])[]): FormNode {
  const root: FormNode = { text: null, children: new Map() };
  for (const [name, value] of parameters) {
    const segments = name.split('.', FORM_LIMITS.depthMax + 1);
    if (segments.length > FORM_LIMITS.depthMax) {
      throw new WireError('malformed', shortened(name), `The parameter ${shortened(name)} is nested too deeply.`);
    }
    let node = root;
    for (const segment of segments) {
      let child = node.children.get(segment);
      if (child === undefined) {
        child = { text: null, children: new Map() };
        node.children.set(segment, child);
      }
      node = child;
    }
    if (node.text !== null) {
      throw new WireError('malformed', shortened(name), `The parameter ${shortened(name)} was given more than once.`);
    }
    node.text = value;
  }
  return root;
}

/** A name that came from a client, short enough for a message. */
export function shortened(name: string): string {
  return name.length > 128 ? `${name.slice(0, 128)}…` : name;
}

function decoded(text: string): string {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new WireError('malformed', '', 'The request has a parameter that is not correctly URL-encoded.');
  }
}
