import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { AUDIT_SERIES, SERIES_NAMES } from '#api/audit-log.ts';
import { seriesFiles } from '#api/audit-series.ts';
import { systemClock } from '#base/clock.ts';

import { printable } from './table.ts';
import type { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

/** What is kept of a line until all are in order: there may be a million of them. */
interface Line {
  readonly time: string;
  readonly text: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** Throws ConfigError for a wrong command line. */
export async function auditList(words: Words): Promise<void> {
  const directory = servedDirectory({ data: words.text('data') });
  const isWanted = filterOf(words);
  const lists = await Promise.all(
    SERIES_NAMES.map((name) => linesOf(join(directory, AUDIT_SERIES[name].name), isWanted)),
  );
  const lines = lists.flat().toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  for (const line of lines)
    process.stdout.write(`${words.flag('json') ? line.text : inWords(line.time, parse(line.text) ?? {})}\n`);
}

async function linesOf(path: string, isWanted: (time: string, fields: Fields) => boolean): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for (const file of (await seriesFiles(path)).toReversed()) {
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''; // It just went.
      throw error;
    });
    for (const each of text.split('\n')) {
      const fields = parse(each);
      const time = fields?.['time'];
      if (fields !== null && typeof time === 'string' && isWanted(time, fields)) lines.push({ time, text: each });
    }
  }
  return lines;
}

/** Null: it broke off, or is about the log itself. */
function parse(text: string): Fields | null {
  if (!text.startsWith('{')) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  return 'requestId' in value || 'more' in value ? { ...value } : null;
}

function filterOf(words: Words): (time: string, fields: Fields) => boolean {
  const since = timeOf(words, 'since');
  const until = timeOf(words, 'until');
  const who = words.text('who');
  const resource = words.text('resource');
  const operation = operationOf(words.text('operation'));
  const isRefused = words.flag('refused');
  return (time, fields) => {
    if (since !== null && time < since) return false;
    if (until !== null && time >= until) return false;
    if (isRefused && fields['errorCode'] === null) return false;
    const from = [fields['principal'], fields['accessKeyId'], fields['sourceAddress']];
    if (who !== undefined && !from.some((one) => typeof one === 'string' && one.includes(who))) return false;
    if (operation !== null && !operation.test(textOf(fields['operation']))) return false;
    return resource === undefined || JSON.stringify(fields['resources'] ?? []).includes(resource);
  };
}

function operationOf(text: string | undefined): RegExp | null {
  if (text === undefined) return null;
  const parts = text.split(/\*+/).map((part) => part.replaceAll(/[^A-Za-z0-9]/g, ''));
  return new RegExp(`^${parts.join('.*')}$`, 'i');
}

const UNITS: Readonly<Record<string, number>> = { min: 60_000, h: 3_600_000, d: 86_400_000 };

/** As the lines have it; null: not given. */
function timeOf(words: Words, name: string): string | null {
  const text = words.text(name);
  if (text === undefined) return null;
  const ago = /^(?<count>[0-9]{1,6})(?<unit>min|h|d)$/.exec(text)?.groups;
  const unitMs = UNITS[ago?.['unit'] ?? ''];
  const atMs =
    ago !== undefined && unitMs !== undefined ? systemClock.nowMs() - Number(ago['count']) * unitMs : isoMs(text);
  if (!Number.isFinite(atMs))
    throw words.wrong(`--${name}: "${text}" is no time: 2026-11-21T09:30:00Z, or 36h ago as 36h`);
  return new Date(atMs).toISOString();
}

function isoMs(text: string): number {
  return /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z)?$/.test(text) ? Date.parse(text) : Number.NaN;
}

function inWords(time: string, fields: Fields): string {
  const who = textOf(fields['principal'] ?? fields['accessKeyId'] ?? fields['sourceAddress'] ?? '-');
  if (typeof fields['more'] === 'number') {
    return printable(
      `${time} ${who} and ${fields['more']} more such calls, refused: ${textOf(fields['errorCode'] ?? '-')}`,
    );
  }
  const what = `${textOf(fields['service'] ?? '-')}:${textOf(fields['operation'] ?? '-')}`;
  const resources = Array.isArray(fields['resources']) ? fields['resources'].map(textOf).join(' ') : '';
  const how = fields['errorCode'] === null ? textOf(fields['status']) : textOf(fields['errorCode']);
  return printable(`${time} ${who} ${what} ${how}${resources === '' ? '' : ` ${resources}`}`);
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
