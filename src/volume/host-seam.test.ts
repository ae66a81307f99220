import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { newSnapshotId, newVolumeId } from '#domain/ids.ts';

import { type VolumeHost, VolumeHostError } from './host.ts';
import { HostClient } from './host-client.ts';
import { HostConnection } from './host-connection.ts';
import { encodeFrame, FrameReader } from './host-frame.ts';
import { type Hello, HOST_PROTOCOL_VERSION, VOLUMES_PER_COLLECT_MAX } from './host-protocol.ts';
import { HostServer } from './host-server.ts';

const random = new SeededRandom(1);
const VOLUME = newVolumeId(random);
const SNAPSHOT = newSnapshotId(random);

const HELLO: Hello = { varve: 'control', version: HOST_PROTOCOL_VERSION, build: '1', settings: '', pid: 1 };

/** A host of which only the verbs under test exist. */
function hostWith(verbs: Partial<VolumeHost>): VolumeHost {
  const absent = (): Promise<never> => Promise.reject(new Error('not part of this test'));
  return {
    create: absent,
    open: absent,
    close: absent,
    grow: absent,
    destroy: absent,
    status: absent,
    cut: absent,
    upload: absent,
    copySnapshot: absent,
    archiveSnapshot: absent,
    unarchiveSnapshot: absent,
    deleteArchive: absent,
    progress: absent,
    release: absent,
    openSnapshot: absent,
    warmSnapshot: absent,
    coolSnapshot: absent,
    clients: absent,
    issueGrant: absent,
    grants: absent,
    revokeGrant: absent,
    deleteSnapshot: absent,
    snapshotSizes: absent,
    freedBytes: absent,
    storeSize: absent,
    listBlocks: absent,
    changedBlocks: absent,
    readBlock: absent,
    writeBlock: absent,
    collect: absent,
    [Symbol.asyncDispose]: async () => {},
    ...verbs,
  };
}

async function seam(
  t: TestContext,
  verbs: Partial<VolumeHost>,
  onStop: () => void = () => {},
  onConfigure: (settings: string) => Promise<void> = async () => {},
) {
  const directory = mkdtempSync(join(tmpdir(), 'varve-seam-'));
  const socketPath = join(directory, 'host.sock');
  const server = await HostServer.listen({
    host: hostWith(verbs),
    socketPath,
    hello: () => ({ ...HELLO, varve: 'volume-host' }),
    log: silentLog,
    onStop,
    onConfigure,
  });
  const connect = async () => {
    const connection = await HostConnection.open({ socketPath, hello: HELLO, clock: systemClock });
    t.after(() => connection[Symbol.dispose]());
    return { connection, client: new HostClient({ connection: async () => connection, log: silentLog }) };
  };
  t.after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  return { server, socketPath, connect };
}

function isKind(kind: string) {
  return (error: unknown): boolean => error instanceof VolumeHostError && error.kind === kind;
}

test('errors of the host arrive with their kind and message; others are internal', async (t) => {
  const { connect } = await seam(t, {
    destroy: () => Promise.reject(new VolumeHostError('in-use', '2 clients')),
    progress: () => Promise.reject(new Error('surprise')),
  });
  const { client } = await connect();
  await assert.rejects(client.destroy(VOLUME), (error) => isKind('in-use')(error) && /2 clients/.test(String(error)));
  await assert.rejects(client.progress(), isKind('internal'));
});

test('a lost connection rejects every call in flight as unavailable', async (t) => {
  const { server, connect } = await seam(t, { collect: () => new Promise(() => {}) });
  const { client } = await connect();
  const calls = [client.collect([], new AbortController().signal), client.collect([], new AbortController().signal)];
  await assert.rejects(client.progress(), isKind('internal')); // They are there.
  await server[Symbol.asyncDispose]();
  for (const call of calls) await assert.rejects(call, isKind('unavailable'));
  await assert.rejects(client.progress(), isKind('unavailable'));
});

test('an abort reaches the host and is answered at once', async (t) => {
  const reached = Promise.withResolvers<unknown>();
  const { connect } = await seam(t, {
    collect: (_volumes, signal) =>
      new Promise(() => {
        signal.addEventListener('abort', () => reached.resolve(signal.reason));
      }),
  });
  const { client } = await connect();
  const abort = new AbortController();
  const call = client.collect([], abort.signal);
  await assert.rejects(client.progress(), isKind('internal'));
  abort.abort();
  await assert.rejects(call, isKind('aborted'));
  assert.ok(isKind('aborted')(await reached.promise));
});

