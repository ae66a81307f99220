import { assert } from '#base/assert.ts';
import { DamageError } from '#chunk/errors.ts';
import { KEY_BYTES } from '#chunk/seal.ts';

/** Children of a node: 256 chunks are 128 MiB, so one changed chunk of 16 TiB rewrites four nodes of about 8 KiB. */
export const FAN_OUT = 256;
/** 256 to the fourth is above the chunks of the largest volume. */
export const DEPTH_MAX = 4;

const HEADER_BYTES = 8;
const MAGIC = 'VTN1';
const LEAF_ENTRY_BYTES = KEY_BYTES;
const INNER_ENTRY_BYTES = KEY_BYTES + 4;
const ABSENT = Buffer.alloc(KEY_BYTES);

/** One child. In a leaf a chunk, whose count is 1; in an inner node a subtree, and how many chunks are in it. */
export interface Child {
  readonly key: Buffer;
  readonly count: number;
}

/** A node of the tree in its stored form (docs/formats/tree.md): level 0 is a leaf. A child that is not there is null. */
export class TreeNode {
  readonly level: number;
  readonly #bytes: Buffer;

  private constructor(level: number, bytes: Buffer) {
    this.level = level;
    this.#bytes = bytes;
  }

  static empty(level: number): TreeNode {
    assert(level >= 0 && level < DEPTH_MAX, 'a tree has at most four levels');
    const bytes = Buffer.alloc(nodeBytes(level));
    bytes.set(headerOf(level));
    return new TreeNode(level, bytes);
  }

  /** Reads a node that should be of this level. Throws DamageError. `bytes` must not change. */
  static parse(bytes: Buffer, level: number): TreeNode {
    if (bytes.length !== nodeBytes(level) || !bytes.subarray(0, HEADER_BYTES).equals(headerOf(level))) {
      throw new DamageError(`the tree node is not one of level ${level}`);
    }
    return new TreeNode(level, bytes);
  }

  /** The stored form: shared, do not write to it. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** A copy of its own, to be changed. */
  copy(): TreeNode {
    return new TreeNode(this.level, Buffer.from(this.#bytes));
  }

  child(slot: number): Child | null {
    const at = this.#offset(slot);
    // Four bytes tell most that are there from those that are not.
    if (this.#bytes.readUInt32LE(at) === 0 && this.#isAbsent(at)) return null;
    const key = this.#bytes.subarray(at, at + KEY_BYTES);
    return { key, count: this.level === 0 ? 1 : this.#bytes.readUInt32LE(at + KEY_BYTES) };
  }

  #isAbsent(at: number): boolean {
    return this.#bytes.compare(ABSENT, 0, KEY_BYTES, at, at + KEY_BYTES) === 0;
  }

  /** Changes a node made by `empty` or `copy`. */
  setChild(slot: number, child: Child | null): void {
    const at = this.#offset(slot);
    this.#bytes.set(child?.key ?? ABSENT, at);
    if (this.level === 0) assert(child === null || child.count === 1, 'a chunk counts as one');
    else this.#bytes.writeUInt32LE(child?.count ?? 0, at + KEY_BYTES);
  }

  /** Chunks in it and below. */
  presentCount(): number {
    let count = 0;
    for (let slot = 0; slot < FAN_OUT; slot += 1) {
      const at = this.#offset(slot);
      if (this.level > 0) count += this.#bytes.readUInt32LE(at + KEY_BYTES);
      else if (this.#bytes.readUInt32LE(at) !== 0 || !this.#isAbsent(at)) count += 1;
    }
    return count;
  }

  #offset(slot: number): number {
    assert(slot >= 0 && slot < FAN_OUT, 'a slot of a node is below the fan-out');
    return HEADER_BYTES + slot * (this.level === 0 ? LEAF_ENTRY_BYTES : INNER_ENTRY_BYTES);
  }
}

function headerOf(level: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt8(level, 4);
  return header;
}

function nodeBytes(level: number): number {
  return HEADER_BYTES + FAN_OUT * (level === 0 ? LEAF_ENTRY_BYTES : INNER_ENTRY_BYTES);
}

/** Chunks below one child of a node of this level. */
export function childSpan(level: number): number {
  return FAN_OUT ** level;
}
