import type { Clock } from '#base/clock.ts';
import { KeyLock } from '#base/key-lock.ts';
import type { Random } from '#base/random.ts';

import { within } from './deadline.ts';
import { JsonLines, members } from './json-lines.ts';

/** The agent refused, did not answer in time, or is not there. Its words are the guest's: show them, believe nothing. */
export class GuestAgentError extends Error {
  override readonly name = 'GuestAgentError';
  /** It answered, and said no. */
  readonly isRefusal: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isRefusal?: boolean } = {}) {
    super(message, options);
    this.isRefusal = options.isRefusal === true;
  }
}

export interface GuestAgentOptions {
  /** QEMU's end of the virtio-serial port. */
  readonly socketPath: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** The guest's words are cut to this, before anybody shows them. */
const WORDS_MAX = 200;
/** So much is read for one answer, with what was in the channel before it. */
const ANSWER_BYTES_MAX = 1024 * 1024;

interface Expected {
  readonly matches: (object: Readonly<Record<string, unknown>>, delimited: boolean) => boolean;
  readonly answer: PromiseWithResolvers<Readonly<Record<string, unknown>>>;
}

/**
 * QEMU's guest agent. Its channel outlives sockets: what an earlier connection was not told is told to the next one. So
 *
 *   - there is one connection for the life of a machine, and one command at a time;
 *   - before the first command, and after one that was given up, `guest-sync-delimited` with a number that nobody can guess
 *     goes through the channel; everything that arrives before its answer is dropped;
 *   - every command has an id that is never used again, and only the answer with that id is taken;
 *   - the channel is read only while an answer is waited for, and not without end: a guest that writes whatever it can waits,
 *     and not we.
 */
export class GuestAgent implements Disposable {
  readonly #options: GuestAgentOptions;
  readonly #turns = new KeyLock();
  #lines: JsonLines | null = null;
  #inStep = false;
  #expected: Expected | null = null;
  #disposed = false;

  constructor(options: GuestAgentOptions) {
    this.#options = options;
  }

  /**
   * What the command returns. `timeoutMs` includes the commands before it. Throws GuestAgentError; the command may take
   * effect in spite of that when it was late.
   */
  async call(
    command: string,
    options: { readonly timeoutMs: number; readonly args?: Readonly<Record<string, unknown>> },
  ): Promise<unknown> {
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + options.timeoutMs;
    return await this.#turns.run('', async () => {
      const lines = await this.#connection();
      await this.#synchronise(lines, untilMs, options.timeoutMs);
      const id = this.#number().toString(36);
      this.#inStep = false; // Until it has answered.
      const object = await this.#exchange(
        lines,
        { execute: command, arguments: options.args ?? {}, id },
        { matches: (answer) => answer['id'] === id, untilMs, timeoutMs: options.timeoutMs },
      );
      this.#inStep = true;
      const error = members(object['error']);
      if (error !== null) {
        throw new GuestAgentError(`the agent refuses ${command}: ${words(error['desc'])}`, { isRefusal: true });
      }
      return object['return'];
    });
  }

  /** Sends a command that is never answered, as `guest-shutdown`. */
  async tell(
    command: string,
    options: { readonly timeoutMs: number; readonly args: Readonly<Record<string, unknown>> },
  ): Promise<void> {
    const untilMs = this.#options.clock.monotonicMs() + options.timeoutMs;
    await this.#turns.run('', async () => {
      const lines = await this.#connection();
      await this.#synchronise(lines, untilMs, options.timeoutMs);
      this.#inStep = false; // It may answer, with an error.
      lines.send({ execute: command, arguments: options.args });
    });
  }

  /** The agent began anew: what was said to it is lost. */
  restarted(): void {
    this.#fail('it began anew');
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#lines?.[Symbol.dispose]();
    this.#fail('the machine is let go');
  }

  async #connection(): Promise<JsonLines> {
    if (this.#disposed) throw new GuestAgentError('the machine is let go');
    if (this.#lines?.isOpen === true) return this.#lines;
    this.#inStep = false;
    try {
      this.#lines = await JsonLines.connect(this.#options.socketPath, {
        onObject: (object, delimited) => {
          const expected = this.#expected;
          if (expected?.matches(object, delimited) === true) expected.answer.resolve(object);
        },
        onClose: () => this.#fail('its channel was closed'),
      });
    } catch (error) {
      throw new GuestAgentError('the agent cannot be reached', { cause: error });
    }
    this.#lines.pause();
    return this.#lines;
  }

  async #synchronise(lines: JsonLines, untilMs: number, timeoutMs: number): Promise<void> {
    if (this.#inStep) return;
    const number = this.#number();
    // The byte before it ends whatever half of a command is in the channel.
    await this.#exchange(
      lines,
      { execute: 'guest-sync-delimited', arguments: { id: number } },
      { matches: (object, delimited) => delimited && object['return'] === number, untilMs, timeoutMs },
    );
    this.#inStep = true;
  }

  async #exchange(
    lines: JsonLines,
    request: Readonly<Record<string, unknown>>,
    options: { readonly matches: Expected['matches']; readonly untilMs: number; readonly timeoutMs: number },
  ): Promise<Readonly<Record<string, unknown>>> {
    const { clock } = this.#options;
    const late = (): Error => new GuestAgentError(`the agent did not answer within ${options.timeoutMs} ms`);
    const leftMs = options.untilMs - clock.monotonicMs();
    if (leftMs <= 0) throw late();
    const answer = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    this.#expected = { matches: options.matches, answer };
    try {
      lines.resume(ANSWER_BYTES_MAX);
      lines.send(request, { delimited: request['execute'] === 'guest-sync-delimited' });
      return await within(clock, leftMs, answer.promise, late);
    } finally {
      lines.pause();
      this.#expected = null;
    }
  }

  #fail(why: string): void {
    this.#inStep = false;
    this.#expected?.answer.reject(new GuestAgentError(`the agent cannot be reached: ${why}`));
  }

  /** 48 bits: exact in JSON's numbers. */
  #number(): number {
    return this.#options.random.bytes(6).readUIntBE(0, 6);
  }
}

function words(value: unknown): string {
  const text = typeof value === 'string' ? value : 'no reason given';
  return text.replaceAll(/[^ -~]+/g, ' ').slice(0, WORDS_MAX);
}
