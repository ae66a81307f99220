/**
 * What a codec finds wrong with a request. The words of the service (code, status, message) come from `encodeWireError`.
 *
 * - `missing`: a required member is absent.
 * - `unknown-parameter`: the query protocols name something that the operation does not have. JSON ignores such members.
 * - `wrong-type`: a string where a number must be, an object where a list must be.
 * - `invalid`: of the right type, and against a constraint of the model (length, range, pattern, enum).
 * - `malformed`: not JSON, not a form, not UTF-8, too deep, too many parameters.
 */
export type WireErrorKind = 'missing' | 'unknown-parameter' | 'wrong-type' | 'invalid' | 'malformed';

export class WireError extends Error {
  override readonly name = 'WireError';
  readonly kind: WireErrorKind;
  /** Where, in the words of the protocol: `Filter.1.Name`, `tags.3.key`, `x-amz-Data-Length`; '' for the whole request. */
  readonly member: string;
  /** A full sentence, in the wording of AWS where it is known. Never holds the value of a sensitive member. */
  readonly reason: string;

  constructor(kind: WireErrorKind, member: string, reason: string) {
    super(reason);
    this.kind = kind;
    this.member = member;
    this.reason = reason;
  }
}
