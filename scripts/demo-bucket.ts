import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import { describeLocation, type S3Location } from '#chunk/s3-location.ts';
import { openS3Store } from '#chunk/s3-open.ts';
import { type ConfigOptions, readConfig } from '#src/config.ts';
import { RunningCeph } from '../test/s3/ceph.ts';

/** Where the demonstration stores its objects: below a prefix of its own, which it empties at its end. */
export class DemoBucket implements AsyncDisposable {
  /** What the server is started with. */
  readonly serveOptions: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly url: string;
  readonly #open: (readOnly: boolean) => Promise<ObjectStore>;
  readonly #ceph: RunningCeph | null;

  private constructor(options: {
    readonly location: S3Location;
    readonly environment: Readonly<Record<string, string>>;
    readonly open: (readOnly: boolean) => Promise<ObjectStore>;
    readonly ceph: RunningCeph | null;
  }) {
    const { bucket, prefix, region, endpoint } = options.location;
    this.url = describeLocation(options.location);
    this.serveOptions = [
      ...['--store', `s3://${bucket}/${prefix}`, '--s3-region', region],
      ...(endpoint === null ? [] : ['--s3-endpoint', endpoint]),
    ];
    this.environment = options.environment;
    this.#open = options.open;
    this.#ceph = options.ceph;
  }

  /** Null: the demonstration stores in a directory. */
  static async open(options: ConfigOptions & { readonly startCeph: boolean }): Promise<DemoBucket | null> {
    const ceph = options.startCeph ? await RunningCeph.start() : null;
    await ceph?.createBucket('demo');
    const place = ceph === null ? readConfig(options, process.env).s3 : ceph.location('demo');
    if (place === null) return null;
    const location = { ...place, prefix: `${place.prefix}demo-${systemRandom.bytes(6).toString('hex')}/` };
    const environment = ceph?.environment() ?? {};
    const open = async (readOnly: boolean): Promise<ObjectStore> =>
      await openS3Store({
        location,
        environment: { ...process.env, ...environment },
        clock: systemClock,
        random: systemRandom,
        log: silentLog,
        readOnly,
      });
    return new DemoBucket({ location, environment, open, ceph });
  }

  async storedBytes(): Promise<number> {
    await using store = await this.#open(true);
    let bytes = 0;
    for await (const { sizeBytes } of store.list('')) bytes += sizeBytes;
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ceph === null) {
      // The server that had it has ended.
      await using store = await this.#open(false);
      for await (const { key } of store.list('')) await store.delete(key);
    }
    await this.#ceph?.[Symbol.asyncDispose]();
  }
}
