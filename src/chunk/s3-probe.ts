import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';

import { ObjectStoreError } from './object-store.ts';
import { errorBodyOf, listPageOf, type S3Answer } from './s3-answer.ts';
import { contentMd5, queryValue, type S3Client, type S3Request } from './s3-client.ts';
import { describeLocation } from './s3-location.ts';

/** Names of the probe's objects begin with a dot: no object key does, so no listing of ours ever shows what a crash left. */
const PROBE_NAME = '.probe-';
/** Large enough that a server that stores the framing of chunks with the data, or cuts something off, shows it. */
const PROBE_BYTES = 70_000;

/** Of status 400, and not about what was asked. */
const UNCLEAR = new Set(['RequestTimeout', 'IncompleteBody', 'ExpiredToken', 'AuthorizationHeaderMalformed']);

export interface S3Findings {
  /** A put with `If-None-Match: *` is refused where there is an object. */
  readonly conditionalPut: boolean;
  /** A body that does not match its Content-MD5 is refused. */
  readonly checksMd5: boolean;
}

/**
 * Finds out before anything depends on it whether the bucket can be used, and how: lists, puts, gets, and deletes an object
 * of its own below the prefix. Stores differ in what they check and honour (docs/s3.md); one that gives other bytes than it
 * got, does not do ranges, or does not list or forget what was done just now, is refused.
 * Throws ObjectStoreError; its message says what to change.
 */
export async function probeStore(
  client: S3Client,
  options: { readonly random: Random; readonly log: Log },
): Promise<S3Findings> {
  try {
    const findings = await probe(client, options.random);
    options.log.info('s3.probe', { store: describeLocation(client.location), ...findings });
    return findings;
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    throw new ObjectStoreError(`${describeLocation(client.location)} cannot be used: ${error.message}`, {
      cause: error.cause,
      retryable: error.retryable,
    });
  }
}

async function probe(client: S3Client, random: Random): Promise<S3Findings> {
  const key = `${client.location.prefix}${PROBE_NAME}${random.bytes(12).toString('hex')}`;
  const first = random.bytes(PROBE_BYTES);
  const second = random.bytes(PROBE_BYTES);
  for (const left of await listProbes(client)) await deleteObject(client, left.key);

  const firstPut = await put(client, key, first, [['If-None-Match', '*']]);
  // The name is new: an object of it can only be from an attempt whose answer was lost.
  const isKnown = firstPut.status === 200 || firstPut.status === 412;
  if (!isKnown) expectOk(await put(client, key, first, []));
  try {
    // It may be answered and do nothing.
    const conditionalPut = isKnown && (await put(client, key, second, [['If-None-Match', '*']])).status === 412;
    await checkContent(client, key, [first, second]);
    const checksMd5 = (await put(client, key, second, [], await contentMd5([first]))).status === 400;
    const listed = (await listProbes(client)).find((object) => object.key === key);
    if (listed?.sizeBytes !== PROBE_BYTES) throw unfit('it does not list an object that was put just now');
    await deleteObject(client, key);
    if ((await get(client, key)).status !== 404) throw unfit('it still has an object that was deleted just now');
    return { conditionalPut, checksMd5 };
  } catch (error) {
    await deleteObject(client, key).catch(() => {}); // The first error says more.
    throw error;
  }
}

/** Whole and in part. `contents`: one of them is there. */
async function checkContent(client: S3Client, key: string, contents: readonly Buffer[]): Promise<void> {
  const whole = await get(client, key);
  const content = contents.find((one) => one.equals(whole.body));
  if (whole.status !== 200 || content === undefined) throw unfit('it gives other bytes than it was given');
  const part = await get(client, key, [['Range', 'bytes=65530-65549']]);
  if (part.status !== 206 || !part.body.equals(content.subarray(65_530, 65_550))) {
    throw unfit('it does not answer a range of an object');
  }
  const beyond = await get(client, key, [['Range', `bytes=${PROBE_BYTES}-${PROBE_BYTES + 9}`]]);
  if (beyond.status !== 416) throw unfit('it answers a range beyond the end of an object');
}

function unfit(what: string): ObjectStoreError {
  return new ObjectStoreError(`${what}, so it is no store for this`, { retryable: false });
}

async function listProbes(client: S3Client): Promise<readonly { readonly key: string; readonly sizeBytes: number }[]> {
  const query = `list-type=2&encoding-type=url&max-keys=1000&prefix=${queryValue(client.location.prefix + PROBE_NAME)}`;
  const { answer } = await client.request({ doing: 'list', method: 'GET', key: null, query, accept: isOk });
  const page = listPageOf(answer);
  if (page === null) throw unfit('it does not list as S3 does (ListObjectsV2)');
  return page.objects;
}

async function put(
  client: S3Client,
  key: string,
  content: Buffer,
  headers: readonly (readonly [string, string])[],
  md5?: string,
): Promise<S3Answer> {
  return await ask(client, {
    doing: 'put',
    method: 'PUT',
    key,
    headers: [
      ['Content-Length', String(content.length)],
      ['Content-MD5', md5 ?? (await contentMd5([content]))],
      ...headers,
    ],
    body: [content],
    // What it refuses as unknown, as a conflict or as damaged is to be found out; what got lost on the way is not.
    accept: (answer) =>
      [200, 412, 501].includes(answer.status) ||
      (answer.status === 400 && !UNCLEAR.has(errorBodyOf(answer)?.code ?? '')),
  });
}

async function get(
  client: S3Client,
  key: string,
  headers: readonly (readonly [string, string])[] = [],
): Promise<S3Answer> {
  return await ask(client, {
    doing: 'get',
    method: 'GET',
    key,
    headers,
    answerBytes: PROBE_BYTES,
    accept: (answer) => [200, 206, 416].includes(answer.status) || errorBodyOf(answer)?.code === 'NoSuchKey',
  });
}

async function deleteObject(client: S3Client, key: string): Promise<void> {
  await ask(client, {
    doing: 'delete',
    method: 'DELETE',
    key,
    accept: (answer) => isOk(answer) || errorBodyOf(answer)?.code === 'NoSuchKey',
  });
}

async function ask(client: S3Client, request: S3Request): Promise<S3Answer> {
  return (await client.request(request)).answer;
}

function isOk({ status }: S3Answer): boolean {
  return status === 200 || status === 204;
}

function expectOk(answer: S3Answer): void {
  if (!isOk(answer)) {
    const body = errorBodyOf(answer);
    throw unfit(`put: ${body === null ? `HTTP status ${answer.status}` : `${body.code}: ${body.message}`}`);
  }
}
