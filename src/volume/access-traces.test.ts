import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { silentLog } from '#base/log.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { decodeTrace, encodeTrace, TRACE_COUNT_MAX } from './access-trace.ts';
import { AccessTraces, RECORDING_MS } from './access-traces.ts';

const base = scratchDirectory('traces');
const one = 'snap-00000001' as SnapshotId;
const two = 'snap-00000002' as SnapshotId;
let count = 0;

function tracesOf() {
  const directory = join(base, String((count += 1)));
  const clock = new VirtualClock();
  return { traces: new AccessTraces({ directory, clock, log: silentLog }), directory, clock };
}

test('a trace decodes to what was encoded, and nothing else does', () => {
  const trace = [7, 0, 4_000_000_000, 3];
  const bytes = encodeTrace(trace);
  assert.deepEqual(decodeTrace(bytes), trace);
  assert.deepEqual(decodeTrace(encodeTrace([])), []);
  for (let at = 0; at < bytes.length; at += 1) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
    assert.equal(decodeTrace(damaged), null, `byte ${at}`);
    assert.equal(decodeTrace(bytes.subarray(0, at)), null, `${at} bytes`);
  }
  assert.equal(decodeTrace(encodeTrace([1, 2, 1])), null, 'none comes twice');
  assert.equal(decodeTrace(encodeTrace(Array.from({ length: TRACE_COUNT_MAX + 1 }, (_, at) => at))), null);
});

test('the bytes are those of docs/formats/trace.md', () => {
  assert.equal(encodeTrace([1, 258]).toString('hex'), '56415256545241430100000002000000010000000201000006261f7f');
});

test('what is recorded is kept in its order, each chunk once, behind what was known', async () => {
  const { traces } = tracesOf();
  assert.deepEqual(await traces.read(one), []);
  const first = traces.record(one);
  for (const index of [9, 3, 9, 5]) assert.ok(first.note(index));
  await first.save();
  const second = traces.record(one);
  for (const index of [1, 5, 7]) second.note(index);
  await second.save();
  assert.deepEqual(await traces.read(one), [9, 3, 5, 1, 7]);
});

test('recording ends after its time, and with so many chunks', async () => {
  const { traces, clock } = tracesOf();
  const timed = traces.record(one);
  assert.ok(timed.note(1));
  await clock.advance(RECORDING_MS);
  assert.ok(!timed.note(2));
  await timed.save();
  assert.deepEqual(await traces.read(one), [1]);
  const counted = traces.record(two);
  let noted = 0;
  while (counted.note(noted)) noted += 1;
  assert.equal(noted, TRACE_COUNT_MAX);
  await counted.save();
  assert.equal((await traces.read(two)).length, TRACE_COUNT_MAX);
});

test('a snapshot inherits a trace, and has it though the other one is gone', async () => {
  const { traces, directory } = tracesOf();
  const recorder = traces.record(one);
  recorder.note(4);
  await recorder.save();
  await traces.inherit(one, two);
  await traces.remove(one);
  assert.deepEqual([await traces.read(one), await traces.read(two)], [[], [4]]);
  await traces.remove(two);
  await traces.remove(two);
  assert.deepEqual(await readdir(directory), []);
});

test('a trace that is damaged, or cannot be written, is none and no error', async () => {
  const { traces, directory } = tracesOf();
  const recorder = traces.record(one);
  recorder.note(4);
  await recorder.save();
  const path = join(directory, one);
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, -1));
  assert.deepEqual(await traces.read(one), []);
  const file = join(base, 'file');
  await writeFile(file, '');
  const nowhere = new AccessTraces({ directory: join(file, 'traces'), clock: new VirtualClock(), log: silentLog });
  const lost = nowhere.record(one);
  lost.note(1);
  await lost.save();
  assert.deepEqual(await nowhere.read(one), []);
});
