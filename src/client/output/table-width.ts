import { eastAsianWidth } from 'get-east-asian-width';

/** Columns of a terminal that a text takes; characters that only East Asian fonts show wide count as wide, as Python's do. */
export function textColumns(text: string): number {
  // All below are narrow except some Latin-1 signs, so most texts need no table.
  if (/^[\u0000-\u00a0]*$/.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += eastAsianWidth(character.codePointAt(0) ?? 0, { ambiguousAsWide: true });
  return columns;
}
