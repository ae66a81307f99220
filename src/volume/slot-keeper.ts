import { assert } from '#base/assert.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import type { ChunkKeeper, KeptPlace } from './chunk-fetches.ts';
import { SLOT_BASE, STATE_ORIGIN } from './chunk-map.ts';
import type { Journal } from './journal.ts';
import type { SlotFile } from './slot-file.ts';

/**
 * Keeps chunks of the origin in slots of epoch 0. A slot is taken before its chunk comes, so that the threads that open
 * chunks can write it there themselves; nothing points to it, until in one step it is seen that the chunk is still the
 * origin's, and recorded. Whatever came into the chunk meanwhile stays, and the slot is free again.
 */
export class SlotKeeper implements ChunkKeeper {
  readonly #journal: Journal;
  readonly #slotFile: SlotFile;
  readonly #onTrouble: (error: unknown) => void;

  constructor(parts: {
    readonly journal: Journal;
    readonly slotFile: SlotFile;
    readonly onTrouble: (error: unknown) => void;
  }) {
    this.#journal = parts.journal;
    this.#slotFile = parts.slotFile;
    this.#onTrouble = parts.onTrouble;
  }

  reserve(): KeptPlace | null {
    const { descriptor } = this.#slotFile;
    if (descriptor === null) return null;
    const slot = this.#take();
    return slot === null ? null : { id: slot, at: { descriptor, position: slot * CHUNK_BYTES } };
  }

  keep(index: number, place: KeptPlace | null, bytes: Uint8Array | null): boolean {
    const { map, failure } = this.#journal;
    if (failure !== null || map.chunks.stateAt(index) !== STATE_ORIGIN) {
      if (place !== null) this.giveUp(place);
      return true; // It is not the origin's any more; or nothing is read here any more.
    }
    const slot = place?.id ?? this.#take();
    if (slot === null) return false;
    try {
      if (bytes !== null) this.#slotFile.write(slot, 0, bytes, 0, CHUNK_BYTES);
      else assert(place !== null, 'a chunk is in its place, or its bytes are here');
      // A sync that began while it was written may not have all of it.
      this.#slotFile.isDirty = true;
      this.#journal.put(index, 1, slot + SLOT_BASE, 0);
      return true;
    } catch (error) {
      this.#slotFile.slots.putBack(slot);
      this.#report(error);
      return false;
    }
  }

  giveUp(place: KeptPlace): void {
    this.#slotFile.slots.putBack(place.id);
  }

  #take(): number | null {
    try {
      return this.#slotFile.take();
    } catch (error) {
      this.#report(error);
      return null;
    }
  }

  #report(error: unknown): void {
    if (!(error instanceof DeviceError)) throw error;
    this.#onTrouble(error); // The next one who needs the chunk fetches it again.
  }
}
