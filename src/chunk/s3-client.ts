import { setImmediate as nextTurn } from 'node:timers/promises';
import { createHash } from 'node:crypto';

import { assert } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { HeaderList } from '#wire/aws/http.ts';
import { signRequest } from '#wire/aws/sigv4-sign.ts';

import { ObjectStoreError } from './object-store.ts';
import type { S3Answer } from './s3-answer.ts';
import type { CredentialSource } from './s3-credentials.ts';
import { CredentialsError } from './s3-found-credentials.ts';
import { S3Http } from './s3-http.ts';
import { addressOf, type S3Address, type S3Location } from './s3-location.ts';
import { type S3Trouble, toStoreError, troubleOfAnswer, troubleOfError } from './s3-trouble.ts';
import { Turns } from './s3-turns.ts';

/** Puts of packs at once: each holds its 16 MiB. */
const PUTS_MAX = 8;
/** Everything else at once; apart from the puts, so that a cold read does not wait behind an upload. */
const OTHERS_MAX = 32;
/** The longest that an answer is waited for once the server stops. */
const HURRY_MS = 5_000;
const BACKOFF_MS_MIN = 100;
/** For a store that asks for less: it has more to recover from than one request. */
const BACKOFF_MS_MIN_SLOW_DOWN = 500;
const BACKOFF_MS_MAX = 5_000;
/** Bytes hashed in one turn of the event loop: about half a millisecond. */
const HASH_BYTES = 256 * 1024;

export interface S3ClientOptions {
  readonly location: S3Location;
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** An attempt in which nothing moves for so long is given up and made again. */
  readonly stallMs?: number;
  /** From when on a request that failed is not tried again. A minute's absence of the store is outlived; a read that waits longer fails. */
  readonly giveUpMs?: number;
}

export const STALL_MS = 10_000;
export const GIVE_UP_MS = 120_000;

export interface S3Request {
  /** For errors: `put packs/…`. */
  readonly doing: string;
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** Whole, with the prefix; null: the bucket itself. */
  readonly key: string | null;
  /** `name=value` pairs, encoded. */
  readonly query?: string;
  readonly headers?: HeaderList;
  readonly body?: readonly Uint8Array[];
  readonly answerBytes?: number;
  /** Asked before each attempt. Throws ObjectStoreError when none may be made any more; an S3RequestError is trouble of the attempt. */
  readonly allowed?: () => Promise<void>;
  /** Part of an attempt of another request, in whose turn it is made, and which is made again if need be. */
  readonly isPart?: boolean;
  /** Answers that are given back; every other is trouble. */
  readonly accept: (answer: S3Answer) => boolean;
}

export interface S3Result {
  readonly answer: S3Answer;
  /** An earlier attempt got no clear answer: it may have been done. */
  readonly inDoubt: boolean;
}

/** A request that was given up. */
export class S3RequestError extends ObjectStoreError {
  readonly trouble: S3Trouble;
  /** It may have been done, or may be done yet. */
  readonly inDoubt: boolean;

  constructor(error: ObjectStoreError, trouble: S3Trouble, inDoubt: boolean) {
    super(error.message, { cause: error.cause, retryable: error.retryable });
    this.trouble = trouble;
    this.inDoubt = inDoubt;
  }
}

/**
 * Signed requests to one bucket, each made again until it is answered or given up.
 *
 *   wait for a turn → still allowed? → sign → one attempt → answered: done
 *                       ↑                → may pass: pause (full jitter, growing), unless `giveUpMs` are over
 *                       └────────────────→ credentials are stale: read them anew, once
 *
 * Every attempt is signed anew, since a signature is good for minutes only.
 */
export class S3Client implements Disposable {
  readonly location: S3Location;
  readonly #options: S3ClientOptions;
  readonly #address: S3Address;
  readonly #http: S3Http;
  readonly #giveUpMs: number;
  readonly #puts = new Turns(PUTS_MAX);
  readonly #others = new Turns(OTHERS_MAX);
  readonly #closing = new AbortController();
  /** Aborted: nothing is tried again. */
  readonly #hurrying = new AbortController();
  /** When the store was first heard of as being away; null: it answers. Logged once each. */
  #awaySinceMs: number | null = null;

