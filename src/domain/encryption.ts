/** How a volume or a snapshot is encrypted with a key of KMS. */
export interface Encryption {
  /** Full ARN of the KMS key that seals the data key, also when an alias was given. */
  readonly keyArn: string;
  /** `uuid`; equal for volumes and snapshots that share the same data key: one lineage. */
  readonly dataKeyId: string;
  /** The data key, sealed by the KMS key: what `Decrypt` takes, base 64. */
  readonly sealedKey: string;
}