test('a chunk crosses as bytes, both ways', async (t) => {
  const written: Uint8Array[] = [];
  const chunk = random.bytes(CHUNK_BYTES);
  const { connect } = await seam(t, {
    writeBlock: async (_volume, _generation, _index, bytes) => {
      written.push(bytes);
    },
    readBlock: async (_snapshot, index) => (index === 3 ? { key: 'ab', bytes: chunk } : null),
  });
  const { client } = await connect();
  await client.writeBlock(VOLUME, 1, 7, chunk);
  assert.deepEqual(written, [chunk]);
  assert.deepEqual(await client.readBlock(SNAPSHOT, 3), { key: 'ab', bytes: chunk });
  assert.equal(await client.readBlock(SNAPSHOT, 4), null);
  await assert.rejects(client.writeBlock(VOLUME, 1, 7, chunk.subarray(1)), isKind('internal'));
});

test('a list longer than a frame arrives whole', async (t) => {
  const all = Array.from({ length: 9000 }, (_, index) => ({
    index,
    firstKey: index.toString(16).padStart(64, '0'),
    secondKey: null,
  }));
  const { connect } = await seam(t, {
    changedBlocks: async (_first, _second, start, countMax) => {
      const blocks = all.slice(start, start + countMax);
      const end = start + blocks.length;
      return { blocks, next: end < all.length ? end : null };
    },
  });
  const { client } = await connect();
  assert.deepEqual(await client.changedBlocks(SNAPSHOT, SNAPSHOT, 0, 10_000), { blocks: all, next: null });
  const some = await client.changedBlocks(SNAPSHOT, SNAPSHOT, 10, 8000);
  assert.deepEqual([some.blocks.length, some.next], [8000, 8010]);
});

