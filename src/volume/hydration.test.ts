import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { VirtualClock } from '#base/virtual-clock.ts';
import { StoreError } from '#chunk/errors.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { PRESENCE_PAGE_CHUNKS } from './chunk-presence.ts';
import { FREE_BYTES_MIN, type HydratedOrigin, Hydration } from './hydration.ts';

const RATE_CHUNKS = 8;

/** An origin that holds `chunks` of 64, some of which cannot be read. */
class FakeOrigin implements HydratedOrigin {
  chunkCount = 64;
  readonly fetched: number[] = [];
  readonly damaged = new Set<number>();
  isAsked = false;
  isAway = false;
  keeps = true;
  #isKnown = false;
  readonly #chunks: ReadonlySet<number>;

  constructor(chunks: readonly number[]) {
    this.#chunks = new Set(chunks);
  }

  async learn(): Promise<void> {
    if (this.isAway) throw new Error('no network');
    this.#isKnown = true;
  }

  presenceAt(index: number) {
    if (!this.#isKnown) return 'unknown';
    return this.#chunks.has(index) ? 'present' : 'absent';
  }

  isNeeded(index: number): boolean {
    return this.#chunks.has(index) && !this.fetched.includes(index);
  }

  async hydrate(indexes: readonly number[]): Promise<void> {
    if (this.isAway) throw new DeviceError('EIO', 'fetch chunk', { cause: new Error('no network') });
    const bad = indexes.find((index) => this.damaged.has(index));
    if (bad !== undefined) throw new DeviceError('EIO', 'fetch', { cause: new StoreError('damaged', `chunk ${bad}`) });
    if (this.keeps) this.fetched.push(...indexes);
  }
}

function hydrationOf(
  origin: FakeOrigin,
  options: {
    readonly first?: readonly number[];
    readonly freeBytes?: () => number;
    readonly total?: number;
    /** Every timer is so late. */
    readonly lateMs?: number;
  } = {},
) {
  const clock = new VirtualClock();
  const abort = new AbortController();
  const turns = { held: 0, taken: 0 };
  const hydration = new Hydration({
    origin,
    totalCount: options.total ?? 64,
    first: options.first ?? [],
    bytesPerSecond: RATE_CHUNKS * CHUNK_BYTES,
    isOwnRate: true,
    freeBytes: async () => options.freeBytes?.() ?? Number.MAX_SAFE_INTEGER,
    turn: async () => {
      turns.held += 1;
      turns.taken += 1;
      return { [Symbol.dispose]: () => (turns.held -= 1) };
    },
    clock: {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      sleep: (ms, signal) => clock.sleep(ms + (options.lateMs ?? 0), signal),
    },
  });
  let isDone = false;
  const running = hydration.run(abort.signal).then(() => (isDone = true));
  running.catch(() => {});
  const advance = async (seconds: number): Promise<void> => {
    for (let part = 0; part < seconds * 10; part += 1) {
      await clock.advance(100);
      await setImmediate();
    }
  };
  return { hydration, advance, abort, running, turns, isDone: () => isDone };
}

const all = Array.from({ length: 64 }, (_, index) => index);

test('it goes through the origin in order, at its rate, and then has all of it', async () => {
  const origin = new FakeOrigin(all);
  const { hydration, advance, isDone } = hydrationOf(origin);
  assert.deepEqual(hydration.status().totalBytes, 64 * CHUNK_BYTES);
  assert.equal(hydration.status().remainingSeconds, 64 / RATE_CHUNKS, 'at its rate, before it has begun');
  await advance(4);
  const count = origin.fetched.length;
  assert.ok(Math.abs(count - 4 * RATE_CHUNKS) <= 8, `${count} chunks in four seconds`);
  const { state, presentBytes, bytesPerSecond, remainingSeconds } = hydration.status();
  assert.deepEqual([state, presentBytes], ['hydrating', count * CHUNK_BYTES]);
  const expectedSeconds = ((64 - count) * CHUNK_BYTES) / bytesPerSecond;
  assert.ok(remainingSeconds !== null && Math.abs(remainingSeconds - expectedSeconds) <= 1);
  assert.ok(bytesPerSecond > 0 && bytesPerSecond <= (RATE_CHUNKS + 1) * CHUNK_BYTES);
  await advance(6);
  assert.ok(isDone());
  assert.deepEqual(origin.fetched, all);
  assert.deepEqual(hydration.status(), {
    ...{ state: 'hydrated', reason: null, bytesPerSecond: 0, remainingSeconds: 0 },
    ...{ bytesPerSecondMax: RATE_CHUNKS * CHUNK_BYTES, isOwnRate: true, detached: false },
    ...{ presentBytes: 64 * CHUNK_BYTES, totalBytes: 64 * CHUNK_BYTES },
  });
});

test('timers that are late, as they are on a busy machine, do not lower its rate', async () => {
  const origin = new FakeOrigin(all);
  const { advance } = hydrationOf(origin, { lateMs: 100 });
  await advance(7);
  const count = origin.fetched.length;
  assert.ok(Math.abs(count - 7 * RATE_CHUNKS) <= 4, `${count} chunks in seven seconds`);
});

test('the first ones come first, in their order; what is not there is left out', async () => {
  const origin = new FakeOrigin([1, 2, 3, 9, 40, 63]);
  const { advance, isDone } = hydrationOf(origin, { first: [63, 5, 9, 1000, 2], total: 6 });
  await advance(3);
  assert.ok(isDone());
  assert.deepEqual(origin.fetched, [63, 9, 2, 1, 3, 40]);
});

test('readers go first, but not for ever', async () => {
  const origin = new FakeOrigin(all);
  origin.isAsked = true;
  const { hydration, advance } = hydrationOf(origin);
  await advance(0.5);
  assert.deepEqual(origin.fetched, []);
  assert.equal(hydration.status().reason, 'readers go first');
  await advance(4);
  const count = origin.fetched.length;
  assert.ok(count > 0 && count <= 20, `${count} chunks while readers were there all the time`);
});

test('it waits for a store that is away, and says so', async () => {
  const origin = new FakeOrigin(all);
  const { hydration, advance } = hydrationOf(origin);
  await advance(1);
  const count = origin.fetched.length;
  origin.isAway = true;
  await advance(10);
  assert.equal(origin.fetched.length, count);
  assert.deepEqual([hydration.status().state, hydration.status().reason], ['waiting', 'no network']);
  origin.isAway = false;
  await advance(30);
  assert.equal(hydration.status().state, 'hydrated');
});

test('it takes nothing of a disk that is nearly full', async () => {
  const origin = new FakeOrigin(all);
  let free = FREE_BYTES_MIN;
  const { hydration, advance } = hydrationOf(origin, { freeBytes: () => free });
  await advance(10);
  assert.deepEqual(origin.fetched, []);
  assert.match(hydration.status().reason ?? '', /the disk has 1024 MiB left/);
  free *= 2;
  await advance(30);
  assert.equal(hydration.status().state, 'hydrated');
});

test('what could not be written is not taken for hydrated', async () => {
  const origin = new FakeOrigin(all);
  origin.keeps = false;
  const { hydration, advance } = hydrationOf(origin);
  await advance(5);
  assert.equal(hydration.status().reason, 'what was fetched could not be written');
  assert.equal(hydration.status().presentBytes, 0);
});

test('a damaged chunk keeps no other one back, and is named', async () => {
  const origin = new FakeOrigin(all);
  origin.damaged.add(5);
  const { hydration, advance, isDone, turns } = hydrationOf(origin);
  await advance(20);
  assert.deepEqual(
    origin.fetched.toSorted((a, b) => a - b),
    all.filter((index) => index !== 5),
  );
  assert.ok(!isDone());
  assert.equal(hydration.status().reason, '1 chunks cannot be read: chunk 5');
  assert.equal(turns.held, 0, 'while it waits to try again, others are hydrated');
  assert.ok(turns.taken > 1);
  origin.damaged.clear();
  await advance(70);
  assert.ok(isDone());
});

test('where the origin holds nothing, other work has its turn all the same', async () => {
  const origin = new FakeOrigin([]);
  const pages = 40;
  origin.chunkCount = pages * PRESENCE_PAGE_CHUNKS;
  const { isDone } = hydrationOf(origin, { total: 0 });
  let turns = 0;
  for (; !isDone(); turns += 1) await setImmediate();
  assert.ok(turns >= pages, `${turns} turns of the loop for ${pages} pages`);
});

test('how far a large volume is, is told without looking at all of it, and yet found out', async () => {
  const pages = 40;
  const origin = new FakeOrigin(Array.from({ length: pages }, (_, page) => page * PRESENCE_PAGE_CHUNKS));
  origin.chunkCount = pages * PRESENCE_PAGE_CHUNKS;
  await origin.learn();
  const { hydration, advance } = hydrationOf(origin, { total: pages, freeBytes: () => 0 });
  await setImmediate();
  origin.fetched.push(7 * PRESENCE_PAGE_CHUNKS, 30 * PRESENCE_PAGE_CHUNKS);
  let lookCount = 0;
  const presenceAt = origin.presenceAt.bind(origin);
  origin.presenceAt = (index) => {
    lookCount += 1;
    return presenceAt(index);
  };
  hydration.status();
  assert.ok(lookCount <= 2 * PRESENCE_PAGE_CHUNKS, `${lookCount} chunks looked at`);
  const lookedAt = lookCount;
  for (let asked = 0; asked < 1_000; asked += 1) hydration.status();
  assert.equal(lookCount, lookedAt, 'who asks again at once is told what was counted just now');
  for (let turn = 0; turn < pages; turn += 1) {
    await advance(0.1);
    hydration.status();
  }
  assert.equal(hydration.status().presentBytes, 2 * CHUNK_BYTES);
});

test('it ends as soon as it is told to, whatever it waits for', async () => {
  const origin = new FakeOrigin(all);
  const { advance, abort, running } = hydrationOf(origin);
  await advance(1);
  origin.hydrate = () => new Promise(() => {});
  await advance(2);
  abort.abort(new Error('closed'));
  await assert.rejects(running, /closed/);
});
