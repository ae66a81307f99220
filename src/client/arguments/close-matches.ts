/** Which names a mistyped word is near to: by Ratcliff and Obershelp's measure, as Python's difflib takes it. */

const MATCHES_MAX = 3;
const SIMILARITY_MIN = 0.8;

/** At most three names, the nearest first. */
export function closeMatches(word: string, names: readonly string[]): readonly string[] {
  return names
    .map((name) => ({ name, similarity: similarity(name, word) }))
    .filter((match) => match.similarity >= SIMILARITY_MIN)
    .toSorted((a, b) => b.similarity - a.similarity || (a.name < b.name ? 1 : -1))
    .slice(0, MATCHES_MAX)
    .map(({ name }) => name);
}

/** From 0 to 1. The bound by lengths spares most names the measure. */
function similarity(a: string, b: string): number {
  const total = a.length + b.length;
  if (total === 0) return 1;
  if ((2 * Math.min(a.length, b.length)) / total < SIMILARITY_MIN) return 0;
  return (2 * matching(a, b)) / total;
}

/** Characters in the longest common run, and in those left and right of it. */
function matching(a: string, b: string): number {
  const run = longestRun(a, b);
  if (run.length === 0) return 0;
  return (
    run.length +
    matching(a.slice(0, run.inA), b.slice(0, run.inB)) +
    matching(a.slice(run.inA + run.length), b.slice(run.inB + run.length))
  );
}

/** The longest common run that begins first in `a`, and of these first in `b`. */
function longestRun(a: string, b: string): { readonly inA: number; readonly inB: number; readonly length: number } {
  let longest = { inA: 0, inB: 0, length: 0 };
  let previous = new Uint32Array(b.length + 1);
  for (let inA = 0; inA < a.length; inA += 1) {
    const current = new Uint32Array(b.length + 1);
    for (let inB = 0; inB < b.length; inB += 1) {
      if (a[inA] !== b[inB]) continue;
      const length = (previous[inB] ?? 0) + 1;
      current[inB + 1] = length;
      if (length > longest.length) longest = { inA: inA - length + 1, inB: inB - length + 1, length };
    }
    previous = current;
  }
  return longest;
}
