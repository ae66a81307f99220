/** A broken invariant: our own mistake, never a user's. The process logs it and stops. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** States an invariant in words. Throws AssertionError when it does not hold. */
export function assert(condition: boolean, fact: string): asserts condition {
  if (!condition) throw new AssertionError(`broken invariant: ${fact}`);
}

/** The value, asserted to be present. */
export function present<T>(value: T | null | undefined, fact: string): T {
  assert(value !== null && value !== undefined, fact);
  return value;
}

/** The end of an exhaustive switch: compiles only when every case was handled. */
export function unreachable(value: never): never {
  throw new AssertionError(`broken invariant: unexpected ${JSON.stringify(value)}`);
}
