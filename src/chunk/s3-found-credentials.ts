import type { Credentials } from '#wire/aws/sigv4-sign.ts';

/** Credentials from one of the usual places. */
export interface FoundCredentials extends Credentials {
  /** Milliseconds since 1970; null: they do not expire, or their place does not say. */
  readonly expiresMs: number | null;
  /** For people: `the environment`. */
  readonly from: string;
}

/** There are none, or those that there should be cannot be had. The message is for whoever runs the server. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
  readonly retryable: boolean;

  constructor(message: string, options: ErrorOptions & { readonly retryable: boolean }) {
    super(message, options);
    this.retryable = options.retryable;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;
