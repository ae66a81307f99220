import { systemClock } from '#base/clock.ts';
import type { ConfigOptions } from '#src/config.ts';

import { askServer, otherVersion, ServerAwayError } from './admin-client.ts';
import { Bars, type Step } from './bars.ts';
import { CommandError } from './command-error.ts';
import { formatBytes } from './image-progress.ts';
import { printable } from './table.ts';

const POLL_MS = 250;
/** A server that is started again is waited for so long. */
const AWAY_MS_MAX = 120_000;
/** The server tells of so many at once. */
const COUNT_MAX = 1000;
/** So many are named to whoever is to look again. */
const NAMED_COUNT_MAX = 5;

/** How far a snapshot has come. Bytes are of the disk's chunks (512 KiB) that it must look at; null: it waits, or is complete. */
interface Upload {
  readonly id: string;
  readonly name: string | null;
  /** `gone`: it was deleted meanwhile. */
  readonly state: string;
  readonly stateMessage: string | null;
  readonly progressPercent: number;
  readonly doneBytes: number | null;
  readonly totalBytes: number | null;
  /** What the store grew by; null until it is complete. */
  readonly newBytes: number | null;
}

export interface Watching {
  /** An object a line of each on standard output, in place of bars. */
  readonly json: boolean;
  /** Ends the watching and nothing else. */
  readonly signal: AbortSignal;
}

/**
 * Shows how far these snapshots have come (none: all that are pending now) until each is complete. Throws CommandError when
 * one fails or is deleted, and when the signal is aborted.
 */
export async function watchSnapshots(options: ConfigOptions, ids: readonly string[], how: Watching): Promise<void> {
  const ended: Upload[] = [];
  try {
    await watchToEnd(options, ids, how, ended);
  } catch (error) {
    if (!how.signal.aborted) throw error;
    const left = ids.filter((id) => ended.every((one) => one.id !== id));
    const names = left.length > NAMED_COUNT_MAX ? '' : left.map((id) => ` ${id}`).join('');
    throw new CommandError(
      `not watched to the end; the server goes on. See how far it is: varve snapshot watch${names}`,
    );
  } finally {
    if (!how.json) for (const upload of ended) process.stderr.write(`${endWords(upload)}\n`);
  }
  const failed = ended.filter(({ state }) => state !== 'completed');
  if (failed.length > 0) throw new CommandError(failed.map(failureWords).join('; '));
}

async function watchToEnd(
  options: ConfigOptions,
  ids: readonly string[],
  { json, signal }: Watching,
  ended: Upload[],
): Promise<void> {
  const first = await uploadsOf(options, ids, signal);
  if (ids.length === 0 && first.length === 0 && !json) process.stderr.write('All snapshots are stored.\n');
  if (ids.length === 0 && first.length >= COUNT_MAX) {
    process.stderr.write(`varve: the oldest ${COUNT_MAX} are watched; there may be more\n`);
  }
  const awaited = new Map(first.map((upload) => [upload.id, upload]));
  using bars = new Bars(systemClock);
  for (let uploads = first; ; uploads = await patientUploads(options, [...awaited.values()], signal)) {
    for (const upload of uploads) {
      if (json) process.stdout.write(`${JSON.stringify(upload)}\n`);
      if (upload.state === 'pending') awaited.set(upload.id, upload);
      else {
        awaited.delete(upload.id);
        ended.push(upload);
      }
    }
    if (awaited.size === 0) return;
    if (!json) bars.show(stepsOf([...awaited.values()]));
    await systemClock.sleep(POLL_MS, signal);
  }
}

/** Waits for a server that is started again; what it had begun goes on with it. */
async function patientUploads(
  options: ConfigOptions,
  awaited: readonly Upload[],
  signal: AbortSignal,
): Promise<readonly Upload[]> {
  const sinceMs = systemClock.monotonicMs();
  for (let isTold = false; ; await systemClock.sleep(POLL_MS, signal)) {
    try {
      return await uploadsOf(
        options,
        awaited.map(({ id }) => id),
        signal,
        awaited,
      );
    } catch (error) {
      if (!(error instanceof ServerAwayError) || systemClock.monotonicMs() - sinceMs > AWAY_MS_MAX) throw error;
      const lineEnd = process.stderr.isTTY ? '\n' : '';
      if (!isTold)
        process.stderr.write(`${lineEnd}The server is away. What it had begun goes on when it runs again.\n`);
      isTold = true;
    }
  }
}

function stepsOf(uploads: readonly Upload[]): readonly Step[] {
  const counts = new Map<string | null, number>();
  for (const { name } of uploads) counts.set(name, (counts.get(name) ?? 0) + 1);
  return uploads.map(({ id, name, doneBytes, totalBytes }) => ({
    label: name === null || counts.get(name) !== 1 ? id : printable(name),
    doneBytes: totalBytes === null ? null : (doneBytes ?? 0),
    totalBytes,
  }));
}

function endWords({ id, name, state, newBytes }: Upload): string {
  const grew = newBytes === null ? '' : `; the store grew by ${formatBytes(newBytes)}`;
  return `${name === null ? id : `${printable(name)} (${id})`}: ${state}${grew}`;
}

function failureWords({ id, name, state, stateMessage }: Upload): string {
  if (state === 'gone') return `the snapshot ${name === null ? id : printable(name)} was deleted`;
  const why = stateMessage === null || stateMessage === '' ? '' : `: ${stateMessage}`;
  return `the snapshot ${id} ended as ${state}${why}; "varve status" shows what went wrong last`;
}

/** `known`: what was last heard of these; one that nobody has heard of is refused. */
async function uploadsOf(
  options: ConfigOptions,
  ids: readonly string[],
  signal: AbortSignal,
  known: readonly Upload[] = [],
): Promise<readonly Upload[]> {
  const query = new URLSearchParams(ids.map((id): [string, string] => ['id', id])).toString();
  const reply = await askServer(options, 'GET', `/uploads${query === '' ? '' : `?${query}`}`, { signal });
  if (typeof reply !== 'object' || reply === null || !('uploads' in reply) || !('gone' in reply)) throw otherVersion();
  const { uploads, gone } = reply;
  if (!Array.isArray(uploads) || !uploads.every(isUpload) || !Array.isArray(gone)) throw otherVersion();
  const missing = gone.map((id: unknown) => goneUpload(String(id), known.find((one) => one.id === id)?.name ?? null));
  return [...uploads, ...missing];
}

function goneUpload(id: string, name: string | null): Upload {
  const nothing = { stateMessage: null, progressPercent: 0, doneBytes: null, totalBytes: null, newBytes: null };
  return { id, name, state: 'gone', ...nothing };
}

function isUpload(value: unknown): value is Upload {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'string' &&
    'state' in value &&
    typeof value.state === 'string' &&
    'doneBytes' in value &&
    'totalBytes' in value &&
    'newBytes' in value
  );
}