test('tags named like parts of an object are tags', async (t) => {
  const seen: unknown[] = [];
  const { connect } = await seam(t, {
    upload: async (job) => {
      seen.push(Object.entries(job.label.tags));
      return { fullBytes: 0, changedBytes: 0, storedBytes: 0 };
    },
  });
  const { client } = await connect();
  const tags: Record<string, string> = Object.fromEntries([
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
  const label = { ...LABEL, tags };
  await client.upload({ ...JOB, label }, new AbortController().signal);
  assert.deepEqual(seen, [Object.entries(tags)]);
});

test('a new control replaces the old one, whose changes settle before it is served', async (t) => {
  const events: string[] = [];
  const slow = Promise.withResolvers<void>();
  const { connect } = await seam(t, {
    close: async () => {
      events.push('close begun');
      await slow.promise;
      events.push('close done');
    },
    progress: async () => {
      events.push('progress');
      return {};
    },
  });
  const first = await connect();
  const closing = first.client.close(VOLUME, 1);
  await first.client.progress();
  const connectSecond = async (): Promise<void> => {
    const { client } = await connect();
    events.push('second control');
    await client.progress();
  };
  const second = connectSecond();
  await assert.rejects(closing, isKind('unavailable'));
  for (let turn = 0; turn < 100; turn += 1) await setImmediate(); // Time enough for a hello that does not wait.
  slow.resolve();
  await second;
  assert.deepEqual(events, ['close begun', 'progress', 'close done', 'second control', 'progress']);
  await assert.rejects(first.client.progress(), isKind('unavailable'));
});

test('an upload goes on after its control is lost', async (t) => {
  const aborted: string[] = [];
  const finish = Promise.withResolvers<void>();
  const { connect } = await seam(t, {
    upload: async (_job, signal) => {
      signal.addEventListener('abort', () => aborted.push('aborted'));
      await finish.promise;
      return { fullBytes: 0, changedBytes: 0, storedBytes: 0 };
    },
    progress: async () => ({}),
  });
  const first = await connect();
  const lost = first.client.upload(JOB, new AbortController().signal);
  await first.client.progress();
  first.connection[Symbol.dispose]();
  await assert.rejects(lost, isKind('unavailable'));
  const { client } = await connect();
  await client.progress();
  assert.deepEqual(aborted, []);
  finish.resolve();
});

test('a control of another version may only stop the host', async (t) => {
  const stopped = Promise.withResolvers<void>();
  const { socketPath } = await seam(t, { progress: async () => ({}) }, () => stopped.resolve());
  const hello = { ...HELLO, version: HOST_PROTOCOL_VERSION + 1 };
  const open = () => HostConnection.open({ socketPath, hello, clock: systemClock });
  using other = await open();
  assert.equal(other.peer.version, HOST_PROTOCOL_VERSION);
  const client = new HostClient({ connection: async () => other, log: silentLog });
  await assert.rejects(client.progress(), isKind('unavailable'));
  using again = await open();
  const stopping = again.stop();
  await stopped.promise;
  again[Symbol.dispose]();
  await stopping;
});

test('what is no frame, no hello or no verb ends the connection and nothing else', async (t) => {
  const { socketPath, connect } = await seam(t, { progress: async () => ({}) });
  const junk = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    bytesOf({ id: 1, verb: 'progress', params: {} }),
    Buffer.concat([bytesOf({ hello: HELLO }), bytesOf({ id: 1, verb: '__proto__', params: {} })]),
    Buffer.concat([bytesOf({ hello: HELLO }), bytesOf({ hello: HELLO })]),
    Buffer.concat([bytesOf({ hello: HELLO }), bytesOf([1])]),
    random.bytes(4096),
  ];
  for (const bytes of junk) {
    const socket = createConnection(socketPath);
    socket.write(bytes);
    await new Promise((resolve) => socket.on('close', resolve).resume());
  }
  const { client } = await connect();
  assert.deepEqual(await client.progress(), {});
});

test('parameters of another shape are refused before the host hears of them', async (t) => {
  const { socketPath } = await seam(t, { destroy: async () => assert.fail('it was called') });
  const answers = await talk(t, socketPath, [
    { hello: HELLO },
    { id: 1, verb: 'destroy', params: { volume: '../../etc' } },
    { id: 2, verb: 'destroy', params: null },
  ]);
  assert.deepEqual(
    answers.map((answer) => (answer as { error?: { kind: string } }).error?.kind),
    [undefined, 'internal', 'internal'],
  );
});

test('an answer of another shape is trouble, not a value', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'varve-seam-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const socketPath = join(directory, 'host.sock');
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(bytesOf({ hello: { ...HELLO, varve: 'volume-host' } }));
      socket.once('data', () => socket.write(bytesOf({ id: 1, value: { socketPath: 7 } })));
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.after(() => server.close());
  using connection = await HostConnection.open({ socketPath, hello: HELLO, clock: systemClock });
  const client = new HostClient({ connection: async () => connection, log: silentLog });
  await assert.rejects(client.open(VOLUME, 1), isKind('internal'));
});

const LABEL = {
  snapshot: SNAPSHOT,
  account: '000000000001' as never,
  region: 'us-east-1' as never,
  volume: VOLUME,
  sizeBytes: CHUNK_BYTES,
  description: '',
  startedAtMs: 0,
  tags: {},
  parent: null,
};
const JOB = { label: LABEL, cut: SNAPSHOT as never, epoch: 1, base: null, keepZeroChunks: false };

function bytesOf(header: unknown): Buffer {
  const pieces = encodeFrame(header);
  assert.ok(pieces !== null);
  return Buffer.concat(pieces);
}

/** Sends headers as they are and reads as many answers. */
async function talk(t: TestContext, socketPath: string, headers: readonly unknown[]): Promise<readonly unknown[]> {
  const socket: Socket = createConnection(socketPath);
  t.after(() => socket.destroy());
  for (const header of headers) socket.write(bytesOf(header));
  const reader = new FrameReader();
  const answers: unknown[] = [];
  for await (const bytes of socket) {
    answers.push(...reader.push(bytes as Buffer).map((frame) => frame.header));
    if (answers.length >= headers.length) break;
  }
  return answers;
}

test('a collection is told of as many volumes as a frame holds, and refused when there are more', async (t) => {
  let told = 0;
  const collect: VolumeHost['collect'] = async (volumes) => {
    told = volumes.length;
    return { liveChunks: 0, deletedChunks: 0, freedBytes: 0 };
  };
  const { connect } = await seam(t, { collect });
  const { client } = await connect();
  const { signal } = new AbortController();
  const most = Array.from({ length: VOLUMES_PER_COLLECT_MAX }, () => VOLUME);
  await client.collect(most, signal);
  assert.equal(told, most.length);
  await assert.rejects(client.collect([...most, VOLUME], signal), { kind: 'internal' });
});
