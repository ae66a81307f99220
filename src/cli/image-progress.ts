const BAR_WIDTH = 24;
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

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
