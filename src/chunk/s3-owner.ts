import { hostname } from 'node:os';

import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';

import { ObjectStoreError } from './object-store.ts';
import { errorBodyOf } from './s3-answer.ts';
import { contentMd5, type S3Client } from './s3-client.ts';

/** Begins with a dot, so it is no object key: it is never listed, and no store takes it for its own. */
const OWNER_NAME = '.owner';
/** As `formatted` makes it. */
const OWNER = /^\{"owner":"([0-9a-f]{32})","host":"([^"\\]*)","pid":(\d+),"since":"([0-9TZ:.-]+)"\}\n$/;
const OWNER_BYTES_MAX = 1024;

/**
 * Which process may change what is below a prefix: the one that opened it last.
 *
 * A bucket has no locks. Two servers that have one installation's key (its data directory was copied, or restored on another
 * machine while the first still ran) would collect each other's packs. So whoever opens the store writes its name into it,
 * and looks before each attempt at a put or a deletion whether it is still there: the one that was there before changes
 * nothing any more, also when it was cut off in the middle of its attempts. Between the look and the change there are
 * milliseconds in which another may open the store; an open lists and reads for longer than that before it changes anything.
 */
export class S3Owner {
  readonly #client: S3Client;
  readonly #content: string;
  /** Whether another process had the store before, whose requests may be on their way. */
  readonly hadAnother: boolean;

  private constructor(client: S3Client, content: string, hadAnother: boolean) {
    this.#client = client;
    this.#content = content;
    this.hadAnother = hadAnother;
  }

  /** Takes the store over. */
  static async take(
    client: S3Client,
    options: { readonly clock: Clock; readonly random: Random; readonly log: Log },
  ): Promise<S3Owner> {
    const host = hostname().replace(/["\\\s]/g, '');
    const since = new Date(options.clock.nowMs()).toISOString();
    const owner = options.random.bytes(16).toString('hex');
    const content = `{"owner":"${owner}","host":"${host}","pid":${process.pid},"since":"${since}"}\n`;
    const before = await read(client, {});
    if (before !== null) options.log.info('s3.taken-over', { from: describe(before) });
    const body = [Buffer.from(content)];
    await client.request({
      doing: 'take the store over',
      method: 'PUT',
      key: client.location.prefix + OWNER_NAME,
      headers: [
        ['Content-Length', String(content.length)],
        ['Content-MD5', await contentMd5(body)],
      ],
      body,
      accept: ({ status }) => status === 200,
    });
    return new S3Owner(client, content, before !== null);
  }

  /** Within a turn of the client's. Throws S3RequestError when it cannot be found out now; ObjectStoreError, not retryable, when another has taken over. */
  async check(): Promise<void> {
    // A bad read is told from another's name by reading again.
    if ((await read(this.#client, PART)) === this.#content) return;
    const found = await read(this.#client, PART);
    if (found === this.#content) return;
    const who = found === null ? 'nobody (its object .owner is gone)' : describe(found);
    throw new ObjectStoreError(`the store now belongs to ${who}: this server changes nothing in it any more`, {
      retryable: false,
    });
  }
}

const PART = { isPart: true } as const;

async function read(client: S3Client, how: { readonly isPart?: boolean }): Promise<string | null> {
  const { answer } = await client.request({
    ...how,
    doing: 'look who has the store',
    method: 'GET',
    key: client.location.prefix + OWNER_NAME,
    answerBytes: OWNER_BYTES_MAX,
    accept: (found) => found.status === 200 || errorBodyOf(found)?.code === 'NoSuchKey',
  });
  return answer.status === 200 ? answer.body.toString('utf8') : null;
}

function describe(content: string): string {
  const parts = OWNER.exec(content);
  return parts === null ? 'somebody unknown' : `process ${parts[3]} on ${parts[2]}, since ${parts[4]}`;
}
