/** Readers that are told apart: what is more at once mostly reads at random. */
const STREAMS_MAX = 8;
/** Chunks ahead of a reader that goes on in order: 8 MiB. */
const WINDOW_CHUNKS_MAX = 16;

interface Stream {
  /** The first chunk that was not fetched ahead for it. */
  next: number;
  /** Chunks that it is kept ahead. */
  window: number;
  /** The last one that it needed. */
  last: number;
}

/**
 * Finds readers that go through a device in order, from the chunks that they had to wait for. The further one goes on, the
 * more is fetched ahead of it: each time twice as much, up to a bound.
 */
export class ReadAhead {
  /** The one that moved last comes last. */
  readonly #streams: Stream[] = [];

  /** Somebody needs `index`: chunks [first, end) should be fetched now too. */
  after(index: number): { readonly first: number; readonly end: number } {
    const at = this.#streams.findIndex(({ next, window }) => index <= next && index >= next - window - 1);
    const [stream] = at < 0 ? [] : this.#streams.splice(at, 1);
    if (stream === undefined) {
      if (this.#streams.length === STREAMS_MAX) this.#streams.shift();
      this.#streams.push({ next: index + 1, window: 0, last: index });
      return { first: index + 1, end: index + 1 };
    }
    this.#streams.push(stream);
    // Not for a second look at the same chunk.
    if (index > stream.last) stream.window = Math.min(WINDOW_CHUNKS_MAX, Math.max(1, stream.window * 2));
    stream.last = Math.max(stream.last, index);
    const first = Math.max(stream.next, index + 1);
    stream.next = Math.max(first, index + 1 + stream.window);
    return { first, end: stream.next };
  }
}
