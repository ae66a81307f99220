import type { Clock } from '#base/clock.ts';

import { within } from './deadline.ts';
import { JsonLines, members } from './json-lines.ts';

/** An event of QEMU: `SHUTDOWN`, `DEVICE_DELETED` and the like, with its data. */
export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** `refused`: QEMU says no, and why. `late`: it did not answer in time. `closed`: it is gone, or was never there. */
export type QmpProblem = 'refused' | 'late' | 'closed';

export class QmpError extends Error {
  override readonly name = 'QmpError';
  readonly problem: QmpProblem;

  constructor(problem: QmpProblem, message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}

export interface QmpOptions {
  readonly clock: Clock;
  /** Also of what arrives while connecting. */
  readonly onEvent: (event: QmpEvent) => void;
  /** For the greeting. */
  readonly timeoutMs: number;
}

interface Waiting {
  readonly command: string;
  readonly answer: PromiseWithResolvers<unknown>;
}

/**
 * A connection to a QEMU monitor (QEMU Machine Protocol Specification). Commands may be in flight together; an answer finds
 * its command by an id that is used once in the life of this process, so that a late one reaches nobody.
 */
export class Qmp implements Disposable {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #greeting = Promise.withResolvers<void>();
  #lines: JsonLines | null = null;

  private constructor(clock: Clock) {
    this.#clock = clock;
    this.#greeting.promise.catch(() => {}); // Who connects hears of it in time.
  }

  static async connect(socketPath: string, options: QmpOptions): Promise<Qmp> {
    const qmp = new Qmp(options.clock);
    const handler = {
      onObject: (object: Readonly<Record<string, unknown>>) => qmp.#receive(object, options.onEvent),
      onClose: () => qmp.#end(),
    };
    try {
      qmp.#lines = await JsonLines.connect(socketPath, handler);
    } catch (error) {
      throw new QmpError('closed', `no monitor listens at ${socketPath}`, { cause: error });
    }
    try {
      const late = (): Error => new QmpError('late', 'the monitor does not greet');
      await within(options.clock, options.timeoutMs, qmp.#greeting.promise, late);
      await qmp.execute('qmp_capabilities', {}, options.timeoutMs);
      return qmp;
    } catch (error) {
      qmp[Symbol.dispose]();
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.#lines?.isOpen === true;
  }

  /** Resolves when the connection has ended, for whatever reason. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** What the command returns. Throws QmpError. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}, timeoutMs = 30_000): Promise<unknown> {
    const lines = this.#lines;
    if (lines?.isOpen !== true) throw new QmpError('closed', `${command}: the monitor is gone`);
    const id = `varve-${(commandCount += 1)}`;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { command, answer });
    lines.send({ execute: command, arguments: args, id });
    const late = (): Error => new QmpError('late', `${command}: the monitor did not answer within ${timeoutMs} ms`);
    try {
      return await within(this.#clock, timeoutMs, answer.promise, late);
    } finally {
      this.#waiting.delete(id);
    }
  }

  [Symbol.dispose](): void {
    this.#lines?.[Symbol.dispose]();
    this.#end();
  }

  #receive(object: Readonly<Record<string, unknown>>, onEvent: (event: QmpEvent) => void): void {
    if ('QMP' in object) this.#greeting.resolve();
    else if (typeof object['event'] === 'string') {
      onEvent({ name: object['event'], data: members(object['data']) ?? {} });
    } else if (typeof object['id'] === 'string') {
      const waiting = this.#waiting.get(object['id']);
      const error = members(object['error']);
      if (waiting === undefined) return; // It was given up.
      if (error === null) waiting.answer.resolve(object['return']);
      else waiting.answer.reject(new QmpError('refused', `${waiting.command}: ${String(error['desc'])}`));
    }
  }

  #end(): void {
    this.#greeting.reject(new QmpError('closed', 'the monitor went away'));
    for (const { command, answer } of this.#waiting.values()) {
      answer.reject(new QmpError('closed', `${command}: the monitor went away`));
    }
    this.#closed.resolve();
  }
}

let commandCount = 0;
