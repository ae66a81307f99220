import { systemClock } from '#base/clock.ts';

// What the demonstrations print.

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Says a fact that is so; throws one that is not. */
export function check(condition: boolean, fact: string): void {
  if (!condition) throw new Error(`NOT TRUE: ${fact}`);
  say(`   ✓ ${fact}`);
}

/** Says how long it took. */
export async function timed<R>(what: string, work: () => Promise<R>): Promise<R> {
  const startMs = systemClock.monotonicMs();
  const result = await work();
  say(`   ${what}: ${((systemClock.monotonicMs() - startMs) / 1000).toFixed(2)} s`);
  return result;
}
