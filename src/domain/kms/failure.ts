/** Why KMS refused a request, as a fact. Its face turns it into an AWS code by one exhaustive switch. */
export type KmsFailure =
  /** `key`: its ARN where it is known, else as the client gave it. */
  | { readonly kind: 'key-not-found'; readonly key: string }
  | { readonly kind: 'alias-not-found'; readonly alias: string }
  | { readonly kind: 'malformed-key-id'; readonly id: string }
  | { readonly kind: 'malformed-arn'; readonly arn: string }
  /** An ARN of a region that is not the request's. */
  | { readonly kind: 'other-region'; readonly region: string }
  | { readonly kind: 'alias-name'; readonly name: string }
  /** A name that begins like those of keys of services. */
  | { readonly kind: 'alias-reserved'; readonly name: string }
  | { readonly kind: 'alias-taken'; readonly alias: string }
  | { readonly kind: 'disabled'; readonly key: string }
  /** The key's state does not allow the request: `is pending deletion`, `is pending import`, `is not pending deletion`. */
  | { readonly kind: 'key-state'; readonly key: string; readonly state: string }
  | {
      readonly kind: 'denied';
      readonly principal: string;
      readonly action: string;
      readonly resource: string;
      /** `unseen`: another account's key, which may not even be there. */
      readonly by: 'explicit' | 'nothing-allows' | 'unseen';
    }
  /** Another key than the one that sealed the ciphertext. */
  | { readonly kind: 'wrong-key' }
  /** Not a ciphertext of ours, damaged, or of another encryption context. */
  | { readonly kind: 'ciphertext' }
  /** A ciphertext of a key that the caller does not see. */
  | { readonly kind: 'ciphertext-unseen' }
  | { readonly kind: 'policy'; readonly reason: string }
  | { readonly kind: 'tag'; readonly reason: string }
  | { readonly kind: 'limit'; readonly what: string; readonly max: number }
  | { readonly kind: 'grant-token' }
  | { readonly kind: 'grant-not-found'; readonly grant: string }
  | { readonly kind: 'import-token'; readonly isExpired: boolean }
  | { readonly kind: 'import-material'; readonly reason: string }
  | { readonly kind: 'unsupported'; readonly reason: string }
  | { readonly kind: 'invalid'; readonly reason: string }
  /** A dry run: everything allows the request. */
  | { readonly kind: 'would-succeed' };

export class KmsError extends Error {
  override readonly name = 'KmsError';
  readonly failure: KmsFailure;

  constructor(failure: KmsFailure) {
    super(failure.kind);
    this.failure = failure;
  }
}

export function refuseKms(failure: KmsFailure): never {
  throw new KmsError(failure);
}
