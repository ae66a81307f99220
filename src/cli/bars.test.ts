import assert from 'node:assert/strict';
import { test } from 'node:test';

import { VirtualClock } from '#base/virtual-clock.ts';

import { Bars, type BarStream, Progress, type Step } from './bars.ts';

function collected(more: Omit<BarStream, 'write'>): { readonly stream: BarStream; readonly text: () => string } {
  let text = '';
  return { stream: { ...more, write: (written) => (text += written) }, text: () => text };
}

const at = (doneBytes: number | null, label = 'web'): Step => ({ label, doneBytes, totalBytes: 100 });

test('where there is no terminal, a line of each comes every ten seconds, and none of what is soon done', async () => {
  const clock = new VirtualClock();
  const { stream, text } = collected({});
  using bars = new Bars(clock, stream);
  bars.show([at(null)]);
  await clock.advance(9000);
  bars.show([at(null)]);
  assert.equal(text(), '');
  await clock.advance(1000);
  bars.show([at(null)]);
  for (const done of [20, 21, 40, 41]) {
    await clock.advance(5000);
    bars.show([at(done), at(done, 'data')]);
  }
  const lines = text().trimEnd().split('\n');
  assert.equal(lines[0], 'web  waits for its turn');
  // The rate is of what came since it began.
  assert.match(lines[1] ?? '', /^web  .* 21%  21 B of 100 B  0 B\/s  6:35 left/);
  assert.match(lines[2] ?? '', /^data  .* 40%/);
  assert.match(lines[3] ?? '', /^web  .* 41%/);
  assert.equal(lines.length, 4);
});

test('on a terminal the bars of several are drawn over one another, and are gone at the end', async () => {
  const clock = new VirtualClock();
  const { stream, text } = collected({ isTTY: true, columns: 200, rows: 24 });
  const bars = new Bars(clock, stream);
  const two = (done: number): void => bars.show([at(done), at(done, 'data')]);
  two(10);
  two(11); // Too early to be drawn.
  await clock.advance(1000);
  two(60);
  bars[Symbol.dispose]();
  const frames = text().split('\r\u001B[1A\u001B[J');
  assert.equal(frames.length, 3);
  assert.match(frames[1] ?? '', /^web {2}\[=+> *\] {2}60% {2}60 B of 100 B {2}50 B\/s {2}0:01 left\ndata /);
  assert.equal(frames[2], '');
});

test('what a terminal has no room for is left out, so that all can be drawn over', () => {
  const { stream, text } = collected({ isTTY: true, columns: 40, rows: 6 });
  using bars = new Bars(new VirtualClock(), stream);
  bars.show(Array.from({ length: 9 }, (_, index) => at(50, `disk-${index}`)));
  const lines = text().split('\n');
  assert.equal(lines.length, 5);
  assert.equal(lines.at(-1), 'and 5 more');
  for (const line of lines) assert.ok(line.length < 40, line);
});

test('a warning that is written under a bar stays', async () => {
  const clock = new VirtualClock();
  const { stream, text } = collected({ isTTY: true });
  {
    using progress = new Progress({ label: 'reading', totalBytes: 100, clock, stream });
    stream.write('varve: damaged\n');
    await clock.advance(1000);
    progress.at(50);
  }
  // The line is cleared from its beginning on, and nothing above it.
  assert.ok(!text().includes('A\u001B[J'));
  const after = text().split('damaged\n')[1] ?? '';
  assert.ok(after.startsWith('\r\u001B[Jreading  ') && after.includes(' 50% ') && after.endsWith('\r\u001B[J'), after);
});
