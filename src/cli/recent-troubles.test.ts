import assert from 'node:assert/strict';
import { test } from 'node:test';

import { jsonLog } from '#base/log.ts';
import { VirtualClock } from '#base/virtual-clock.ts';

import { RecentTroubles } from './recent-troubles.ts';

test('the last warnings and errors are kept, with what was logged, and the log itself is as before', () => {
  const clock = new VirtualClock();
  const troubles = new RecentTroubles(clock);
  const lines: string[] = [];
  const log = troubles.watch(jsonLog((line) => lines.push(line)));
  log.info('ready', { port: 1 });
  log.with({ volume: 'vol-1' }).warn('slow', { ms: 7, error: new Error('sync', { cause: new Error('EIO') }) });
  assert.deepEqual(troubles.all, [{ atMs: clock.nowMs(), level: 'warn', event: 'slow', detail: 'ms 7, sync: EIO' }]);
  assert.equal(lines.length, 2);
  assert.match(lines[1] ?? '', /"volume":"vol-1"/);
  for (let number = 0; number < 100; number += 1) log.error('failed', { number, text: 'x'.repeat(10_000) });
  assert.equal(troubles.all.length, 20);
  assert.match(troubles.all.at(-1)?.detail ?? '', /^number 99, text x+$/);
  assert.ok((troubles.all.at(-1)?.detail.length ?? 0) <= 500);
});
