import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { newPart } from './machines.ts';

test('what a console says after it was looked at is shown once, also when its beginning was cut off meanwhile', () => {
  const random = new SeededRandom(3);
  // Few different lines, so that parts of it are like others.
  const said = Array.from(
    { length: 400 },
    (_, index) => `line ${random.below(5)}${index % 40 === 0 ? index : ''}\n`,
  ).join('');
  const windowBytes = 300;
  const tail = (end: number): Buffer => Buffer.from(said.slice(Math.max(0, end - windowBytes), end));
  for (let round = 0; round < 200; round += 1) {
    const before = random.below(said.length);
    const after = Math.min(said.length, before + random.below(windowBytes / 2));
    const part = newPart(tail(before), tail(after)).toString();
    assert.equal(part, said.slice(before, after), `from ${before} to ${after}`);
  }
  assert.equal(newPart(Buffer.from('old'), Buffer.from('all is new')).toString(), 'all is new');
});
