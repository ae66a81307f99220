import assert from 'node:assert/strict';
import { test } from 'node:test';

import { VirtualClock } from '#base/virtual-clock.ts';

import type { BarStream } from './bars.ts';
import { VerifyMeter } from './verify-meter.ts';

/** A stream that keeps what is written to it. */
function streamOf(isTTY: boolean): { readonly stream: BarStream; readonly written: string[] } {
  const written: string[] = [];
  const write = (text: string): boolean => written.push(text) > 0;
  return { stream: { isTTY, write }, written };
}

const MIB = 1024 ** 2;

test('on a terminal a bar is drawn over itself, and gone at the end', async () => {
  const clock = new VirtualClock();
  const { stream, written } = streamOf(true);
  {
    using meter = new VerifyMeter({ clock, stream });
    for (let done = 0; done <= 100; done += 1) {
      meter.at({ phase: 'packs', doneBytes: done * MIB, totalBytes: 100 * MIB, damageCount: 0 });
      await clock.advance(50);
    }
    meter.at({ phase: 'trees', doneBytes: 100 * MIB, totalBytes: 100 * MIB, damageCount: 0 });
  }
  assert.ok(written.length > 10 && written.length < 60, `${written.length} lines`);
  assert.ok(written.slice(1).every((text) => text.startsWith('\r\u001B[J') && !text.includes('\n')));
  assert.ok(
    written.some((text) => /reading packs {2}\[=+>? *\] +52%/.test(text)),
    written.join('\n'),
  );
  assert.equal(written.at(-1), '\r\u001B[J');
});

test('elsewhere there is a plain line every ten seconds, with what was found', async () => {
  const clock = new VirtualClock();
  const { stream, written } = streamOf(false);
  using meter = new VerifyMeter({ clock, stream });
  for (let second = 0; second < 35; second += 1) {
    meter.at({ phase: 'packs', doneBytes: second * MIB, totalBytes: 100 * MIB, damageCount: second > 15 ? 2 : 0 });
    await clock.advance(1000);
  }
  assert.equal(written.length, 3);
  assert.match(written[0] ?? '', /^reading packs .* 10%.*[^2]\n$/);
  assert.match(written[1] ?? '', /damages so far: 2\n$/);
});
