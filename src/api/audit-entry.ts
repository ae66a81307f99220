import { loadModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { Arrival } from './access/call-access.ts';
import type { Input } from './access/demand.ts';
import type { AuditEntry } from './audit.ts';
import type { Dispatched } from './dispatch.ts';
import { redacted } from './redact.ts';

export function auditEntry(dispatched: Dispatched, arrival: Arrival, durationMs: number): AuditEntry {
  const { answer, service, operation, accessKeyId, principal, region, note } = dispatched;
  return {
    requestId: answer.requestId,
    principal: principal?.arn ?? null,
    account: principal?.account ?? null,
    accessKeyId: accessKeyId?.slice(0, 128) ?? null,
    sourceAddress: arrival.sourceAddress,
    userAgent: arrival.userAgent?.slice(0, 512) ?? null,
    service,
    operation: operation?.slice(0, 128) ?? null,
    region,
    resources: namesOf(note?.verdict?.resources ?? []),
    decision: decisionOf(dispatched),
    errorCode: answer.code,
    status: answer.reply.status,
    durationMs: Math.round(durationMs * 1000) / 1000,
    parameters: parametersOf(service, operation, note?.input ?? null),
  };
}

/** As much as says what was meant: who sends long requests must not drive the log out of its files. */
const RESOURCES_MAX = 50;
const RESOURCE_CHARACTERS_MAX = 256;

function namesOf(resources: readonly string[]): readonly string[] {
  const named = resources
    .slice(0, RESOURCES_MAX)
    .map((arn) => (arn.length > RESOURCE_CHARACTERS_MAX ? `${arn.slice(0, RESOURCE_CHARACTERS_MAX)}…` : arn));
  const more = resources.length - named.length;
  return more === 0 ? named : [...named, `and ${more} more`];
}

/** What a handler refused itself, as KMS does by a key's policy, is a denial, too. */
function decisionOf({ principal, note, answer }: Dispatched): AuditEntry['decision'] {
  if (principal === null) return 'unauthenticated';
  const decision = note?.verdict?.decision ?? 'none';
  return decision === 'allowed' && DENIED.test(answer.code ?? '') ? 'implicit-deny' : decision;
}

const DENIED = /^(?:AccessDenied|UnauthorizedOperation)/;

/** Reading changes nothing, and happens the most: who read what, the resources say. */
const READING = /^(?:Get|List|Describe|Is)/;

function parametersOf(service: ServiceName | null, operation: string | null, input: Input | null): unknown {
  if (service === null || operation === null || input === null || READING.test(operation)) return null;
  const model = loadModel(service);
  const shape = model.operations.get(operation)?.input;
  return shape === undefined ? {} : redacted(model, shape, input);
}
