import { eastAsianWidth } from 'get-east-asian-width';

/** Columns of a terminal that a text takes; characters that only East Asian fonts show wide count as wide, as Python's do. */
export function textColumns(text: string): number {
  let columns = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    columns += code < AMBIGUOUS_MIN ? 1 : eastAsianWidth(code, { ambiguousAsWide: true });
  }
  return columns;
}

/** `¡`; what is below takes one column, so most texts need no table. */
const AMBIGUOUS_MIN = 0xa1;
