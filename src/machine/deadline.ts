import type { Clock } from '#base/clock.ts';

/** The promise's outcome, or `late`'s error when it has none within `timeoutMs`. What it does after that is lost. */
export async function within<T>(clock: Clock, timeoutMs: number, promise: Promise<T>, late: () => Error): Promise<T> {
  const done = new AbortController();
  const over = clock.sleep(timeoutMs, done.signal).then(
    () => {
      throw late();
    },
    (): never => {
      throw late(); // The promise was first: nobody looks at this.
    },
  );
  over.catch(() => {});
  try {
    return await Promise.race([promise, over]);
  } finally {
    done.abort();
  }
}

/** Asks again and again until the answer is not null; null when it still is after `timeoutMs`. */
export async function poll<T>(
  clock: Clock,
  options: { readonly timeoutMs: number; readonly everyMs: number },
  ask: () => Promise<T | null>,
): Promise<T | null> {
  const untilMs = clock.monotonicMs() + options.timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null || clock.monotonicMs() >= untilMs) return answer;
    await clock.sleep(options.everyMs);
  }
}
