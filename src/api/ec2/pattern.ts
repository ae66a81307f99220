/**
 * A filter value of EC2: `*` is any run of characters, `?` is one character, and a backslash takes the meaning of the
 * `*`, `?` or backslash after it away. Letter case counts. A backslash before anything else is itself.
 *
 * A pattern is the literal pieces between its stars. The first piece is anchored at the start of the text, the last at
 * its end, and each one between is taken at the first place where it fits: what comes before a star never has to be
 * looked at again. So a mismatch costs one walk over the text, however many stars there are, and a pattern that is too
 * long for any text is not even taken apart.
 */
export interface Pattern {
  /** At least one; the pattern has one star (or run of stars) fewer than pieces. */
  readonly pieces: readonly Piece[];
  /** UTF-16 code units that a text must have at least. */
  readonly lengthMin: number;
}

/** Nothing that EC2 filters by is longer: tags have 256 characters, descriptions 255. A text beyond it fits no pattern that needs more. */
export const TEXT_LENGTH_MAX = 1024;

interface Piece {
  /** UTF-16 code units; where `anyAt` says so, the unit is not looked at. */
  readonly text: string;
  /** Ascending places in `text` that stand for any one character. */
  readonly anyAt: readonly number[];
  /** The code units of `text`; ANY_CODE at those places. */
  readonly codes: Int32Array;
}

const ANY_CODE = -1;

function pieceOf(text: string, anyAt: readonly number[]): Piece {
  const codes = Int32Array.from({ length: text.length }, (_, index) => text.charCodeAt(index));
  for (const at of anyAt) codes[at] = ANY_CODE;
  return { text, anyAt, codes };
}

export function parsePattern(source: string): Pattern {
  const pieces: Piece[] = [];
  let lengthMin = 0;
  let text = '';
  let anyAt: number[] = [];
  for (let index = 0; index < source.length; index += 1) {
    const unit = source.charAt(index);
    const next = source.charAt(index + 1);
    if (unit === '*') {
      const inRun = text === '' && pieces.length > 0;
      if (!inRun) pieces.push(pieceOf(text, anyAt));
      text = '';
      anyAt = [];
      continue;
    }
    lengthMin += 1;
    if (lengthMin > TEXT_LENGTH_MAX) return { pieces: [], lengthMin: Number.POSITIVE_INFINITY };
    if (unit === '?') {
      anyAt.push(text.length);
      text += unit;
    } else if (unit === '\\' && (next === '*' || next === '?' || next === '\\')) {
      text += next;
      index += 1;
    } else {
      text += unit;
    }
  }
  pieces.push(pieceOf(text, anyAt));
  return { pieces, lengthMin };
}

/** Whether the whole of `text` fits the pattern. */
export function matches(pattern: Pattern, text: string): boolean {
  if (text.length < pattern.lengthMin) return false;
  const [first, ...rest] = pattern.pieces;
  if (first === undefined || !fitsAt(first, text, 0)) return false;
  const last = rest.pop();
  if (last === undefined) return text.length === first.text.length;
  let position = first.text.length;
  const end = text.length - last.text.length;
  for (const piece of rest) {
    const found = findFrom(piece, text, position, end);
    if (found === null) return false;
    position = found + piece.text.length;
  }
  return position <= end && fitsAt(last, text, end);
}

/** The first place at or after `start` where the piece fits and ends at or before `end`. */
function findFrom(piece: Piece, text: string, start: number, end: number): number | null {
  if (piece.anyAt.length === 0) {
    const found = text.indexOf(piece.text, start);
    return found === -1 || found + piece.text.length > end ? null : found;
  }
  // With `?` inside, each place is tried: a piece has at most TEXT_LENGTH_MAX characters.
  for (let position = start; position + piece.text.length <= end; position += 1) {
    if (fitsAt(piece, text, position)) return position;
  }
  return null;
}

function fitsAt({ codes, text: literal, anyAt }: Piece, text: string, position: number): boolean {
  if (anyAt.length === 0) return text.startsWith(literal, position);
  if (position + codes.length > text.length) return false;
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index];
    if (code !== ANY_CODE && code !== text.charCodeAt(position + index)) return false;
  }
  return true;
}
