import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModelError, VolumeModel } from './sector-model.ts';

const SECTORS = 8;

function found(...versions: readonly number[]): Float64Array {
  return Float64Array.from({ length: SECTORS }, (_, at) => versions[at] ?? 0);
}

test('an acknowledged write must be there', () => {
  const model = new VolumeModel(SECTORS);
  model.acknowledge(model.send(0, 2, 1));
  assert.throws(() => model.check(found(1, 0), 'volume'), ModelError);
  model.check(found(1, 1), 'volume');
});

test('a write without an answer may be there, in part, and then stays as it was found', () => {
  const model = new VolumeModel(SECTORS);
  model.lose(model.send(0, 2, 1));
  model.check(found(1, 0), 'volume');
  assert.throws(() => model.check(found(1, 1), 'volume'), ModelError);
  assert.throws(() => model.check(found(0, 0), 'volume'), ModelError);
});

test('a later acknowledged write settles what an earlier one left open', () => {
  const model = new VolumeModel(SECTORS);
  model.lose(model.send(0, 1, 1));
  model.acknowledge(model.send(0, 1, 2));
  assert.throws(() => model.check(found(1), 'volume'), ModelError);
  model.check(found(2), 'volume');
});

test('a cut holds what was acknowledged before its call, and nothing sent after its answer', () => {
  const model = new VolumeModel(SECTORS);
  model.acknowledge(model.send(0, 1, 1));
  const cut = model.beginCut();
  model.endCut(cut);
  model.acknowledge(model.send(1, 1, 2));
  assert.throws(() => cut.check(found(0), 'cut'), ModelError);
  assert.throws(() => cut.check(found(1, 2), 'cut'), ModelError);
  cut.check(found(1), 'cut');
  assert.throws(() => cut.check(found(1, 2), 'cut'), /before/);
});

test('a cut is one instant between its call and its answer', () => {
  const at = (...versions: readonly number[]): (() => void) => {
    const model = new VolumeModel(SECTORS);
    const cut = model.beginCut();
    model.acknowledge(model.send(0, 1, 1));
    model.acknowledge(model.send(1, 1, 2));
    model.endCut(cut);
    return () => cut.check(found(...versions), 'cut');
  };
  at(0, 0)();
  at(1, 0)();
  at(1, 2)();
  assert.throws(at(0, 2), /no instant/);
});
