import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { type Log, silentLog } from '#base/log.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { LogFeed } from './log-feed.ts';

const scratch = scratchDirectory('log-feed');

test('what is logged while somebody reads comes to them, with the fields of the log and errors in words', async () => {
  const feed = new LogFeed(systemClock);
  const logged: string[] = [];
  const inner: Log = { ...silentLog, info: (event) => logged.push(event), with: () => inner };
  const log = feed.watch(inner);
  log.info('before');
  const server = createServer((_request, response) => {
    feed.stream(response);
    log.with({ volume: 'vol-1' }).error('broken', { error: new Error('no', { cause: new Error('disk') }) });
    log.info('after', { tookMs: 3 });
    feed.end();
  });
  const socketPath = join(scratch, 'feed.sock');
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const lines: unknown[] = [];
  await new Promise<void>((resolve, reject) => {
    const sent = request({ socketPath }, (response) => {
      const reader = createInterface({ input: response });
      reader.on('line', (line) => lines.push(JSON.parse(line)));
      reader.on('close', resolve);
    });
    sent.on('error', reject);
    sent.end();
  });
  server.close();
  const atMs = (line: unknown): number => (line as { readonly atMs: number }).atMs;
  assert.deepEqual(lines, [
    { atMs: atMs(lines[0]), level: 'error', event: 'broken', volume: 'vol-1', error: 'no: disk' },
    { atMs: atMs(lines[1]), level: 'info', event: 'after', tookMs: 3 },
  ]);
  assert.deepEqual(logged, ['before', 'after']);
});

test('a reader that does not read loses lines, and the server keeps no more of them than it may', async () => {
  const feed = new LogFeed(systemClock);
  const log = feed.watch(silentLog);
  const written: string[] = [];
  let unread = 0;
  const response = {
    writeHead: () => {},
    flushHeaders: () => {},
    on: () => {},
    end: () => {},
    get writableLength() {
      return unread;
    },
    write: (text: string) => {
      unread += text.length;
      written.push(text);
    },
  };
  feed.stream(response as never);
  const long = 'x'.repeat(10_000);
  for (let count = 0; count < 1000; count += 1) log.info('tick', { long });
  assert.ok(unread < 1.1 * 1024 * 1024, `${unread}`);
  const lostCount = 1000 - written.length;
  unread = 0;
  log.info('again');
  assert.deepEqual(
    written.slice(-2).map((line) => (JSON.parse(line) as { event: string; lostCount?: number }).lostCount ?? 0),
    [lostCount, 0],
  );
});
