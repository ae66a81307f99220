import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { assert, present } from '#base/assert.ts';

/** Debian's libnbd bindings belong to Debian's Python, whatever else is on the path. */
const PYTHON = process.env['VARVE_TEST_PYTHON'] ?? '/usr/bin/python3';
const PAGE_BLOCKS = 512;

export interface StampedWrite {
  readonly block: number;
  /** Counts this history's writes from 1. */
  readonly version: number;
}

/** Every write to one volume in the order in which one writer sent them: what the volume may hold. */
export class WriteHistory {
  readonly blockCount: number;
  readonly writes: StampedWrite[] = [];
  /** Writes [0, ackedCount) were acknowledged. */
  ackedCount = 0;

  constructor(blockCount: number) {
    this.blockCount = blockCount;
  }

  next(block: number): StampedWrite {
    const write = { block, version: this.writes.length + 1 };
    this.writes.push(write);
    return write;
  }

  /** What each block holds after the first `count` writes. */
  stateAfter(count: number): Int32Array {
    const state = new Int32Array(this.blockCount);
    for (const write of this.writes.slice(0, count)) state[write.block] = write.version;
    return state;
  }

  /** After a crash the writer goes on from what is there: what was sent and did not arrive is forgotten. */
  forgetAfter(count: number): void {
    this.writes.length = count;
    this.ackedCount = count;
  }

  /**
   * The count of writes after which the volume held exactly `found`; throws unless that is one state of this history with
   * at least `least` and at most `most` writes.
   */
  explain(
    found: Int32Array,
    options: { readonly least: number; readonly most: number; readonly what: string },
  ): number {
    const newest = found.reduce((max, version) => Math.max(max, version), 0);
    const { what, least, most } = options;
    // A later write to a block that an even later one replaced leaves no trace; the count is at least what was promised.
    const count = Math.max(newest, least);
    assert(count <= most, `${what}: holds write ${newest}, which was sent after the instant (${most} at most)`);
    const expected = this.stateAfter(count);
    for (let block = 0; block < this.blockCount; block += 1) {
      assert(
        found[block] === expected[block],
        `${what}: block ${block} holds write ${found[block]}, not ${expected[block]} (state after ${count} writes, ${least} promised)`,
      );
    }
    return count;
  }
}

/** One libnbd client in a process of its own, driven line by line. */
export class StampedWriter implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #errors: string[] = [];

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.#errors.push(text));
    child.stdin.on('error', () => {}); // The client died with the server; its answers end, and that is how it is seen.
  }

  static async connect(uri: string): Promise<StampedWriter> {
    const writer = new StampedWriter(spawn(PYTHON, [join(import.meta.dirname, 'nbd-writer.py'), uri]));
    const first = await writer.#answer();
    if (first?.startsWith('ready') !== true) throw new Error(`connect ${uri}: ${writer.#errors.join('')}`);
    return writer;
  }

  async #answer(): Promise<string | null> {
    const { value, done } = await this.#answers.next();
    return done === true ? null : value;
  }

  /** True when the server acknowledged it; false when the connection ended first. */
  async write(history: WriteHistory, block: number): Promise<boolean> {
    const write = history.next(block);
    this.#child.stdin.write(`w ${write.block} ${write.version}\n`);
    if ((await this.#answer()) === null) return false;
    history.ackedCount = history.writes.length;
    return true;
  }

  async flush(): Promise<boolean> {
    this.#child.stdin.write('f\n');
    return (await this.#answer()) !== null;
  }

  /** The version that each block holds. */
  async read(blockCount: number): Promise<Int32Array> {
    const found = new Int32Array(blockCount);
    for (let block = 0; block < blockCount; block += PAGE_BLOCKS) {
      const count = Math.min(PAGE_BLOCKS, blockCount - block);
      this.#child.stdin.write(`r ${block} ${count}\n`);
      const answer = await this.#answer();
      if (answer === null) throw new Error(`read: ${this.#errors.join('')}`);
      const versions = answer.split(' ').slice(2).map(Number);
      versions.forEach((version, index) => (found[block + index] = version));
      assert(versions.length === count, 'a read answers every block');
    }
    return found;
  }

  [Symbol.dispose](): void {
    this.#child.stdin.end();
    this.#child.kill('SIGKILL');
  }
}

/** Reads all blocks of an export with a client of its own. */
export async function readVersions(uri: string, blockCount: number): Promise<Int32Array> {
  using reader = await StampedWriter.connect(uri);
  return present(await reader.read(blockCount), 'a read answers');
}
