import type { Failure } from '#domain/errors.ts';
import type { AwsError } from './aws-error.ts';

type FailureOf<K extends Failure['kind']> = Extract<Failure, { readonly kind: K }>;

/** What a service says of the kinds of failure that its own resources can meet. */
export type FailureWords = {
  readonly [K in Failure['kind']]?: (failure: FailureOf<K>) => AwsError;
};

/** For a service that knows few kinds of failure; `otherwise` says the rest, which only other services' resources meet. */
export function failureMap(
  words: FailureWords,
  otherwise: (message: string) => AwsError,
): (failure: Failure) => AwsError {
  return (failure) => {
    // The entry of a kind takes the failures of that kind; TypeScript does not follow that through the index.
    const say = words[failure.kind] as ((failure: Failure) => AwsError) | undefined;
    return say?.(failure) ?? otherwise(`The request is not valid: ${failure.kind}.`);
  };
}
