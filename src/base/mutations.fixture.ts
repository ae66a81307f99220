import type { SeededRandom } from './random.ts';

/** Numbers at which lengths, counts and offsets go wrong. */
const EDGES: readonly number[] = [
  0, 1, 2, 3, 7, 8, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536, 0x7f_ff_ff_ff, 0x80_00_00_00, 0xff_ff_ff_fe,
  0xff_ff_ff_ff,
];

/** A copy with one to four things wrong: bits, bytes, numbers of any width, pieces cut out, put in, moved, or the end gone. */
export function mutated(random: SeededRandom, bytes: Uint8Array): Buffer {
  let copy: Buffer = Buffer.from(bytes);
  for (let count = 1 + random.below(4); count > 0; count -= 1) copy = mutatedOnce(random, copy);
  return copy;
}

function mutatedOnce(random: SeededRandom, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(1 + random.below(random.below(3) === 0 ? 600 : 12), bytes.length - at);
  switch (random.below(8)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes, random.bytes(1 + random.below(80))]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(length), bytes.subarray(at)]);
    case 4: {
      const from = random.below(bytes.length + 1);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, from + length), bytes.subarray(at + length)]);
    }
    case 5:
      if (at < bytes.length) bytes.writeUInt8((bytes[at] as number) ^ (1 << random.below(8)), at);
      return bytes;
    default:
      putNumber(random, bytes, at);
      return bytes;
  }
}

function putNumber(random: SeededRandom, bytes: Buffer, at: number): void {
  const value = random.below(4) === 0 ? random.below(2 ** 32) : (EDGES[random.below(EDGES.length)] as number);
  const width = [1, 2, 4][random.below(3)] as 1 | 2 | 4;
  if (at + width > bytes.length) return;
  const fitting = width === 4 ? value : value % 256 ** width;
  if (random.below(2) === 0) bytes.writeUIntLE(fitting, at, width);
  else bytes.writeUIntBE(fitting, at, width);
}

/** Watches a fuzzer's run: what one input took at most, and how far memory grew. */
export class FuzzWatch {
  readonly #nowMs: () => number;
  readonly #startBytes = residentBytes();
  #peakBytes = 0;
  inputs = 0;
  slowestMs = 0;

  /** `nowMs`: a monotonic clock. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Bytes that the process's memory grew by at most. */
  get growthBytes(): number {
    return Math.max(0, this.#peakBytes - this.#startBytes);
  }

  run<R>(work: () => R): R {
    const startMs = this.#nowMs();
    try {
      return work();
    } finally {
      this.#ended(startMs);
    }
  }

  async runAsync<R>(work: () => Promise<R>): Promise<R> {
    const startMs = this.#nowMs();
    try {
      return await work();
    } finally {
      this.#ended(startMs);
    }
  }

  #ended(startMs: number): void {
    this.inputs += 1;
    this.slowestMs = Math.max(this.slowestMs, this.#nowMs() - startMs);
    if (this.inputs % 256 === 0) this.#peakBytes = Math.max(this.#peakBytes, residentBytes());
  }

  summary(): string {
    return `${this.inputs} inputs, slowest ${this.slowestMs.toFixed(1)} ms, memory +${Math.round(this.growthBytes / 2 ** 20)} MiB`;
  }
}

function residentBytes(): number {
  return process.memoryUsage.rss();
}
