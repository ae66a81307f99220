import { findKeptReply, keepReply, openBody, sealBody } from '#control/kept-replies.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { type Answer, answerOf } from './answer.ts';
import type { CallContext } from './handler.ts';

/**
 * Creations whose repetition must find the first result after a restart of the server, too, and that record no token of the
 * call with what they make: their answer is kept in the metadata. Those of volumes, snapshots and disks, of users, roles,
 * policies and access keys record the call itself, in the transaction that makes them.
 */
const KEPT: ReadonlySet<string> = new Set([
  'dlm:CreateLifecyclePolicy',
  'ec2:CreateSnapshots',
  'kms:CreateGrant',
  'kms:CreateKey',
  'rbin:CreateRule',
]);

/** As long as SDKs may repeat a call, with a restart in between. */
const KEEP_MS = 60 * 60_000;

export function isKept(service: ServiceName, operation: string): boolean {
  return KEPT.has(`${service}:${operation}`);
}

/** The answer that an earlier server gave to the call `key`, else what `perform` answers, which is kept when it succeeded. */
export async function answerDurably(
  { ports, scope, requestId, operation }: CallContext,
  key: string,
  perform: () => Promise<Answer>,
): Promise<Answer> {
  const known = await findKeptReply(ports, scope, key);
  const body = known === null ? null : openBody(ports, known);
  if (known !== null && body !== null && ports.time.earliestMs() - known.atMs < KEEP_MS) {
    const { status, headers } = known;
    return answerOf({ status, headers, body }, known.requestId, null);
  }
  const answer = await perform();
  const { status, headers } = answer.reply;
  if (status >= 300) return answer;
  const kept = {
    id: key,
    atMs: ports.time.latestMs(),
    requestId,
    status,
    headers,
    sealedBody: sealBody(ports, key, answer.reply.body),
  };
  try {
    await keepReply(ports, scope, kept, KEEP_MS);
  } catch (error) {
    // It is done all the same: memory still knows the answer.
    ports.log.warn('an answer was not kept for a repetition', { requestId, operation, error });
  }
  return answer;
}
