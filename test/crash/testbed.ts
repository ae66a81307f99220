import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';
import { RunningServer } from '../running-server.ts';
import { startAndKill } from './doomed-start.ts';

/** What the servers of a session run on. */
export interface Setting {
  /** `--encrypt-volumes`. */
  readonly isEncrypted: boolean;
  /** Snapshots are in a bucket, of a store that outlives the servers. */
  readonly isInBucket: boolean;
}

/** What it takes the store to answer, so that kills come between a request and its answer. */
const BUCKET_LATENCY_MS = 4;
const PREFIX = 'an/installation/';
/** What a bucket has for itself: who has it open, and what a killed start left of trying the store. They are no objects of ours. */
const BUCKET_OWN = /^\.(owner|probe)/;

/** Half of the seeds in a row are encrypted, a third is in a bucket, one in six both. */
export function settingOf(seed: number): Setting {
  return { isEncrypted: seed % 2 === 1, isInBucket: seed % 3 === 2 };
}

export function settingText(seed: number): string {
  const { isEncrypted, isInBucket } = settingOf(seed);
  return `${isEncrypted ? 'encrypted' : 'plain'} volumes, snapshots in ${isInBucket ? 'a bucket' : 'files'}`;
}

/** A data directory and what lies outside of it; both outlive every server that runs on them, and go away with this. */
export class Testbed implements AsyncDisposable {
  readonly data: string;
  readonly setting: Setting;
  readonly #bucket: FakeS3Server | null;

  private constructor(data: string, setting: Setting, bucket: FakeS3Server | null) {
    this.data = data;
    this.setting = setting;
    this.#bucket = bucket;
  }

  static async make(setting: Setting): Promise<Testbed> {
    const bucket = setting.isInBucket ? await FakeS3Server.start() : null;
    if (bucket !== null) bucket.manners.latencyMs = BUCKET_LATENCY_MS;
    return new Testbed(await mkdtemp(join(tmpdir(), 'varve-crash-')), setting, bucket);
  }

  async start(): Promise<RunningServer> {
    return await RunningServer.start({ data: this.data, args: this.#args(), environment: this.#environment() });
  }

  /** A start that is killed: see `doomed-start.ts`. */
  async startAndKill(when: { readonly afterMs: number; readonly host: boolean }): Promise<void> {
    await startAndKill(this.data, { ...when, args: this.#args(), environment: this.#environment() });
  }

  /** The object store's content: bytes by key. */
  async objects(): Promise<ReadonlyMap<string, number>> {
    return this.#bucket === null ? await filesBelow(join(this.data, 'objects')) : objectsOf(this.#bucket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bucket?.[Symbol.asyncDispose]();
    await rm(this.data, { recursive: true, force: true });
  }

  #args(): readonly string[] {
    return [...(this.setting.isEncrypted ? ['--encrypt-volumes'] : []), ...bucketArgs(this.#bucket)];
  }

  #environment(): Readonly<Record<string, string>> {
    // The bucket is in this process, and does at once what it is asked for.
    return this.#bucket === null ? {} : { ...this.#bucket.environment(), VARVE_S3_SETTLE_SECONDS: '0.5' };
  }
}

function bucketArgs(server: FakeS3Server | null): readonly string[] {
  if (server === null) return [];
  const { bucket, region } = server.location();
  return ['--store', `s3://${bucket}/${PREFIX}`, '--s3-endpoint', server.endpoint, '--s3-region', region];
}

function objectsOf({ objects }: FakeS3Server): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const [path, { length }] of objects) {
    const key = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : path;
    if (!BUCKET_OWN.test(key)) found.set(key, length);
  }
  return found;
}

async function filesBelow(directory: string): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  if (!existsSync(directory)) return found;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(relative(directory, path), (await stat(path)).size);
  }
  return found;
}
