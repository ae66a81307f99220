const DURATIONS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
] as const;

/** The two largest units: `3 d 4 h`, `12 min 5 s`, `0 s`. */
export function durationWords(ms: number): string {
  let seconds = Math.max(0, Math.floor(ms / 1000));
  const parts: string[] = [];
  for (const [unit, unitSeconds] of DURATIONS) {
    const whole = Math.floor(seconds / unitSeconds);
    if (whole > 0) parts.push(`${whole} ${unit}`);
    seconds -= whole * unitSeconds;
  }
  parts.push(`${seconds} s`);
  return parts.slice(0, 2).join(' ');
}
