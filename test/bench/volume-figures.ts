import { median } from './fio.ts';

/** What all sections are told. */
export interface VolumeBench {
  /** Exists, and goes away afterwards. */
  readonly directory: string;
  readonly rounds: number;
  /** How long one run of a load is. */
  readonly seconds: number;
  /** Of volumes that are filled. */
  readonly sizeGib: number;
  readonly snapshotCount: number;
  /** Of how many chunks one is written where a whole map is to be made. */
  readonly stride: number;
}

export interface Figure {
  /** Names it within its section in the last line. */
  readonly key: string;
  readonly name: string;
  readonly value: number;
  /** Empty: a ratio. */
  readonly unit: string;
  /** What it comes from. */
  readonly note?: string;
  readonly goal?: { readonly atLeast: number } | { readonly below: number } | undefined;
}

export function isMissed({ value, goal }: Figure): boolean {
  if (goal === undefined) return false;
  return !('atLeast' in goal ? value >= goal.atLeast : value < goal.below);
}

export function lineOf(figure: Figure): string {
  const { name, value, unit, note = '', goal } = figure;
  const goalText = goal === undefined ? '' : 'atLeast' in goal ? `≥ ${goal.atLeast}` : `< ${goal.below}`;
  const verdict = goal === undefined ? '' : isMissed(figure) ? 'MISSED' : 'met';
  const cells = [
    name.padEnd(52),
    `${numberText(value)} ${unit}`.padEnd(14),
    goalText.padEnd(8),
    verdict.padEnd(7),
    note,
  ];
  return `${cells.join(' ').trimEnd()}\n`;
}

/** Enough digits to compare. */
export function numberText(value: number): string {
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

/**
 * Measures two things in turns, and the second first in every other round: a machine's speed drifts between rounds more
 * than within one, and what runs first may find it warmer or colder.
 */
export async function inPairs<T>(
  rounds: number,
  first: () => Promise<T>,
  second: () => Promise<T>,
): Promise<readonly (readonly [T, T])[]> {
  const pairs: [T, T][] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) {
      const one = await first();
      pairs.push([one, await second()]);
    } else {
      const two = await second();
      pairs.push([await first(), two]);
    }
  }
  return pairs;
}

/** Median of the pairs' ratios, second to first. */
export function medianRatio(pairs: readonly (readonly [number, number])[]): number {
  return median(pairs.map(([first, second]) => second / first));
}

/** The value below which `share` of them are. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Requests or bytes a second, whichever says more at this size. */
export function speedText(blockBytes: number, bytesPerSecond: number): string {
  return blockBytes <= 4096
    ? `${(bytesPerSecond / blockBytes / 1000).toFixed(1)} k/s`
    : `${(bytesPerSecond / 1e9).toFixed(2)} GB/s`;
}

/** `2 s, 1 s` of the median of each side. */
export function speedsText(
  blockBytes: number,
  pairs: readonly (readonly [number, number])[],
): readonly [string, string] {
  return [
    speedText(blockBytes, median(pairs.map(([first]) => first))),
    speedText(blockBytes, median(pairs.map(([, second]) => second))),
  ];
}
