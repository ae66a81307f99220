import { assert } from '#base/assert.ts';

/** A set of slot numbers: one bit each. */
class SlotSet {
  #words = new Uint32Array(64);
  count = 0;
  /** While there are members: none lies in a word below it, nor at or above #highWord. */
  #lowWord = 0;
  #highWord = 0;

  add(slot: number): void {
    const word = slot >>> 5;
    if (word >= this.#words.length) this.#grow(word + 1);
    const bit = (1 << (slot & 31)) >>> 0;
    const before = this.#words[word] as number;
    assert((before & bit) === 0, 'a slot is given back once');
    this.#words[word] = before | bit;
    this.count += 1;
    this.#lowWord = this.count === 1 ? word : Math.min(this.#lowWord, word);
    this.#highWord = this.count === 1 ? word + 1 : Math.max(this.#highWord, word + 1);
  }

  /** Makes an empty set hold the slots from 0 to `end`. */
  fill(end: number): void {
    assert(this.count === 0, 'only an empty set is filled');
    this.#words = new Uint32Array(Math.max(64, Math.ceil(end / 32))).fill(0xffff_ffff, 0, end >>> 5);
    for (let bit = 0; bit < (end & 31); bit += 1)
      this.#words[end >>> 5] = (this.#words[end >>> 5] as number) | (1 << bit);
    this.count = end;
    this.#lowWord = 0;
    this.#highWord = Math.ceil(end / 32);
  }

  has(slot: number): boolean {
    return (((this.#words[slot >>> 5] ?? 0) >>> (slot & 31)) & 1) === 1;
  }

  /** False when it is no member. */
  remove(slot: number): boolean {
    const word = slot >>> 5;
    const bit = (1 << (slot & 31)) >>> 0;
    const before = this.#words[word] ?? 0;
    if ((before & bit) === 0) return false;
    this.#words[word] = before & ~bit;
    this.count -= 1;
    return true;
  }

  /** Takes the lowest member out; −1 when there is none. */
  takeLowest(): number {
    if (this.count === 0) return -1;
    let word = this.#lowWord;
    while (this.#words[word] === 0) word += 1;
    this.#lowWord = word;
    const bits = this.#words[word] as number;
    const slot = (word << 5) + (31 - Math.clz32(bits & -bits));
    this.#words[word] = bits & (bits - 1);
    this.count -= 1;
    return slot >>> 0;
  }

  /** Moves every member of `other` here. */
  takeAll(other: SlotSet): void {
    if (other.count === 0) return;
    if (other.#highWord > this.#words.length) this.#grow(other.#highWord);
    for (let word = other.#lowWord; word < other.#highWord; word += 1) {
      this.#words[word] = (this.#words[word] as number) | (other.#words[word] as number);
      other.#words[word] = 0;
    }
    this.#lowWord = this.count === 0 ? other.#lowWord : Math.min(this.#lowWord, other.#lowWord);
    this.#highWord = this.count === 0 ? other.#highWord : Math.max(this.#highWord, other.#highWord);
    this.count += other.count;
    other.count = 0;
  }

  #grow(words: number): void {
    const grown = new Uint32Array(Math.max(words, this.#words.length * 2));
    grown.set(this.#words);
    this.#words = grown;
  }
}

/**
 * Which slots of the data file are in use.
 *
 * A slot given back waits until a COMMIT covers the record that gave it back: before that, a loss of power brings the old
 * record back, and what it points to must still be there. The lowest free slot is taken first, so the file stays dense.
 */
export class Slots {
  readonly #free: SlotSet;
  readonly #waiting = new SlotSet();
  readonly #committing = new SlotSet();
  /** Slots that both an entry and a partial slot above them need: given back twice before they are free. */
  readonly #shared = new SlotSet();
  /** Slots that another thread reads, and how many reads of each there are. */
  readonly #pins = new Map<number, number>();
  #endSlot: number;

  /** `endSlot`: slots of the file, all of them free until `use`. */
  constructor(endSlot = 0) {
    this.#endSlot = endSlot;
    this.#free = new SlotSet();
    this.#free.fill(endSlot);
  }

  /** Slots from here on were never used: the file has zeros there, or ends. */
  get endSlot(): number {
    return this.#endSlot;
  }

  get usedCount(): number {
    return this.#endSlot - this.#free.count - this.#waiting.count - this.#committing.count;
  }

  /** Slots that can be used again now. */
  get freeCount(): number {
    return this.#free.count;
  }

  /** Whether slots were given back that no commit covers yet. */
  get isWaiting(): boolean {
    return this.#waiting.count > 0;
  }

  /** Recovery: an entry points to the slot. False when another one does already. */
  use(slot: number): boolean {
    return this.#free.remove(slot);
  }

  /** Recovery, when `use` was called for all entries: the slot is under a partial one. False when it is under another one already, or beyond the end. */
  useUnder(slot: number): boolean {
    if (slot >= this.#endSlot) return false;
    if (this.#free.remove(slot)) return true;
    if (this.#shared.has(slot)) return false;
    this.#shared.add(slot);
    return true;
  }

  /** The slot is needed once more: by the entry of a cut, and by a partial slot above it. */
  share(slot: number): void {
    this.#shared.add(slot);
  }

  /** Whether the slot is needed twice. */
  isShared(slot: number): boolean {
    return this.#shared.has(slot);
  }

  /** Forgets the free slots at the end, so many at most: they are to be cut off the file. Not those that another thread reads. */
  trimEnd(countMax: number): void {
    const endMin = this.#endSlot - countMax;
    while (this.#endSlot > Math.max(0, endMin) && !this.#pins.has(this.#endSlot - 1)) {
      if (!this.#free.remove(this.#endSlot - 1)) return;
      this.#endSlot -= 1;
    }
  }

  /** A slot that was used before, with anything in it; −1 when there is none. */
  reuse(): number {
    const slot = this.#free.takeLowest();
    return slot < 0 || !this.#pins.has(slot) ? slot : this.#reuseUnpinned(slot);
  }

  #reuseUnpinned(pinned: number): number {
    const passedOver = [pinned];
    let slot = this.#free.takeLowest();
    for (; slot >= 0 && this.#pins.has(slot); slot = this.#free.takeLowest()) passedOver.push(slot);
    for (const other of passedOver) this.#free.add(other);
    return slot;
  }

  /** Until it is unpinned as often, the slot is not used again. */
  pin(slot: number): void {
    this.#pins.set(slot, (this.#pins.get(slot) ?? 0) + 1);
  }

  unpin(slot: number): void {
    const count = this.#pins.get(slot);
    assert(count !== undefined, 'what is unpinned was pinned');
    if (count === 1) this.#pins.delete(slot);
    else this.#pins.set(slot, count - 1);
  }

  /** The next slot that was never used. */
  extend(): number {
    this.#endSlot += 1;
    return this.#endSlot - 1;
  }

  /** A slot taken that no record points to. */
  putBack(slot: number): void {
    this.#free.add(slot);
  }

  /** A record gave the slot back, which another entry may still need. */
  giveBack(slot: number): void {
    if (this.#shared.count > 0 && this.#shared.remove(slot)) return;
    this.#waiting.add(slot);
  }

  /** A commit begins: it covers what was given back until now. */
  beginCommit(): void {
    this.#committing.takeAll(this.#waiting);
  }

  /** The commit is durable. */
  endCommit(): void {
    this.#free.takeAll(this.#committing);
  }

  /** The commit did not happen. */
  abandonCommit(): void {
    this.#waiting.takeAll(this.#committing);
  }
}
