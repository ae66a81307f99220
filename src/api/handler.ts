import type { ControlPorts } from '#control/ports.ts';
import type { Failure } from '#domain/errors.ts';
import type { Principal } from '#domain/principal.ts';
import type { Scope } from '#domain/volume.ts';
import type { InputOf, OperationName, OutputOf, ServiceName } from '#wire/aws/operations.ts';
import type { CallAccess } from './access/call-access.ts';
import type { AwsError } from './aws-error.ts';

/** What a handler knows of its call beside the input. The signature is verified and the region exists. */
export interface CallContext {
  readonly ports: ControlPorts;
  /** The key's account and the region of the signature. */
  readonly scope: Scope;
  readonly accessKeyId: string;
  /** Whose the key is. What the table of demands (access/demands.ts) asks is allowed to them when the handler is called. */
  readonly principal: Principal;
  /** For what a handler decides itself, by what only it knows. */
  readonly access: CallAccess;
  /** As the client sees it in `x-amzn-RequestId`. */
  readonly requestId: string;
  /** `CreateSnapshot`, as in the model. */
  readonly operation: string;
  /** `amz-sdk-invocation-id`: the same for all attempts of one call of an SDK, new for the next; null when not sent. Serves as a client token where the operation has none. */
  readonly invocationId: string | null;
  /** Aborts when the request's deadline has passed or the server stops; what a mutating call began may still complete. */
  readonly signal: AbortSignal;
}

/** One operation in AWS's words. Refuses with DomainError or AwsRefusal; everything else that it throws is the service's internal error. */
export type Handler<Input, Output> = (context: CallContext, input: Input) => Promise<Output>;

/** A handler for every operation that the face has; the model's other operations answer that they are not supported. */
export type Handlers<S extends ServiceName> = {
  readonly [O in OperationName<S>]?: Handler<InputOf<S, O>, OutputOf<S, O>>;
};

/** What was being done when a request was refused. */
export interface RefusedCall {
  readonly operation: string;
  readonly requestId: string;
}

/** One service as the server calls it. Made by `defineFace`. */
export interface Face {
  readonly service: ServiceName;
  /** A Map, so that a name sent by a client never meets Object.prototype. */
  readonly handlers: ReadonlyMap<string, Handler<unknown, unknown>>;
  /** Whether a repetition of the operation must answer what the first call did, instead of doing it again. */
  readonly mutates: (operation: string) => boolean;
  /** Refuses calls that no operation of the face takes: from a region that does not have the service. */
  readonly admit: (context: CallContext) => void;
  /** A refusal of the domain in this service's words: one exhaustive switch. */
  readonly mapFailure: (failure: Failure, call: RefusedCall) => AwsError;
}

/**
 * Makes a face from typed handlers: a handler whose input or output has the wrong shape does not compile.
 * `repeatable`: the prefixes of operations that may be done again freely (`Get`, `Describe`, `List`); all others are protected from replay.
 */
export function defineFace<S extends ServiceName>(face: {
  readonly service: S;
  readonly handlers: Handlers<S>;
  readonly repeatable: readonly string[];
  readonly admit?: (context: CallContext) => void;
  readonly mapFailure: (failure: Failure, call: RefusedCall) => AwsError;
}): Face {
  // The wire decodes an input by the same model that the types come from, so the types may be dropped here.
  const handlers = new Map(Object.entries(face.handlers) as [string, Handler<unknown, unknown>][]);
  return {
    service: face.service,
    handlers,
    mutates: (operation) => !face.repeatable.some((prefix) => operation.startsWith(prefix)),
    admit: face.admit ?? (() => {}),
    mapFailure: face.mapFailure,
  };
}
