import type { Verdict } from './access/authorize.ts';
import type { Input } from './access/demand.ts';

/** What is learned of a call while it is performed, for the audit log. */
export class CallNote {
  /** Null: it could not be decoded. */
  input: Input | null = null;
  /** Null: it was not decided. */
  verdict: Verdict | null = null;
}
