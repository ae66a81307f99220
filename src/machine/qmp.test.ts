import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { JsonLinesServer } from './json-lines.fake.ts';
import { Qmp, QmpError, type QmpEvent } from './qmp.ts';

const scratch = scratchDirectory('qmp');
const GREETING = '{"QMP": {"version": {}, "capabilities": []}}';

async function rejectsAs(problem: QmpError['problem'], promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error) => error instanceof QmpError && error.problem === problem);
}

test('answers find their commands in whatever order, events go their own way, and a late answer reaches nobody', async () => {
  const path = join(scratch, 'a.sock');
  const held: string[] = [];
  await using server = await JsonLinesServer.listen(path, {
    greeting: GREETING,
    onRequest: ({ execute, id }, send) => {
      if (execute === 'slow') held.push(String(id));
      else if (execute === 'broken') send(`${JSON.stringify({ error: { class: 'GenericError', desc: 'no' }, id })}\n`);
      else send(`${JSON.stringify({ return: { execute }, id })}\n`);
      if (execute === 'second') {
        send('not json\n[1]\n{"event": "STOP", "timestamp": {}}\n');
        for (const slow of held) send(`${JSON.stringify({ return: 'late', id: slow })}\n`);
      }
    },
  });
  const events: QmpEvent[] = [];
  using qmp = await Qmp.connect(path, {
    clock: systemClock,
    timeoutMs: 30_000,
    onEvent: (event) => events.push(event),
  });
  await rejectsAs('late', qmp.execute('slow', {}, 20));
  const waiting = qmp.execute('slow');
  assert.deepEqual(await qmp.execute('second'), { execute: 'second' });
  assert.equal(await waiting, 'late', 'of the two that were held, its own');
  assert.deepEqual(events, [{ name: 'STOP', data: {} }]);
  await rejectsAs('refused', qmp.execute('broken'));
  const ids = server.requests.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const cut = qmp.execute('slow');
  server.cut();
  await rejectsAs('closed', cut);
  await qmp.closed;
  await rejectsAs('closed', qmp.execute('second'));
});

test('who does not greet, or is not there, is no monitor', async () => {
  const path = join(scratch, 'b.sock');
  const options = { clock: systemClock, timeoutMs: 50, onEvent: () => {} };
  await rejectsAs('closed', Qmp.connect(path, options));
  await using _server = await JsonLinesServer.listen(path, { onRequest: () => {} });
  await rejectsAs('late', Qmp.connect(path, options));
});
