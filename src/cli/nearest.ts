/** Of what a person may have meant: the one that is few letters away, or begins like it; null when none is near. */
export function nearest(typed: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.min(3, Math.ceil(typed.length / 2));
  for (const word of known) {
    const distance = distanceOf(typed, word);
    if (distance >= bestDistance) continue;
    best = word;
    bestDistance = distance;
  }
  return best ?? (typed.length >= 3 ? (known.find((word) => word.startsWith(typed)) ?? null) : null);
}

/** Letters that are put in, left out, changed, or exchanged with their neighbour (Damerau and Levenshtein's distance). */
function distanceOf(from: string, to: string): number {
  let before: readonly number[] = [];
  let row: readonly number[] = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let line = 1; line <= from.length; line += 1) {
    const next = [line];
    for (let column = 1; column <= to.length; column += 1) {
      const isSame = from[line - 1] === to[column - 1];
      const changed = (row[column - 1] ?? 0) + (isSame ? 0 : 1);
      const isSwap = line > 1 && column > 1 && from[line - 1] === to[column - 2] && from[line - 2] === to[column - 1];
      const swapped = isSwap ? (before[column - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(changed, swapped, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[to.length] ?? 0;
}
