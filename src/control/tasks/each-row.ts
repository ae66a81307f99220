import type { Page, Row } from '#meta/meta-store.ts';

const BATCH_ROWS = 200;

/** As eachRow, for who does not stop in between. */
export function everyRow<R>(read: (page: Page) => Promise<readonly Row<R>[]>): AsyncGenerator<R> {
  return eachRow(read, new AbortController().signal);
}

/** Every record that `read` has, batch by batch in the order of creation; records may be changed and removed meanwhile. */
export async function* eachRow<R>(
  read: (page: Page) => Promise<readonly Row<R>[]>,
  signal: AbortSignal,
): AsyncGenerator<R> {
  let after = 0;
  for (;;) {
    signal.throwIfAborted();
    const rows = await read({ after, countMax: BATCH_ROWS });
    for (const { sequence, record } of rows) {
      after = sequence;
      yield record;
      signal.throwIfAborted();
    }
    if (rows.length < BATCH_ROWS) return;
  }
}
