import { close, fdatasync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { UnusableError } from '#base/unusable.ts';

/**
 * Makes commits durable beside the event loop. SQLite writes a commit into its log and does not wait for the disk
 * (`synchronous=normal`); the log is flushed here, in another thread, once for all commits that were made meanwhile. Frames of
 * the log carry checksums over all before them, so what a power failure leaves of it is a beginning of the commits, and every
 * commit that was said to be durable is in it.
 */
export class LogSync implements AsyncDisposable {
  readonly #path: string;
  #file: number | null = null;
  #committedCount = 0;
  #durableCount = 0;
  #running: Promise<void> | null = null;
  #failure: unknown = null;

  /** `path`: of the log. It need not exist before the first commit. */
  constructor(path: string) {
    this.#path = path;
  }

  /** To be called after each commit that wrote something. */
  committed(): void {
    this.#committedCount += 1;
  }

  /** Whether a commit was made that a power failure could still take back. */
  get isBehind(): boolean {
    return this.#durableCount < this.#committedCount;
  }

  /**
   * Resolves when all commits made before this call are durable. Throws when the disk fails; then for ever, because nobody
   * knows what it has of the log.
   */
  async durable(): Promise<void> {
    const wanted = this.#committedCount;
    while (this.#durableCount < wanted) {
      if (this.#failure !== null) throw this.#failure;
      this.#running ??= this.#sync().finally(() => (this.#running = null));
      await this.#running;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.catch(() => {});
    if (this.#file !== null) await promisify(close)(this.#file);
    this.#file = null;
  }

  async #sync(): Promise<void> {
    const upTo = this.#committedCount;
    try {
      await promisify(fdatasync)(this.#open());
    } catch (error) {
      this.#failure = new UnusableError(`the metadata cannot be made durable: flush ${this.#path}`, { cause: error });
      throw this.#failure;
    }
    this.#durableCount = upTo;
  }

  #open(): number {
    if (this.#file !== null) return this.#file;
    this.#file = openSync(this.#path, 'r+');
    return this.#file;
  }
}
