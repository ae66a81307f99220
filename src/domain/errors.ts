import type { SnapshotId, VolumeId } from './ids.ts';

export type ResourceKind =
  | 'volume'
  | 'volume-modification'
  | 'snapshot'
  | 'instance'
  | 'instance-snapshot'
  | 'blueprint'
  | 'key-pair'
  | 'static-ip'
  | 'alarm'
  | 'contact-method'
  | 'operation'
  | 'resource';

/** `destroyed`: what the key sealed cannot be opened any more. `denied`: also a key of another account that is not there. */
export type KeyProblem = 'not-found' | 'denied' | 'disabled' | 'pending-deletion' | 'pending-import' | 'destroyed';

/**
 * Why a request was refused, as a fact in the domain's words. A face turns it into its service's code by one exhaustive
 * switch; nothing below the faces knows an AWS code.
 */
export type Failure =
  /** No such thing for this principal (also: it is another account's). `id` is as the client gave it. */
  | { readonly kind: 'not-found'; readonly resource: ResourceKind; readonly id: string }
  /** An id that does not have the form of an id. */
  | { readonly kind: 'malformed-id'; readonly resource: ResourceKind; readonly id: string }
  /** A name that is taken in its account and region. */
  | { readonly kind: 'name-taken'; readonly name: string }
  /** A value that breaks a constraint; `parameter` in the face's spelling is the face's business. */
  | { readonly kind: 'invalid-value'; readonly field: string; readonly reason: string }
  | { readonly kind: 'missing'; readonly field: string }
  | { readonly kind: 'exclusive'; readonly fields: readonly string[] }
  | { readonly kind: 'zone-not-found'; readonly zone: string }
  | { readonly kind: 'volume-type-unknown'; readonly type: string }
  /** The state does not allow it now. */
  | { readonly kind: 'wrong-state'; readonly resource: ResourceKind; readonly id: string; readonly state: string }
  | { readonly kind: 'in-use'; readonly resource: ResourceKind; readonly id: string; readonly by: string }
  /** A limit of the account or the resource. */
  | {
      readonly kind: 'limit';
      readonly limit:
        | 'volumes'
        | 'volume-gib'
        | 'provisioned-iops'
        | 'snapshots'
        | 'pending-snapshots-per-volume'
        | 'pending-snapshots'
        | 'direct-snapshots'
        | 'pending-copies'
        | 'tags'
        | 'names'
        | 'addresses'
        // Rules, policies and keys.
        | 'resources';
      readonly max: number;
    }
  | { readonly kind: 'snapshot-rate'; readonly volume: VolumeId }
  /** The volume is not modified: another modification has not ended, there were `max` in a day, or all volumes would have more than `max` GiB. */
  | {
      readonly kind: 'volume-modification';
      readonly volume: VolumeId;
      readonly why: 'in-progress';
      readonly state: string;
    }
  | {
      readonly kind: 'volume-modification';
      readonly volume: VolumeId;
      readonly why: 'rate' | 'size-limit';
      readonly max: number;
    }
  /** Nobody may do it as things are set; `what` is a sentence. */
  | { readonly kind: 'not-permitted'; readonly what: string }
  /** Nothing can be run on this computer; `reason` says what to install. */
  | { readonly kind: 'no-machines'; readonly reason: string }
  /** Machines would need more memory than this computer has left for them. */
  | { readonly kind: 'no-memory'; readonly neededMib: number; readonly leftMib: number }
  /** A KMS key that cannot be used for a volume or a snapshot. `key`: as it was given, or its ARN. */
  | { readonly kind: 'key-unusable'; readonly key: string; readonly problem: KeyProblem }
  /** The token was used with other parameters. */
  | { readonly kind: 'token-mismatch'; readonly token: string }
  | { readonly kind: 'tag-key-reserved'; readonly key: string }
  | { readonly kind: 'unrelated-snapshots'; readonly first: SnapshotId; readonly second: SnapshotId }
  | { readonly kind: 'block-token-invalid' }
  | { readonly kind: 'page-token-invalid' }
  | { readonly kind: 'checksum-mismatch' }
  /** Another request is writing the same block of the snapshot at this moment. */
  | { readonly kind: 'block-conflict'; readonly snapshot: SnapshotId; readonly index: number }
  /** CompleteSnapshot named another count of blocks than were put. */
  | {
      readonly kind: 'block-count-mismatch';
      readonly snapshot: SnapshotId;
      readonly expected: number;
      readonly given: number;
    }
  /** Known, and not built yet. */
  | { readonly kind: 'unsupported'; readonly what: string };

/** Carries a Failure out of a use case; faces catch it. */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.kind);
    this.failure = failure;
  }
}

export function refuse(failure: Failure): never {
  throw new DomainError(failure);
}
