import { DomainError, type Failure } from '#domain/errors.ts';

/** Why some work was refused, for people; null: it was done, or what it is about is gone, so there is nothing to do. */
export async function attempt(about: string, work: () => Promise<void>): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return error.failure.kind === 'not-found' ? null : troubleOf(about, error.failure);
  }
}

export function troubleOf(about: string, failure: Failure): string {
  return `${about}: ${inWords(failure)}`;
}

function inWords(failure: Failure): string {
  const { kind } = failure;
  if (kind === 'limit') return `at most ${failure.max} ${failure.limit} are allowed`;
  if (kind === 'wrong-state') return `it is ${failure.state}`;
  if (kind === 'not-permitted') return failure.what;
  if (kind === 'key-unusable') return `the key ${failure.key} cannot be used: ${failure.problem}`;
  if (kind === 'zone-not-found') return `there is no zone ${failure.zone}`;
  return kind;
}
