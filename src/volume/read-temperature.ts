/** A read of a few blocks that takes longer came from the disk, however quick that is; from the page cache it takes a tenth. */
const SLOW_MS = 0.04;
/** What the page cache gives at least, so that long reads are not taken for slow ones. */
const BYTES_PER_MS = 1024 * 1024;
/** Slow reads, less the quick ones between them, that make a file cold. */
const COLD_SCORE = 4;
const SLOW_SCORE = 2;
/** Reads of a cold file between two that find out whether it still is: few at first, twice as many after each that finds it so. */
const READS_PER_PROBE_MIN = 32;
const READS_PER_PROBE_MAX = 1024;

/**
 * Whether reads of a file mostly find their bytes in the page cache. A read that does is quickest done at once; one that
 * does not holds everything up for as long as the disk takes, and is better given to another thread, where many overlap.
 * Nobody can tell before; so a file is what its last reads were.
 */
export class ReadTemperature {
  #score = 0;
  #untilProbe = 0;
  #readsPerProbe = READS_PER_PROBE_MIN;

  /** Whether the next read is to be done by another thread. Ask once for each. */
  nextIsCold(): boolean {
    if (this.#score < COLD_SCORE) return false;
    if (this.#untilProbe === 0) return false;
    this.#untilProbe -= 1;
    return true;
  }

  /** A read of `length` bytes was done at once, in `ms`. */
  observe(ms: number, length: number): void {
    if (ms > SLOW_MS + length / BYTES_PER_MS) {
      if (this.#score === COLD_SCORE) this.#readsPerProbe = Math.min(2 * this.#readsPerProbe, READS_PER_PROBE_MAX);
      this.#score = Math.min(this.#score + SLOW_SCORE, COLD_SCORE);
      this.#untilProbe = this.#readsPerProbe;
    } else if (this.#score > 0) {
      this.#score -= 1;
      this.#readsPerProbe = READS_PER_PROBE_MIN;
    }
  }
}
