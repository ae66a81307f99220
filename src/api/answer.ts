import type { HttpReply } from '#wire/aws/http.ts';

/** A reply and what the server must know of it. */
export interface Answer {
  readonly reply: HttpReply;
  readonly requestId: string;
  /** The code of an error, for the log. */
  readonly code: string | null;
  /** It says what is so: a repetition of the call may be told the same. Not so for trouble and for "try again". */
  readonly final: boolean;
  /** What keeping it costs. */
  readonly bytes: number;
}

export function answerOf(reply: HttpReply, requestId: string, code: string | null): Answer {
  const { status } = reply;
  const final = status < 500 && status !== 429 && status !== 408 && !(code !== null && AGAIN.test(code));
  return { reply, requestId, code, final, bytes: reply.body.length + HEAD_BYTES };
}

/** Headers and bookkeeping of a kept answer, about. */
const HEAD_BYTES = 512;

/** Codes that mean "not now": a repetition must be tried, not told the same. */
const AGAIN = /Throttl|RateExceeded|RequestLimitExceeded|SlowDown|TooManyRequests/;
