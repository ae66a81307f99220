import type { Clock } from '#base/clock.ts';

/** Redrawn at most so often. */
const REDRAW_MS = 200;
const BAR_WIDTH = 24;
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** A progress bar on one line of a terminal; writes nothing anywhere else. */
export class Progress implements Disposable {
  readonly #stream: NodeJS.WriteStream;
  readonly #clock: Clock;
  readonly #label: string;
  /** Null: nobody knows. */
  readonly #totalBytes: number | null;
  readonly #startedMs: number;
  #drawnMs = -Infinity;
  #drawn = false;

  constructor(options: {
    readonly label: string;
    readonly totalBytes: number | null;
    readonly clock: Clock;
    readonly stream?: NodeJS.WriteStream;
  }) {
    this.#stream = options.stream ?? process.stderr;
    this.#clock = options.clock;
    this.#label = options.label;
    this.#totalBytes = options.totalBytes;
    this.#startedMs = options.clock.monotonicMs();
  }

  /** How far it has come: bytes from the beginning. */
  at(bytes: number): void {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#stream.isTTY || nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    this.#drawn = true;
    this.#stream.write(`\r\u001B[K${progressLine(this.#label, bytes, this.#totalBytes, nowMs - this.#startedMs)}`);
  }

  /** Clears the line. */
  [Symbol.dispose](): void {
    if (this.#drawn) this.#stream.write('\r\u001B[K');
    this.#drawn = false;
  }
}

/** `exporting  [======>       ]  31%  1.2 of 4 GiB  812 MiB/s  0:03 left`. `sinceBytes`: what had come before the time that elapsed. */
export function progressLine(
  label: string,
  bytes: number,
  totalBytes: number | null,
  elapsedMs: number,
  sinceBytes = 0,
): string {
  const perSecond = elapsedMs > 0 ? ((bytes - sinceBytes) * 1000) / elapsedMs : 0;
  const rate = `${formatBytes(perSecond)}/s`;
  if (totalBytes === null) return `${label}  ${formatBytes(bytes)}  ${rate}`;
  const fraction = totalBytes === 0 ? 1 : Math.min(1, bytes / totalBytes);
  const filled = Math.floor(fraction * BAR_WIDTH);
  const bar = `${'='.repeat(filled)}${filled < BAR_WIDTH ? '>' : ''}`.padEnd(BAR_WIDTH);
  const left = perSecond > 0 ? `  ${formatDuration((totalBytes - bytes) / perSecond)} left` : '';
  const percent = `${Math.floor(fraction * 100)}%`.padStart(4);
  return `${label}  [${bar}] ${percent}  ${formatBytes(bytes)} of ${formatBytes(totalBytes)}  ${rate}${left}`;
}

/** `4 GiB`, `1.2 MiB`, `512 B`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = unit === 0 || value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
  return `${text.replace(/\.0$/, '')} ${UNITS[unit]}`;
}

/** `0:07`, `12:30`, `3:05:00`. */
function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
