/** One call, as the audit log keeps it. No value of a request that may be secret is in it. */
export interface AuditEntry {
  readonly requestId: string;
  /** ARN of who called; null: nobody could be made out. */
  readonly principal: string | null;
  readonly account: string | null;
  /** As the request says; nothing but the id. */
  readonly accessKeyId: string | null;
  readonly sourceAddress: string | null;
  readonly userAgent: string | null;
  readonly service: string | null;
  readonly operation: string | null;
  readonly region: string | null;
  readonly resources: readonly string[];
  /** `unauthenticated`: the signature was refused; `none`: nothing was decided. */
  readonly decision: 'allowed' | 'explicit-deny' | 'implicit-deny' | 'unauthenticated' | 'none';
  /** Null: it succeeded. */
  readonly errorCode: string | null;
  readonly status: number;
  readonly durationMs: number;
  /** Of calls that change something: the input, its sensitive values redacted. Null for others. */
  readonly parameters: unknown;
}

export interface Audit {
  /** Null: the reply may go at once. Else it waits, which is not for long: never throws, never rejects. */
  record(entry: AuditEntry): Promise<void> | null;
}

export const silentAudit: Audit = { record: () => null };
