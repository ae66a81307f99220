import type { Affected, ByteRange, Damage, VerifyReport } from '#snapshot/verify-report.ts';

import { formatBytes } from './image-progress.ts';

/** Ranges of one snapshot on one line; more are counted. --json has them all. */
const RANGES_SHOWN = 8;

/** What a verification found, for a person. */
export function* reportLines(report: VerifyReport, durationMs: number): Generator<string> {
  for (const [number, damage] of report.damages.entries()) yield* damageLines(number + 1, damage);
  if (report.damageCount > report.damages.length) {
    yield `and ${report.damageCount - report.damages.length} damages more`;
  }
  for (const key of report.strangers) yield `not of this store, and left alone: ${key}`;
  const { snapshots, packs, chunks, deltas, nodes, underDataKeys } = report.counts;
  yield `snapshots ${snapshots}, packs ${packs}, chunks ${chunks}, deltas ${deltas}, tree nodes ${nodes}`;
  const seconds = durationMs / 1000;
  const rate = seconds > 0 ? `, ${formatBytes(report.bytes / seconds)}/s` : '';
  yield `${formatBytes(report.bytes)} read in ${seconds.toFixed(1)} s${rate}`;
  if (underDataKeys > 0) {
    yield `${underDataKeys} chunks and deltas are sealed under data keys of KMS: each is whole as sealed, and what is in it was not looked at`;
  }
  yield report.damageCount === 0 ? 'all is whole' : `damages: ${report.damageCount}`;
}

function* damageLines(number: number, damage: Damage): Generator<string> {
  const where = damage.object === '' ? '' : ` in ${damage.object}${damage.place === null ? '' : placeOf(damage.place)}`;
  yield `damage ${number}: ${damage.what}${where}`;
  yield `  ${damage.message}`;
  for (const affected of damage.affects) yield `  affects ${affectedWords(affected)}`;
  if (damage.affects.length === 0 && damage.what !== 'manifest') yield '  affects nothing live';
}

function placeOf({ offset, length }: ByteRange): string {
  return `, bytes ${offset} to ${offset + length - 1}`;
}

function affectedWords({ kind, id, ranges, rangeCount, bytes }: Affected): string {
  const shown = ranges
    .slice(0, RANGES_SHOWN)
    .map(({ offset, length }) => `${offset} to ${offset + length - 1}`)
    .join(', ');
  const more = rangeCount > RANGES_SHOWN ? ` and ${rangeCount - RANGES_SHOWN} ranges more` : '';
  const of = kind === 'volume' ? `the origin of volume ${id}` : id;
  return `${of}: ${formatBytes(bytes)}, bytes ${shown}${more}`;
}
