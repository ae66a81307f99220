import type { Surroundings } from '#client/command.ts';

/** Text is handed on in pieces of about this many UTF-16 units. */
const PIECE_LENGTH = 64 * 1024;

/**
 * Standard output: collects short texts into long pieces and waits where the reader is slow.
 *
 * A reader that has gone (`varve … | head`) is no error: what is written afterwards is dropped.
 */
export class OutputStream {
  readonly #stream: Surroundings['stdout'];
  readonly #parts: string[] = [];
  readonly #onError: (error: NodeJS.ErrnoException) => void;
  #length = 0;
  #failure: Error | null = null;
  #gone = false;
  #wake: (() => void) | null = null;

  constructor(stream: Surroundings['stdout']) {
    this.#stream = stream;
    this.#onError = (error) => {
      this.#gone = true;
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') this.#failure = error;
      this.#wake?.();
    };
    stream.on('error', this.#onError);
  }

  /** Whether nobody reads any more. */
  get gone(): boolean {
    return this.#gone;
  }

  write(text: string): void {
    this.#parts.push(text);
    this.#length += text.length;
  }

  /** Whether enough is collected for `flush`. */
  get full(): boolean {
    return this.#length >= PIECE_LENGTH;
  }

  /** Hands on what is collected; resolves when the stream takes more. Throws what the stream fails with. */
  async flush(): Promise<void> {
    const text = this.#parts.join('');
    this.#parts.length = 0;
    this.#length = 0;
    if (text !== '' && !this.#gone) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#stream.write(text, () => resolve());
      });
      this.#wake = null;
    }
    if (this.#failure !== null) throw this.#failure;
  }

  /** Hands on the rest. The stream stays open. */
  async end(): Promise<void> {
    await this.flush();
    this.#stream.off('error', this.#onError);
    // A late error of a reader that has gone would otherwise end the process.
    this.#stream.on('error', () => undefined);
  }
}
