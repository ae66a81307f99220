/**
 * Texts of a policy with wildcards and variables. `*` stands for any run of characters, `?` for one, `${aws:username}` for the
 * value of a key of the request, `${aws:PrincipalTag/team, 'none'}` for that or a default, and `${*}`, `${?}`, `${$}` for the
 * characters themselves. What a variable brings in is always taken literally: a user named `*` matches nothing more.
 */

/** Keys of a request in lower case, each with its values. */
export type Context = ReadonlyMap<string, readonly string[]>;

type Piece =
  | { readonly kind: 'tokens'; readonly tokens: readonly string[] }
  | { readonly kind: 'variable'; readonly key: string; readonly fallback: string | null };

/** A parsed text. `constant`: its tokens when it has no variable. */
export interface Template {
  readonly source: string;
  readonly pieces: readonly Piece[];
  readonly constant: readonly string[] | null;
}

// A token is one character, or one of these, which no character is.
const ANY = 'any';
const ONE = 'one';

const VARIABLE = /\$\{(?:([*?$])|([^{},']+?)\s*(?:,\s*'([^']*)'\s*)?)\}/y;

export function parseTemplate(
  source: string,
  options: { readonly variables: boolean; readonly wildcards: boolean },
): Template {
  const pieces: Piece[] = [];
  let tokens: string[] = [];
  for (let at = 0; at < source.length;) {
    VARIABLE.lastIndex = at;
    const variable = options.variables && source.startsWith('${', at) ? VARIABLE.exec(source) : null;
    if (variable !== null) {
      const [whole, literal, key = '', fallback] = variable;
      if (literal !== undefined) tokens.push(literal);
      else {
        if (tokens.length > 0) pieces.push({ kind: 'tokens', tokens });
        tokens = [];
        pieces.push({ kind: 'variable', key: key.trim().toLowerCase(), fallback: fallback ?? null });
      }
      at += whole.length;
      continue;
    }
    const character = source.charAt(at);
    const wild = options.wildcards && (character === '*' || character === '?');
    tokens.push(wild ? (character === '*' ? ANY : ONE) : character);
    at += 1;
  }
  if (tokens.length > 0 || pieces.length === 0) pieces.push({ kind: 'tokens', tokens });
  const [only] = pieces;
  return { source, pieces, constant: pieces.length === 1 && only?.kind === 'tokens' ? only.tokens : null };
}

/** The tokens for one request; null when a variable has no single value and no default. */
export function expand(template: Template, context: Context): readonly string[] | null {
  if (template.constant !== null) return template.constant;
  const tokens: string[] = [];
  for (const piece of template.pieces) {
    if (piece.kind === 'tokens') {
      tokens.push(...piece.tokens);
      continue;
    }
    const values = context.get(piece.key);
    const value = values?.length === 1 ? values[0] : piece.fallback;
    if (value === undefined || value === null) return null;
    tokens.push(...value.split(''));
  }
  return tokens;
}

/** Of tokens without wildcards. */
export function textOf(tokens: readonly string[]): string {
  return tokens.join('');
}

/** Whether the tokens match the whole text. Time: at most the product of both lengths. */
export function matches(tokens: readonly string[], text: string): boolean {
  let at = 0;
  let token = 0;
  // Where to go on when what follows the last `*` does not fit: that `*` takes one character more.
  let retryAt = -1;
  let retryToken = -1;
  while (at < text.length) {
    const wanted = tokens[token];
    if (wanted === ANY) {
      retryToken = token += 1;
      retryAt = at;
    } else if (wanted === ONE || wanted === text.charAt(at)) {
      token += 1;
      at += 1;
    } else if (retryToken !== -1) {
      token = retryToken;
      at = retryAt += 1;
    } else {
      return false;
    }
  }
  while (tokens[token] === ANY) token += 1;
  return token === tokens.length;
}

/** Tokens cut at the first `count - 1` of a character, as `split` cuts a text and keeps the rest whole. */
export function splitTokens(
  tokens: readonly string[],
  separator: string,
  count: number,
): readonly (readonly string[])[] {
  const parts: string[][] = [[]];
  for (const token of tokens) {
    if (token === separator && parts.length < count) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}
