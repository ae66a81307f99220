import type { ServerResponse } from 'node:http';

import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';

/** Of what a reader has not taken yet; a slow one loses lines, and the server nothing. */
const UNREAD_BYTES_MAX = 1024 * 1024;

/** Gives what is logged to readers, as it happens: a JSON object a line, `{ atMs, level, event, … }`. */
export class LogFeed {
  readonly #clock: Clock;
  readonly #readers = new Map<ServerResponse, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The same log; what is logged to it goes to the readers, too. */
  watch(log: Log, more: Readonly<Record<string, unknown>> = {}): Log {
    const at =
      (level: 'info' | 'warn' | 'error') =>
      (event: string, fields?: Readonly<Record<string, unknown>>): void => {
        if (this.#readers.size > 0) this.#give(level, event, { ...more, ...fields });
        log[level](event, fields);
      };
    return {
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      with: (fields) => this.watch(log.with(fields), { ...more, ...fields }),
    };
  }

  /** Answers with what is logged from now on, until the reader goes. */
  stream(response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
    response.flushHeaders();
    this.#readers.set(response, 0);
    response.on('close', () => this.#readers.delete(response));
    response.on('error', () => this.#readers.delete(response));
  }

  /** Ends all readers. */
  end(): void {
    for (const response of this.#readers.keys()) response.end();
  }

  #give(level: string, event: string, fields: Readonly<Record<string, unknown>>): void {
    const shown = Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? describeError(value) : value,
    ]);
    const line = { atMs: this.#clock.nowMs(), level, event, ...Object.fromEntries(shown) };
    for (const [response, lostCount] of this.#readers) {
      if (response.writableLength > UNREAD_BYTES_MAX) {
        this.#readers.set(response, lostCount + 1);
        continue;
      }
      if (lostCount > 0) {
        response.write(`${JSON.stringify({ atMs: line.atMs, level: 'warn', event: 'lines lost', lostCount })}\n`);
        this.#readers.set(response, 0);
      }
      response.write(`${JSON.stringify(line)}\n`);
    }
  }
}
