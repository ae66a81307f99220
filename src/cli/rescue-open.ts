import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { jsonLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { SOCKET_PATH_BYTES_MAX } from '#base/run-directory.ts';
import { StoreError } from '#chunk/errors.ts';
import { FsStore } from '#chunk/fs-store.ts';
import type { MasterKeySource } from '#chunk/master-key-source.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import { openS3Store } from '#chunk/s3-open.ts';
import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';
import type { RescuedPacks } from '#rescue/rescue-store.ts';
import { RescueStore } from '#rescue/rescue-store.ts';
import type { Manifest, SnapshotLabel } from '#snapshot/manifest.ts';
import { readConfig } from '#src/config.ts';

import { CommandError } from './command-error.ts';
import { Progress } from './bars.ts';
import { readMasterKey } from './master-key.ts';
import type { KeyPlace } from './rescue-keys.ts';
import { plainWords } from './plain-errors.ts';

/** The longest name that a socket gets in a scratch directory. */
const SOCKET_NAME = 'nbd.sock';

/** Where a store and its key are. */
export interface StorePlace {
  /** A directory, or `s3://bucket/prefix`. */
  readonly store: string;
  readonly s3Endpoint: string | undefined;
  readonly s3Region: string | undefined;
  readonly key: MasterKeySource;
  /** Of the key as it lies wrapped, where a command unwraps it. */
  readonly keyDirectory: string;
  /** A `meta.db`, with the KMS keys of the server; missing: there is none. */
  readonly metadata?: string | undefined;
}

/** A bare store that was opened for a rescue, and a private directory that goes away with it. */
export interface OpenedRescue extends AsyncDisposable {
  readonly store: RescueStore;
  readonly scratchDirectory: string;
  /** How data keys are opened. */
  readonly keys: KeyPlace;
}

/** Opens the store; tells on standard error what is wrong with it and can be lived with. */
export async function openRescue(place: StorePlace): Promise<OpenedRescue> {
  const masterKey = await readMasterKey(place.key, place.keyDirectory);
  await using scope = new AsyncDisposableStack();
  const objects = scope.use(await openObjects(place));
  const scratchDirectory = await makeScratchDirectory();
  scope.defer(() => rm(scratchDirectory, { recursive: true, force: true }));
  const store = await RescueStore.open({
    objects,
    masterKey,
    scratchDirectory,
    random: systemRandom,
    onUnreadable: (objectKey) => warn(`parts of ${objectKey} cannot be read from the disk; they count as damaged`),
  }).catch((error: unknown) => {
    if (error instanceof StoreError)
      throw new CommandError(`${place.store} cannot be read with this key`, { cause: error });
    throw error;
  });
  if (store.warning !== null) warn(`${store.warning}; going on, since the key proves itself by the snapshots`);
  const moved = scope.move();
  const keys = { masterKey, metadata: place.metadata ?? null, scratchDirectory };
  return { store, scratchDirectory, keys, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/** The packs that a snapshot may lie in, or all of them; tells of those that are damaged. */
export async function openPacks(
  store: RescueStore,
  manifest: Manifest | null,
  signal: AbortSignal,
): Promise<RescuedPacks> {
  using progress = new Progress({ label: 'looking through packs', totalBytes: null, clock: systemClock });
  let bytes = 0;
  const packs = await store.openPacks(
    manifest === null ? { kind: 'all' } : { kind: 'account', account: manifest.label.account },
    (sizeBytes) => {
      signal.throwIfAborted();
      progress.at((bytes += sizeBytes));
    },
  );
  for (const { objectKey, recordCount } of packs.salvaged) {
    warn(`${objectKey} is damaged; ${recordCount} of its records were found whole and are used`);
  }
  return packs;
}

/** What people call a snapshot: its Lightsail name, or its tag Name; null when it has neither. */
export function nameOf({ name, tags }: SnapshotLabel): string | null {
  return name ?? tags['Name'] ?? null;
}

/** The manifest of the snapshot that a person named: by its id, Lightsail's supportCode, or a name that only one has. */
export async function findSnapshot(store: RescueStore, text: string): Promise<Manifest> {
  const snapshot: SnapshotId | null = parseSnapshotId(text.replace(/^\d{12}\//, ''));
  try {
    return snapshot === null ? await findNamed(store, text) : await store.manifests.read(snapshot);
  } catch (error) {
    if (error instanceof StoreError) throw new CommandError(error.message, { cause: error.cause });
    throw error;
  }
}

async function findNamed(store: RescueStore, name: string): Promise<Manifest> {
  const found: Manifest[] = [];
  for await (const { manifest } of store.manifests.list()) {
    if (manifest !== null && nameOf(manifest.label) === name) found.push(manifest);
  }
  const [manifest] = found;
  if (manifest === undefined) {
    throw new CommandError(`no snapshot has the id or the name "${name}"; "varve rescue list" shows them`);
  }
  if (found.length === 1) return manifest;
  const choices = found.map(({ label }) => `${label.snapshot} (account ${label.account}, ${label.region})`).join(', ');
  throw new CommandError(`"${name}" names several: ${choices}. Give the id`);
}

/** A private directory whose path is short enough for a socket in it. */
export async function makeScratchDirectory(): Promise<string> {
  const bases = [tmpdir(), '/tmp'];
  const base = bases.find((path) => join(path, 'varve-XXXXXX', SOCKET_NAME).length <= SOCKET_PATH_BYTES_MAX) ?? '/tmp';
  return await mkdtemp(join(base, 'varve-'));
}

export function scratchSocket(scratchDirectory: string): string {
  return join(scratchDirectory, SOCKET_NAME);
}

export function warn(message: string): void {
  process.stderr.write(`varve: ${plainWords(message)}\n`);
}

async function openObjects(place: StorePlace): Promise<ObjectStore> {
  const { s3Endpoint, s3Region } = place;
  if (place.store.startsWith('s3://') || s3Endpoint !== undefined || s3Region !== undefined) {
    const { s3 } = readConfig({ store: place.store, s3Endpoint, s3Region }, process.env);
    if (s3 !== null) {
      const log = { ...jsonLog((line) => process.stderr.write(line)), info: () => {} };
      const common = { clock: systemClock, random: systemRandom, log, environment: process.env };
      return await openS3Store({ ...common, location: s3, readOnly: true });
    }
  }
  const given = resolve(place.store);
  // A whole data directory is as good as the store in it.
  const inside = join(given, 'objects');
  const root = !existsSync(join(given, 'repository')) && existsSync(join(inside, 'repository')) ? inside : given;
  const found = await stat(root).catch(() => null);
  if (found === null) throw new CommandError(`there is no directory ${root}`);
  if (!found.isDirectory()) throw new CommandError(`${root} is not a directory`);
  return await FsStore.openReadOnly(root);
}
