/** Structured log: one JSON object a line. Values must not hold secrets or volume bytes. */
export interface Log {
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
  /** The same log with fields added to every line. */
  with(fields: Readonly<Record<string, unknown>>): Log;
}

/** An error and its causes as one line of text, without stack. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `: ${describeError(error.cause)}`;
  return `${error.message}${cause}`;
}

/** Writes JSON lines through `write`; JSON escapes line breaks and control characters, so a value cannot forge a line. */
export function jsonLog(write: (line: string) => void, fields: Readonly<Record<string, unknown>> = {}): Log {
  const line = (level: string, event: string, extra: Readonly<Record<string, unknown>> = {}): void => {
    const shown = Object.fromEntries(
      Object.entries({ ...fields, ...extra }).map(([key, value]) => [
        key,
        value instanceof Error ? describeError(value) : value,
      ]),
    );
    write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...shown })}\n`);
  };
  return {
    info: (event, extra) => line('info', event, extra),
    warn: (event, extra) => line('warn', event, extra),
    error: (event, extra) => line('error', event, extra),
    with: (extra) => jsonLog(write, { ...fields, ...extra }),
  };
}

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {}, with: () => silentLog };
