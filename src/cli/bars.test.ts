import assert from 'node:assert/strict';
import { test } from 'node:test';

import { VirtualClock } from '#base/virtual-clock.ts';

import { Bars, type BarStream } from './bars.ts';

function collected(isTTY: boolean): { readonly stream: BarStream; readonly text: () => string } {
  let text = '';
  return { stream: { isTTY, write: (more) => (text += more) }, text: () => text };
}

const at = (
  doneBytes: number,
  totalBytes: number | null = 100,
): { label: string; doneBytes: number; totalBytes: number | null } => ({
  label: 'web',
  doneBytes,
  totalBytes,
});

test('where there is no terminal, a line comes at each tenth, and after a while', async () => {
  const clock = new VirtualClock();
  const { stream, text } = collected(false);
  const bars = new Bars(clock, stream);
  bars.show([at(0, null)]);
  for (const done of [0, 3, 8, 12, 19, 20]) {
    await clock.advance(1000);
    bars.show([at(done)]);
  }
  await clock.advance(40_000);
  bars.show([at(21)]);
  bars[Symbol.dispose]();
  const lines = text().trimEnd().split('\n');
  assert.equal(lines[0], 'web  waits for its turn');
  assert.deepEqual(
    lines.slice(1).map((line) => /(\d+)%/.exec(line)?.[1]),
    ['12', '20', '21'],
  );
});

test('on a terminal the bars of several are drawn over one another, and are gone at the end', async () => {
  const clock = new VirtualClock();
  const { stream, text } = collected(true);
  const bars = new Bars(clock, stream);
  const two = (done: number): void => bars.show([at(done), { ...at(done), label: 'data' }]);
  two(10);
  two(11); // Too early to be drawn.
  await clock.advance(1000);
  two(60);
  bars[Symbol.dispose]();
  const frames = text().split('\u001B[2A\u001B[J');
  assert.equal(frames.length, 3);
  assert.match(frames[1] ?? '', /^web {2}\[=+> *\] {2}60% {2}60 B of 100 B {2}50 B\/s {2}0:01 left\ndata /);
  assert.equal(frames[2], '');
});
