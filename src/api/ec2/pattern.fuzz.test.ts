import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { matches, parsePattern } from './pattern.ts';

/** The obvious definition, exponential in the worst case. */
function naive(source: string, text: string): boolean {
  const [head, next] = [source.charAt(0), source.charAt(1)];
  if (source === '') return text === '';
  if (head === '*') return naive(source.slice(1), text) || (text !== '' && naive(source, text.slice(1)));
  if (head === '?') return text !== '' && naive(source.slice(1), text.slice(1));
  if (head === '\\' && '*?\\'.includes(next) && next !== '') {
    return text.startsWith(next) && naive(source.slice(2), text.slice(1));
  }
  return text.startsWith(head) && naive(source.slice(1), text.slice(1));
}

function randomText(random: SeededRandom, alphabet: string, lengthMax: number): string {
  return Array.from({ length: random.below(lengthMax + 1) }, () => alphabet.charAt(random.below(alphabet.length))).join(
    '',
  );
}

test('patterns agree with the obvious definition', () => {
  const seed = Number(process.env['VARVE_SEED'] ?? 20261120);
  const random = new SeededRandom(seed);
  let fitting = 0;
  for (let round = 0; round < 50_000; round += 1) {
    const source = randomText(random, 'ab*?\\', 10);
    const text = randomText(random, 'ab*?\\', 8);
    const expected = naive(source, text);
    if (expected) fitting += 1;
    assert.equal(matches(parsePattern(source), text), expected, `seed ${seed}: ${source} against ${text}`);
  }
  assert.ok(fitting > 1000, 'enough of the rounds fit to mean something');
});
