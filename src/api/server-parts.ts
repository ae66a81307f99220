import type { CallerLookup } from '#control/identity/callers.ts';
import type { KeyUses } from '#control/identity/key-uses.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { Answer } from './answer.ts';
import type { Audit } from './audit.ts';
import type { BodyBudget } from './body.ts';
import type { Face } from './handler.ts';
import type { ApiLimits } from './limits.ts';
import type { Replay } from './replay.ts';

/** What answering a request needs: one record for the life of the server. */
export interface ServerParts {
  readonly ports: ControlPorts;
  readonly faces: ReadonlyMap<ServiceName, Face>;
  readonly findCaller: (accessKeyId: string, sessionToken: string | null) => Promise<CallerLookup>;
  readonly uses: KeyUses;
  readonly audit: Audit;
  readonly limits: ApiLimits;
  readonly bodies: BodyBudget;
  readonly anonymousBodies: BodyBudget;
  readonly replay: Replay<Answer>;
  /** Calls being performed. */
  readonly running: Set<Promise<Answer>>;
  /** Aborts when the server gives up waiting for its calls. */
  readonly stopping: AbortSignal;
  /** A broken invariant was met: the process should stop. */
  readonly onBroken: (error: unknown) => void;
}
