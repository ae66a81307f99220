import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ReadTemperature } from './read-temperature.ts';

const BLOCK = 4096;

function coldOf(temperature: ReadTemperature, count: number): number {
  return Array.from({ length: count }, () => temperature.nextIsCold()).filter(Boolean).length;
}

test('quick reads are done at once, and one slow one among them changes nothing', () => {
  const temperature = new ReadTemperature();
  for (let read = 0; read < 100; read += 1) {
    assert.equal(temperature.nextIsCold(), false);
    temperature.observe(read % 10 === 0 ? 3 : 0.005, BLOCK);
  }
});

test('after slow reads the next ones go to other threads, and now and then one finds out whether they have to', () => {
  const temperature = new ReadTemperature();
  temperature.observe(1, BLOCK);
  temperature.observe(1, BLOCK);
  assert.equal(coldOf(temperature, 33), 32);
  temperature.observe(1, BLOCK);
  assert.equal(coldOf(temperature, 65), 64);
  temperature.observe(0.005, BLOCK);
  assert.equal(coldOf(temperature, 33), 0);
});

test('a long read may take longer', () => {
  const temperature = new ReadTemperature();
  for (let read = 0; read < 10; read += 1) temperature.observe(0.15, 256 * 1024);
  assert.equal(temperature.nextIsCold(), false);
});