  constructor(options: S3ClientOptions) {
    this.location = options.location;
    this.#options = options;
    this.#giveUpMs = options.giveUpMs ?? GIVE_UP_MS;
    this.#address = addressOf(options.location);
    this.#http = new S3Http({
      address: this.#address,
      connectionCountMax: PUTS_MAX + OTHERS_MAX,
      stallMs: options.stallMs ?? STALL_MS,
      clock: options.clock,
    });
  }

  /** Throws S3RequestError. */
  async request(request: S3Request): Promise<S3Result> {
    if (request.isPart === true) return await this.#untilAnswered(request);
    const turns = request.body === undefined ? this.#others : this.#puts;
    return await turns.run(() => this.#untilAnswered(request));
  }

  /**
   * Whoever uses the store is stopping: from now on nothing is tried again, and what is on its way has HURRY_MS to be answered.
   */
  hurry(): void {
    if (this.#hurrying.signal.aborted) return;
    this.#hurrying.abort(closing());
    void this.#options.clock.sleep(HURRY_MS, this.#closing.signal).then(
      () => this.#closing.abort(closing()),
      () => {},
    );
  }

  /** Waits, unless the store is being closed: then throws ObjectStoreError. */
  async pause(durationMs: number): Promise<void> {
    await this.#options.clock.sleep(durationMs, this.#hurrying.signal);
  }

  /** Ends what is on its way. */
  [Symbol.dispose](): void {
    this.#closing.abort(closing());
    this.#hurrying.abort(closing());
    this.#http[Symbol.dispose]();
  }

  async #untilAnswered(request: S3Request): Promise<S3Result> {
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    let inDoubt = false;
    let isRenewed = false;
    for (let attempts = 1; ; attempts += 1) {
      const outcome = await this.#attempt(request);
      if ('answer' in outcome) {
        this.#heard();
        return { answer: outcome.answer, inDoubt };
      }
      const { trouble } = outcome;
      inDoubt ||= trouble.inDoubt;
      if (request.isPart === true) {
        throw new S3RequestError(toStoreError(request.doing, trouble, attempts), trouble, inDoubt);
      }
      if (trouble.remedy === 'credentials' && !isRenewed) {
        this.#options.credentials.forget();
        isRenewed = true;
        continue;
      }
      const pauseMs = this.#pauseMs(trouble, attempts);
      const isOver = clock.monotonicMs() - startMs + pauseMs >= this.#giveUpMs;
      const isPassing = trouble.remedy === 'again' || trouble.remedy === 'slow-down';
      if (!isPassing || isOver || this.#hurrying.signal.aborted) {
        throw new S3RequestError(toStoreError(request.doing, trouble, attempts), trouble, inDoubt);
      }
      this.#missed(request, trouble);
      // Woken up, it makes its last attempt.
      await clock.sleep(pauseMs, this.#hurrying.signal).catch(() => {});
      if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
    }
  }

  async #attempt(request: S3Request): Promise<{ readonly answer: S3Answer } | { readonly trouble: S3Trouble }> {
    const signal = this.#closing.signal;
    try {
      await request.allowed?.();
      const { target, headers } = await this.#signed(request);
      const { method, body = [], answerBytes = 0 } = request;
      const answer = await this.#http.send({ method, target, headers, body, answerBytes }, signal);
      if (request.accept(answer)) return { answer };
      return { trouble: troubleOfAnswer(answer, this.#options.clock.nowMs()) };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      // Nothing was asked yet.
      if (error instanceof S3RequestError) return { trouble: { ...error.trouble, inDoubt: false } };
      if (error instanceof ObjectStoreError) throw error;
      if (error instanceof CredentialsError) {
        const remedy = error.retryable ? 'again' : 'never';
        return { trouble: { why: error.message, remedy, inDoubt: false, code: null, cause: error.cause } };
      }
      return { trouble: troubleOfError(error) };
    }
  }

  async #signed(request: S3Request): Promise<{ readonly target: string; readonly headers: HeaderList }> {
    const { basePath, host } = this.#address;
    const path = request.key === null ? basePath || '/' : `${basePath}/${request.key}`;
    const { query = '', method } = request;
    const headers = signRequest({ method, path, query, headers: [['Host', host], ...(request.headers ?? [])] }, null, {
      credentials: await this.#options.credentials.get(this.#closing.signal),
      region: this.location.region,
      service: 's3',
      nowMs: this.#options.clock.nowMs(),
    });
    return { target: query === '' ? path : `${path}?${query}`, headers };
  }

  /** Full jitter: anything up to a bound that doubles, so that those who failed together do not come back together. */
  #pauseMs(trouble: S3Trouble, attempts: number): number {
    const minMs = trouble.remedy === 'slow-down' ? BACKOFF_MS_MIN_SLOW_DOWN : BACKOFF_MS_MIN;
    const boundMs = Math.min(BACKOFF_MS_MAX, minMs * 2 ** Math.min(attempts - 1, 16));
    return (boundMs * this.#options.random.bytes(4).readUInt32LE(0)) / 0x1_0000_0000;
  }

  #missed(request: S3Request, trouble: S3Trouble): void {
    if (this.#awaySinceMs !== null) return;
    this.#awaySinceMs = this.#options.clock.monotonicMs();
    this.#options.log.warn('s3.trouble', {
      doing: request.doing,
      why: trouble.why,
      ...(trouble.cause === undefined ? {} : { error: trouble.cause }),
    });
  }

  #heard(): void {
    if (this.#awaySinceMs === null) return;
    const awayMs = Math.round(this.#options.clock.monotonicMs() - this.#awaySinceMs);
    this.#awaySinceMs = null;
    this.#options.log.info('s3.answers-again', { awayMs });
  }
}

function closing(): ObjectStoreError {
  return new ObjectStoreError('the object store is closed', { retryable: true });
}

/** The value of Content-MD5: the one check of a body that every store makes. Gives way to others while it is computed. */
export async function contentMd5(parts: readonly Uint8Array[]): Promise<string> {
  const hash = createHash('md5');
  for (const part of parts) {
    for (let at = 0; at < part.length; at += HASH_BYTES) {
      if (at > 0) await nextTurn();
      hash.update(part.subarray(at, at + HASH_BYTES));
    }
  }
  return hash.digest('base64');
}

/** Encodes a value of a query as signatures want it. */
export function queryValue(text: string): string {
  const encoded = encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  assert(/^[A-Za-z0-9_.~%-]*$/.test(encoded), 'a value of a query is encoded');
  return encoded;
}
