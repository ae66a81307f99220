import assert from 'node:assert/strict';
import { test } from 'node:test';

import { VirtualClock } from '#base/virtual-clock.ts';
import { SECTOR_KEY_BYTES, SectorCipher } from '#base/sector-cipher.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { SlotFile } from './slot-file.ts';
import { Slots } from './slots.ts';
import type { VolumeFile } from './volume-files.ts';

/** A clock that is as late as it is told to be. */
class StepClock extends VirtualClock {
  lateMs = 0;

  override monotonicMs(): number {
    return this.lateMs;
  }
}

/** Of one slot. Reading takes `readMs`, decrypting `decryptMs`. */
function encrypted(readMs: number, decryptMs: number) {
  const clock = new StepClock();
  let laterCount = 0;
  class SlowCipher extends SectorCipher {
    override decrypt(sector: number, bytes: Uint8Array, start: number, length: number): void {
      clock.lateMs += decryptMs;
      super.decrypt(sector, bytes, start, length);
    }
  }
  const file: VolumeFile = {
    sizeBytes: () => CHUNK_BYTES,
    read: (target, start, length) => {
      clock.lateMs += readMs;
      target.fill(0, start, start + length);
      return length;
    },
    readLater: async (target, start, length) => {
      laterCount += 1;
      target.fill(0, start, start + length);
      return length;
    },
    write: (_source, _start, length) => length,
    truncate: () => {},
    sync: async () => {},
    close: () => {},
  };
  const cipher = new SlowCipher(Buffer.alloc(SECTOR_KEY_BYTES, 3));
  return {
    slotFile: new SlotFile({ file, slots: new Slots(1), clock, cipher }),
    laterCount: () => laterCount,
  };
}

test('what decrypting takes does not make a file of the page cache one of the disk', async () => {
  const target = Buffer.alloc(CHUNK_BYTES);
  const cached = encrypted(0, 5);
  for (let read = 0; read < 50; read += 1) await cached.slotFile.read(0, 0, target, 0, target.length);
  assert.equal(cached.laterCount(), 0);
  const cold = encrypted(5, 0);
  for (let read = 0; read < 50; read += 1) await cold.slotFile.read(0, 0, target, 0, target.length);
  assert.ok(cold.laterCount() > 20);
});
