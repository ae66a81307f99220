import type { ErrorReply } from '#wire/aws/protocol.ts';

/** An error as a client of one service reads it: code, message (never empty), status and the model's further members. */
export type AwsError = ErrorReply;

/**
 * Carries an AwsError out of a handler: for what only one face knows (DryRun, a parameter's spelling). What is true for
 * every face is a DomainError. Made only in `api/<face>/errors.ts`.
 */
export class AwsRefusal extends Error {
  override readonly name = 'AwsRefusal';
  readonly error: AwsError;

  constructor(error: AwsError) {
    super(`${error.code}: ${error.message}`);
    this.error = error;
  }
}
