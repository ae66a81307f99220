import { systemClock } from '#base/clock.ts';
import type { ConfigOptions } from '#src/config.ts';

import { askServer } from './admin-client.ts';
import { Bars } from './bars.ts';
import { CommandError } from './command-error.ts';
import { formatBytes } from './image-progress.ts';
import { Interrupt } from './image-interrupt.ts';
import { otherVersion } from './pages.ts';
import { printable } from './table.ts';

const POLL_MS = 250;

/** How far a snapshot has come. Bytes are of the disk's chunks (512 KiB) that it must look at; null: it waits, or is complete. */
interface Upload {
  readonly id: string;
  readonly name: string | null;
  readonly state: string;
  readonly stateMessage: string | null;
  readonly progressPercent: number;
  readonly doneBytes: number | null;
  readonly totalBytes: number | null;
  /** What the store grew by; null until it is complete. */
  readonly newBytes: number | null;
}

export interface Watching {
  readonly json: boolean;
}

/**
 * Shows how far these snapshots have come (none: all that are pending now) until each is complete. Throws CommandError when
 * one fails, and on Ctrl-C, which ends the watching and nothing else.
 */
export async function watchSnapshots(options: ConfigOptions, ids: readonly string[], how: Watching): Promise<void> {
  using interrupt = new Interrupt();
  let watched = ids;
  const complete = new Map<string, Upload>();
  {
    using bars = new Bars(systemClock);
    for (;;) {
      const uploads = await uploadsOf(options, watched);
      watched = uploads.map(({ id }) => id);
      for (const upload of uploads) if (upload.state !== 'pending') complete.set(upload.id, upload);
      if (how.json) for (const upload of uploads) process.stdout.write(`${JSON.stringify(upload)}\n`);
      const pending = uploads.filter(({ state }) => state === 'pending');
      if (pending.length === 0) break;
      if (!how.json) bars.show(pending.map(stepOf));
      await pause(interrupt.signal, watched);
    }
  }
  if (!how.json) for (const upload of complete.values()) process.stderr.write(`${endWords(upload)}\n`);
  const failed = [...complete.values()].filter(({ state }) => state !== 'completed');
  if (failed.length > 0) throw new CommandError(failed.map(failureWords).join('; '));
}

async function pause(signal: AbortSignal, ids: readonly string[]): Promise<void> {
  try {
    await systemClock.sleep(POLL_MS, signal);
  } catch {
    throw new CommandError(
      `not watched to the end; the server goes on. See how far it is: varve snapshot watch ${ids.join(' ')}`,
    );
  }
}

function stepOf({ id, name, doneBytes, totalBytes }: Upload): {
  readonly label: string;
  readonly doneBytes: number;
  readonly totalBytes: number | null;
} {
  return { label: name === null ? id : printable(name), doneBytes: doneBytes ?? 0, totalBytes };
}

function endWords({ id, name, state, newBytes }: Upload): string {
  const grew = newBytes === null ? '' : `; the store grew by ${formatBytes(newBytes)}`;
  return `${name === null ? id : `${printable(name)} (${id})`}: ${state}${grew}`;
}

function failureWords({ id, state, stateMessage }: Upload): string {
  const why = stateMessage === null || stateMessage === '' ? '' : `: ${stateMessage}`;
  return `the snapshot ${id} ended as ${state}${why}; "varve status" shows what went wrong last`;
}

async function uploadsOf(options: ConfigOptions, ids: readonly string[]): Promise<readonly Upload[]> {
  const query = new URLSearchParams(ids.map((id): [string, string] => ['id', id])).toString();
  const reply = await askServer(options, 'GET', `/uploads${query === '' ? '' : `?${query}`}`);
  const uploads: unknown =
    typeof reply === 'object' && reply !== null && 'uploads' in reply ? reply.uploads : undefined;
  if (Array.isArray(uploads) && uploads.every(isUpload)) return uploads;
  throw otherVersion();
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
