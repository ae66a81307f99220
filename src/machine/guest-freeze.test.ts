import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { GuestAgent, GuestAgentError } from './guest-agent.ts';
import { GuestFreeze } from './guest-freeze.ts';
import { type FakeRequest, JsonLinesServer, syncAnswer } from './json-lines.fake.ts';

const scratch = scratchDirectory('agent');
let socketCount = 0;

interface Rig extends AsyncDisposable {
  readonly server: JsonLinesServer;
  readonly agent: GuestAgent;
  readonly freeze: GuestFreeze;
  readonly commands: () => readonly unknown[];
}

/** An agent as a test has it. `answer` gives what a command returns; undefined: nothing is said. */
async function rig(answer: (request: FakeRequest, send: (bytes: string) => void) => unknown): Promise<Rig> {
  const socketPath = join(scratch, `${(socketCount += 1)}.sock`);
  const server = await JsonLinesServer.listen(socketPath, {
    onRequest: (request, send) => {
      if (request['execute'] === 'guest-sync-delimited') {
        send(syncAnswer(request));
        return;
      }
      const value = answer(request, send);
      if (value instanceof Error) send(`${JSON.stringify({ error: { desc: value.message }, id: request['id'] })}\n`);
      else if (value !== undefined) send(`${JSON.stringify({ return: value, id: request['id'] })}\n`);
    },
  });
  const agent = new GuestAgent({ socketPath, clock: systemClock, random: new SeededRandom(socketCount) });
  const freeze = new GuestFreeze({ agent, isAgentThere: () => true, clock: systemClock, log: silentLog });
  return {
    ...{ server, agent, freeze },
    commands: () => server.requests.map(({ execute }) => execute).filter((name) => name !== 'guest-sync-delimited'),
    [Symbol.asyncDispose]: async () => {
      freeze.dispose();
      agent[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await systemClock.sleep(2);
}

test('answers to what an earlier connection asked are nobody’s', async () => {
  await using under = await rig(({ execute, id }, send) => {
    // What a channel that outlives its sockets has: answers of before, with ids of others, with none, in halves.
    send(`{"return": 99, "id": "1"}\n{"return": 98}\n{"return": `);
    send(`\n{"error": {"desc": "old"}, "id": 7}\n`);
    return execute === 'guest-ping' ? String(id) : 1;
  });
  const { agent, server } = under;
  const answers = await Promise.all(['a', 'b', 'c'].map(() => agent.call('guest-ping', { timeoutMs: 30_000 })));
  const ids = server.requests.filter(({ execute }) => execute === 'guest-ping').map(({ id }) => id);
  assert.deepEqual(answers, ids, 'each command has the answer with its own id');
  assert.equal(new Set(ids).size, 3);
  assert.equal(server.requests[0]?.['execute'], 'guest-sync-delimited');
});

test('after a command that was given up, the channel is brought into step before the next', async () => {
  let held: string | null = null;
  await using under = await rig(({ execute, id }, send) => {
    if (execute === 'slow') {
      held = `${JSON.stringify({ return: 'late', id })}\n`;
      return undefined;
    }
    if (held !== null) send(held);
    return 'mine';
  });
  await assert.rejects(under.agent.call('slow', { timeoutMs: 20 }), GuestAgentError);
  assert.equal(await under.agent.call('next', { timeoutMs: 30_000 }), 'mine');
  const names = under.server.requests.map(({ execute }) => execute);
  assert.deepEqual(names, ['guest-sync-delimited', 'slow', 'guest-sync-delimited', 'next']);
});

test('a guest that is frozen is thawed by whoever let it go, once', async () => {
  await using under = await rig(() => 2);
  const quiesced = await under.freeze.quiesce({ timeoutMs: 60_000 });
  assert.equal(quiesced.consistency, 'filesystem');
  assert.ok(quiesced.isHeld());
  const second = under.freeze.quiesce({ timeoutMs: 60_000 }); // Waits for its turn.
  await quiesced[Symbol.asyncDispose]();
  await quiesced[Symbol.asyncDispose]();
  assert.ok(!quiesced.isHeld() && quiesced.heldMs() > 0);
  await (await second)[Symbol.asyncDispose]();
  assert.deepEqual(under.commands(), [
    ...['guest-fsfreeze-freeze', 'guest-fsfreeze-thaw'],
    ...['guest-fsfreeze-freeze', 'guest-fsfreeze-thaw'],
  ]);
});

test('a freeze that fails, as with a hook that is missing, is thawed and no more than crash', async () => {
  await using under = await rig(({ execute }) =>
    execute === 'guest-fsfreeze-freeze' ? new Error('hook\u001b[2J failed') : 0,
  );
  const quiesced = await under.freeze.quiesce({ timeoutMs: 60_000 });
  assert.equal(quiesced.consistency, 'crash');
  assert.equal(quiesced.note, 'the agent refuses guest-fsfreeze-freeze: hook [2J failed');
  await until(() => under.commands().includes('guest-fsfreeze-thaw'));
});

test('a guest that does not answer holds nobody up, and is thawed for all that', async () => {
  await using under = await rig(({ execute }) => (execute === 'guest-fsfreeze-freeze' ? undefined : 0));
  const quiesced = await under.freeze.quiesce({ timeoutMs: 60 });
  assert.equal(quiesced.consistency, 'crash');
  await until(() => under.commands().includes('guest-fsfreeze-thaw'));
});

test('nobody lets it go: it is thawed when its time is over', async () => {
  await using under = await rig(() => 1);
  const quiesced = await under.freeze.quiesce({ timeoutMs: 200 });
  await until(() => under.commands().includes('guest-fsfreeze-thaw'));
  assert.ok(!quiesced.isHeld(), 'a cut that ends now is not of frozen file systems');
});

test('a thaw that is lost is sent again', async () => {
  let thaws = 0;
  await using under = await rig(({ execute }) => {
    if (execute !== 'guest-fsfreeze-thaw') return 1;
    thaws += 1;
    return thaws < 3 ? new Error('busy') : 1;
  });
  const quiesced = await under.freeze.quiesce({ timeoutMs: 60_000 });
  await quiesced[Symbol.asyncDispose]();
  assert.equal(thaws, 3);
});

test('an agent that appears is thawed, for it may remember that it was frozen; who held it holds it no more', async () => {
  await using under = await rig(() => 1);
  under.freeze.agentAppeared();
  await until(() => under.commands().includes('guest-fsfreeze-thaw'));
  await until(() => under.freeze.answers === true);
  const quiesced = await under.freeze.quiesce({ timeoutMs: 60_000 });
  under.freeze.agentAppeared();
  assert.ok(!quiesced.isHeld());
});

test('no agent: as if its power were cut, at once', async () => {
  const freeze = new GuestFreeze({
    agent: { call: () => Promise.reject(new Error('nobody is to be asked')) },
    isAgentThere: () => false,
    clock: systemClock,
    log: silentLog,
  });
  const quiesced = await freeze.quiesce({ timeoutMs: 60_000 });
  assert.deepEqual([quiesced.consistency, quiesced.note], ['crash', 'no agent runs in the guest']);
  assert.equal(freeze.answers, false);
});

test('an agent that comes and goes without end, and never answers, is asked by one at a time', async () => {
  let calls = 0;
  const freeze = new GuestFreeze({
    agent: {
      call: () => {
        calls += 1;
        return new Promise(() => {});
      },
    },
    isAgentThere: () => true,
    clock: systemClock,
    log: silentLog,
  });
  for (let count = 0; count < 100; count += 1) freeze.agentAppeared();
  await systemClock.sleep(1);
  freeze.dispose();
  assert.equal(calls, 1);
});

test('what an agent answered that has gone since says nothing of the next one', async () => {
  const answers: PromiseWithResolvers<unknown>[] = [];
  const freeze = new GuestFreeze({
    agent: {
      call: () => {
        const answer = Promise.withResolvers<unknown>();
        answers.push(answer);
        return answer.promise;
      },
    },
    isAgentThere: () => true,
    clock: systemClock,
    log: silentLog,
  });
  freeze.agentAppeared();
  answers[0]?.resolve(1);
  freeze.agentAppeared();
  await until(() => answers.length === 2);
  answers[1]?.resolve(1);
  await freeze.release();
  assert.equal(answers.length, 2);
});

test('whoever waits for an agent that began anew waits no longer', async () => {
  await using under = await rig(({ execute }) => (execute === 'lost' ? undefined : 1));
  const lost = under.agent.call('lost', { timeoutMs: 3_600_000 });
  await until(() => under.commands().includes('lost'));
  under.agent.restarted();
  await assert.rejects(lost, /began anew/);
  assert.equal(await under.agent.call('next', { timeoutMs: 30_000 }), 1);
});

test('a guest that writes without end is read only when it was asked, and then not for long', async () => {
  const flood = Buffer.alloc(256 * 1024, '{"return": 1}\n');
  let isFlooding = false;
  await using under = await rig((_request, send) => {
    if (!isFlooding) return 1;
    for (let count = 0; count < 64; count += 1) send(flood.toString('latin1'));
    return undefined;
  });
  assert.equal(await under.agent.call('first', { timeoutMs: 30_000 }), 1);
  for (let count = 0; count < 16; count += 1) under.server.send(flood);
  await systemClock.sleep(50);
  assert.ok(under.server.unreadBytes > 0, 'nobody asked for it');
  isFlooding = true;
  await assert.rejects(under.agent.call('second', { timeoutMs: 3_600_000 }), GuestAgentError);
});
