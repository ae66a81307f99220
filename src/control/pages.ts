import { assert } from '#base/assert.ts';
import { Turns } from '#base/turns.ts';
import type { Scope } from '#domain/volume.ts';
import type { Page, Row } from '#meta/meta-store.ts';
import { makePageToken, readPageToken } from './page-token.ts';
import type { ControlPorts } from './ports.ts';

/** Rows read from the store at once: bounds memory, whatever the length of a list. */
const BATCH_ROWS = 500;

export interface PageRequest<R> {
  readonly after: string | null;
  readonly countMax: number;
  readonly match?: ((record: R) => boolean) | undefined;
}

/**
 * One page of a list: at most `countMax` records that match, and where to go on; null at the end. Reads batch after batch
 * and keeps only what matches. Each batch is a transaction of its own, so a long search does not hold up the others.
 */
export async function readPage<R>(
  ports: ControlPorts,
  scope: Scope,
  list: string,
  request: PageRequest<R>,
  read: (page: Page) => Promise<readonly Row<R>[]>,
): Promise<{ readonly records: readonly R[]; readonly next: string | null }> {
  assert(request.countMax >= 1, 'a page has room for something');
  const records: R[] = [];
  let after = readPageToken(ports, scope, list, request.after);
  const turns = new Turns(ports.clock);
  for (let round = 0; ; round += 1) {
    // One more than is asked for tells whether there is a next page. What is searched in vain takes longer strides.
    const wanted = request.countMax - records.length + 1;
    const countMax = Math.min(BATCH_ROWS, request.match === undefined ? wanted : wanted * 2 ** Math.min(round, 16));
    const rows = await read({ after, countMax });
    for (const { sequence, record } of rows) {
      if (request.match !== undefined && turns.isOver) await turns.give();
      if (request.match?.(record) ?? true) {
        if (records.length === request.countMax) return { records, next: makePageToken(ports, scope, list, after) };
        records.push(record);
      }
      after = sequence;
    }
    if (rows.length < countMax) return { records, next: null };
  }
}

/** The first rows of several lists of one sequence, each row once: as many as the page asks for, unless there are no more. */
export async function mergedRows<S, R>(
  { countMax }: Page,
  searches: readonly S[],
  read: (search: S) => Promise<readonly Row<R>[]>,
): Promise<readonly Row<R>[]> {
  const rows = new Map<number, Row<R>>();
  // One after another: a transaction has one connection.
  for (const search of searches) for (const row of await read(search)) rows.set(row.sequence, row);
  if (searches.length === 1) return [...rows.values()];
  return [...rows.values()].toSorted((a, b) => a.sequence - b.sequence).slice(0, countMax);
}

/** A page of records that were asked for one by one; the position is an index. */
export async function slicePage<R>(
  ports: ControlPorts,
  scope: Scope,
  list: string,
  request: PageRequest<R>,
  all: readonly R[],
): Promise<{ readonly records: readonly R[]; readonly next: string | null }> {
  const start = readPageToken(ports, scope, list, request.after);
  const matching: R[] = [];
  const turns = new Turns(ports.clock);
  for (const record of all) {
    if (request.match !== undefined && turns.isOver) await turns.give();
    if (request.match?.(record) ?? true) matching.push(record);
  }
  const records = matching.slice(start, start + request.countMax);
  const end = start + records.length;
  return { records, next: end < matching.length ? makePageToken(ports, scope, list, end) : null };
}
