import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { present } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { makeDirectory } from '#base/make-directory.ts';
import type { Random } from '#base/random.ts';
import type { OutpostId } from '#domain/outpost.ts';
import { FsStore } from '#chunk/fs-store.ts';
import { MASTER_KEY_DEFAULT, type MasterKeySource, openMasterKey } from '#chunk/master-key-source.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import { PackCache } from '#chunk/pack-cache.ts';
import type { S3Location } from '#chunk/s3-location.ts';
import { openS3Store } from '#chunk/s3-open.ts';
import type { S3Store } from '#chunk/s3-store.ts';
import { ThreadSealPool } from '#chunk/thread-seal-pool.ts';
import { openSnapshotStore } from '#snapshot/object-snapshot-store.ts';
import { PlacedStores, type StoreOfPlace } from '#snapshot/placed-stores.ts';
import type { NbdTcp, OutpostStore } from '#volume/host-settings.ts';
import { HYDRATION_DEFAULT, type HydrationSettings } from '#volume/hydrations.ts';
import { NbdGrants } from '#volume/nbd-grants.ts';
import { LocalVolumeHost } from '#volume/local-host.ts';
import { VolumeKeys } from '#volume/volume-key.ts';
import { warmBytesMaxOf } from '#volume/warm-snapshots.ts';

import { openOutpostStore, refuseNested } from './outpost-store.ts';

/** Threads that seal at once: one a processor. They give way to those that serve NBD. */
const SEAL_THREADS_MAX = 8;
/** Threads that open what is read from snapshots. They come and go with the reading. */
const READ_THREADS_MAX = 4;

/**
 * Puts a volume host together from the parts of a data directory; the volume host's own composition root. What it opens
 * goes into `scope`, to be disposed of in reverse. The caller holds the directory's lock.
 */
export async function composeHost(
  options: {
    readonly dataDirectory: string;
    readonly socketDirectory: string;
    readonly nbdTcp: NbdTcp | null;
    /** The bucket that holds the objects; null: `objects/` in the data directory. */
    readonly s3?: S3Location | null;
    /** How restored volumes are filled in the background. */
    readonly hydration?: HydrationSettings;
    /** Whether the data files of new volumes are encrypted. */
    readonly encryptVolumes?: boolean;
    /** Where the master key is. */
    readonly masterKey?: MasterKeySource;
    /** Sites with stores of their own. */
    readonly outposts?: readonly OutpostStore[];
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
  },
  scope: AsyncDisposableStack,
): Promise<LocalVolumeHost> {
  const { dataDirectory, s3 = null, hydration = HYDRATION_DEFAULT, outposts = [], clock, random, log } = options;
  const openBucket = async (location: S3Location): Promise<S3Store> =>
    await openS3Store({ location, environment: process.env, clock, random, log });
  const bucket = s3 === null ? null : await openBucket(s3);
  const objectsDirectory = join(dataDirectory, 'objects');
  const objects = scope.use(bucket ?? (await FsStore.open(objectsDirectory)));
  const buckets = bucket === null ? [] : [bucket];
  const cache = bucket === null ? null : await openPackCache(bucket, dataDirectory, scope, warmBytesMaxOf(process.env));
  const sites = new Map<OutpostId, ObjectStore>();
  for (const { id, directory, s3: location } of outposts) {
    const site = location === null ? null : await openBucket(location);
    if (site !== null) buckets.push(site);
    const isKnown = existsSync(join(dataDirectory, 'outposts', id));
    sites.set(id, scope.use(site ?? (await openOutpostStore({ id, directory: pathOf(directory), isKnown }))));
  }
  const regionDirectory = bucket === null ? [objectsDirectory] : [];
  await refuseNested([...regionDirectory, ...outposts.flatMap(({ directory }) => directory ?? [])]);
  const masterKey = await openMasterKey(options.masterKey ?? MASTER_KEY_DEFAULT, {
    dataDirectory,
    environment: process.env,
    random,
    mayMake: async (path) => {
      for (const each of [objects, ...sites.values()]) await refuseNewKey(path, each);
    },
  });
  const threadCountMax = Math.min(availableParallelism(), SEAL_THREADS_MAX);
  const pool = scope.use(new ThreadSealPool({ masterKey, clock, threadCountMax }));
  const readThreadCountMax = Math.min(availableParallelism(), READ_THREADS_MAX);
  const openStore = async (directory: string, place: { objects: ObjectStore; copies?: PackCache }) =>
    await openSnapshotStore({
      ...place,
      indexPath: join(directory, 'index.db'),
      sizesPath: join(directory, 'sizes.db'),
      spoolDirectory: join(directory, 'spool'),
      ...{ masterKey, random, log, pool, readThreadCountMax, clock },
    });
  // The host's once it is there.
  await using opened = new AsyncDisposableStack();
  const region = opened.use(await openStore(dataDirectory, { objects, ...(cache === null ? {} : { copies: cache }) }));
  const stores = new Map<OutpostId, StoreOfPlace>();
  for (const [id, site] of sites) {
    const directory = join(dataDirectory, 'outposts', id);
    await makeDirectory(directory);
    stores.set(id, opened.use(await openStore(directory, { objects: site })));
  }
  const store = new PlacedStores(region, stores);
  const grants = await NbdGrants.open({ path: join(dataDirectory, 'nbd-grants.json'), masterKey, clock, random });
  const host = scope.use(
    await LocalVolumeHost.open({
      volumesDirectory: join(dataDirectory, 'volumes'),
      tracesDirectory: join(dataDirectory, 'traces'),
      packCache: cache,
      hydration,
      socketDirectory: options.socketDirectory,
      store,
      nbdTcp: options.nbdTcp,
      grants,
      keys: new VolumeKeys({ masterKey, random }),
      encryptVolumes: options.encryptVolumes ?? false,
      clock,
      log,
    }),
  );
  opened.move();
  // Before the host closes: what waits for a store that is away would hold it up.
  scope.defer(() => {
    for (const each of buckets) each.hurry();
  });
  return host;
}

function pathOf(directory: string | null): string {
  return present(directory, 'an Outpost without a bucket has a directory');
}

/** What is fetched ahead of need is beside the volumes. */
async function openPackCache(
  objects: ObjectStore,
  dataDirectory: string,
  scope: AsyncDisposableStack,
  bytesMax: number,
): Promise<PackCache> {
  const nearby = scope.use(await FsStore.open(join(dataDirectory, 'warm', 'objects')));
  return await PackCache.open({ objects, nearby, bytesMax });
}

/** Where objects are stored already, a new key would only hide that they cannot be read any more. */
async function refuseNewKey(path: string, objects: ObjectStore): Promise<void> {
  for await (const { key } of objects.list('')) {
    throw new Error(`${path} is gone, and the object store (${key}, …) was written with it: bring the key back`);
  }
}
