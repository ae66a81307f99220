export type Entity =
  | 'user'
  | 'role'
  | 'policy'
  | 'policy version'
  | 'access key'
  | 'inline policy'
  | 'attachment'
  | 'boundary';

/** Why a request about users, roles and policies was refused. */
export type IdentityFailure =
  | { readonly kind: 'no-entity'; readonly entity: Entity; readonly name: string }
  | { readonly kind: 'exists'; readonly entity: Entity; readonly name: string }
  | { readonly kind: 'malformed-policy'; readonly reason: string }
  /** Something still hangs on it. */
  | { readonly kind: 'conflict'; readonly reason: string }
  | { readonly kind: 'quota'; readonly what: string; readonly max: number }
  /** A value that breaks a rule; `reason` in words. */
  | { readonly kind: 'invalid-input'; readonly reason: string }
  /** A value of the wrong form. */
  | { readonly kind: 'invalid-form'; readonly field: string; readonly value: string; readonly constraint: string }
  /** A session that would last longer than its role allows. */
  | { readonly kind: 'too-long'; readonly reason: string }
  /** Session policies and tags that do not fit a session token. */
  | { readonly kind: 'too-large'; readonly percent: number }
  /** Not to be done to this, whoever asks. */
  | { readonly kind: 'unmodifiable'; readonly reason: string };

/** Carries an IdentityFailure to the faces of IAM and STS. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError';
  readonly failure: IdentityFailure;

  constructor(failure: IdentityFailure) {
    super(failure.kind);
    this.failure = failure;
  }
}

export function refuseIdentity(failure: IdentityFailure): never {
  throw new IdentityError(failure);
}

export function noEntity(entity: Entity, name: string): never {
  return refuseIdentity({ kind: 'no-entity', entity, name });
}
