import { readdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import { describeError, type Log } from '#base/log.ts';
import { makeDirectory } from '#base/make-directory.ts';
import { TaskGroup } from '#base/task-group.ts';
import { READ_COUNT_MAX } from '#chunk/chunk-reader.ts';
import { snapshotNotFound, StoreError, throwIfAborted } from '#chunk/errors.ts';
import type { PackCache } from '#chunk/pack-cache.ts';
import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';
import type { HeldSnapshot, SnapshotStore } from '#snapshot/snapshot-store.ts';

import type { WarmStatus } from './host.ts';
import { FREE_BYTES_MIN } from './hydration.ts';

/** Packs that are fetched at once for one snapshot: each is a wait, and 16 MiB of memory. */
const FETCHES_MAX = 2;
/** Snapshots that are made warm at once. */
const WARMINGS_MAX = 2;
const PAGE_CHUNKS = 256;

/** Of copies of packs: five snapshots of some size, and not the whole of most disks. */
const CACHE_GIB = 64;
const CACHE_GIB_MAX = 1024 * 1024;

/** What may be kept of a bucket, in bytes: VARVE_WARM_CACHE, in GiB. Throws an Error that says what is wrong with it. */
export function warmBytesMaxOf({ VARVE_WARM_CACHE: text = String(CACHE_GIB) }: NodeJS.ProcessEnv): number {
  const gib = /^[0-9]{1,7}$/.test(text) ? Number(text) : 0;
  if (gib >= 1 && gib <= CACHE_GIB_MAX) return gib * 1024 ** 3;
  throw new Error(`VARVE_WARM_CACHE: "${text}" is not a number of GiB (1 to ${CACHE_GIB_MAX})`);
}

interface Warmed {
  /** Packs that are kept for it; none where the store is nearby. */
  readonly packs: readonly string[];
  /** All of it was fetched, and read. */
  readonly isWhole: boolean;
}

interface Warming {
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

type Store = Pick<SnapshotStore, 'read' | 'hold' | 'listRoot' | 'readChunks' | 'packsOf' | 'lend'>;

/**
 * Snapshots that are kept ready, so that what is made from them waits for no bucket:
 *
 *   (nothing) → warm → packs written down → fetched → every chunk read and verified → warm → cool → (nothing)
 *
 * What was fetched is found again after any end (docs/formats/warm.md). A collection moves records to other packs, so that
 * snapshots that were warm are looked through after it. A pack whose copy rotted is fetched again at the next `warm`.
 */
export class WarmSnapshots implements AsyncDisposable {
  readonly #directory: string;
  readonly #store: Store;
  readonly #cache: PackCache | null;
  readonly #log: Log;
  readonly #warmed = new Map<SnapshotId, Warmed>();
  readonly #warming = new Map<SnapshotId, Warming>();
  readonly #troubles = new Map<SnapshotId, string>();
  readonly #places = new TaskGroup({ limit: WARMINGS_MAX });
  #isClosing = false;

  private constructor(options: WarmSnapshotsOptions) {
    this.#directory = options.directory;
    this.#store = options.store;
    this.#cache = options.cache;
    this.#log = options.log;
  }

  static async open(options: WarmSnapshotsOptions): Promise<WarmSnapshots> {
    const warm = new WarmSnapshots(options);
    await makeDirectory(options.directory);
    for (const name of await readdir(options.directory)) {
      const snapshot = parseSnapshotId(name.replace(/\.json$/, ''));
      const path = join(options.directory, name);
      const warmed = snapshot === null ? null : parseWarmed(await readFile(path, 'utf8'));
      if (snapshot !== null && warmed !== null) warm.#warmed.set(snapshot, warmed);
      else await rm(path, { force: true });
    }
    await warm.#dropUnneeded();
    warm.refresh(); // The last collection may have been followed by nothing.
    return warm;
  }

  /** Begins to make it warm, or goes on, and answers at once how it is. The data keys are lent while it is read. Throws 'snapshot-not-found'. */
  async warm(snapshot: SnapshotId, dataKeys: readonly Uint8Array[] = []): Promise<WarmStatus> {
    const warmed = this.#warmed.get(snapshot);
    const isWarm =
      warmed !== undefined && warmed.isWhole && warmed.packs.every((pack) => this.#cache?.has(pack) ?? true);
    const trouble = this.#troubles.get(snapshot) ?? null;
    if (isWarm) {
      // It is there as it was. Whether a collection moved something could not be said the last time.
      if (trouble !== null) this.#begin(snapshot, dataKeys);
      return { isWarm: true, trouble: null };
    }
    if (!this.#warming.has(snapshot)) {
      if ((await this.#store.read(snapshot)) === null) throw snapshotNotFound(snapshot);
      this.#begin(snapshot, dataKeys);
    }
    return { isWarm: false, trouble };
  }

  /** It need not be ready any more; no error when it was not. */
  async cool(snapshot: SnapshotId): Promise<void> {
    await this.#end(snapshot);
    this.#troubles.delete(snapshot);
    if (!this.#warmed.delete(snapshot)) return;
    await rm(this.#pathOf(snapshot), { force: true });
    await this.#dropUnneeded();
  }

  /** A collection may have moved what they hold. */
  refresh(): void {
    if (this.#cache === null) return;
    for (const [snapshot, { isWhole }] of this.#warmed) if (isWhole) this.#begin(snapshot, []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#warming.keys()].map((snapshot) => this.#end(snapshot)));
  }

  #begin(snapshot: SnapshotId, dataKeys: readonly Uint8Array[]): void {
    if (this.#isClosing || this.#warming.has(snapshot)) return;
    const abort = new AbortController();
    const done = Promise.withResolvers<void>();
    this.#warming.set(snapshot, { abort, ended: done.promise });
    const leave = (): void => done.resolve(); // While it waits for its turn it touches nothing.
    abort.signal.addEventListener('abort', leave);
    void this.#places.add(async () => {
      abort.signal.removeEventListener('abort', leave);
      if (abort.signal.aborted) return;
      try {
        using _lent = this.#store.lend(dataKeys);
        await this.#make(snapshot, abort.signal);
        this.#troubles.delete(snapshot);
      } catch (error) {
        if (!abort.signal.aborted) {
          this.#troubles.set(snapshot, describeError(error));
          this.#log.warn('snapshot.warm', { snapshot, error });
        }
      } finally {
        this.#warming.delete(snapshot);
        done.resolve();
      }
    });
  }

  async #end(snapshot: SnapshotId): Promise<void> {
    const warming = this.#warming.get(snapshot);
    if (warming === undefined) return;
    warming.abort.abort(new StoreError('aborted', `${snapshot} need not be warm any more`));
    await warming.ended;
    this.#warming.delete(snapshot);
  }

  async #make(snapshot: SnapshotId, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    using held = await this.#store.hold(snapshot);
    const before = this.#warmed.get(snapshot);
    const packs = this.#cache === null ? [] : await this.#keepPacks(snapshot, this.#cache, held, signal);
    // What only moved was verified by who moved it.
    const isVerified = before !== undefined && (await this.#wasVerified(snapshot));
    if (!isVerified) await this.#verify(held, signal);
    throwIfAborted(signal);
    await this.#remember(snapshot, { packs, isWhole: true });
    this.#log.info('snapshot.warm', { snapshot, packs: packs.length });
    await this.#dropUnneeded();
  }

  /** Its file says so, whatever has been looked through since. */
  async #wasVerified(snapshot: SnapshotId): Promise<boolean> {
    const text = await readFile(this.#pathOf(snapshot), 'utf8').catch(() => '');
    return parseWarmed(text)?.isWhole === true;
  }

  /** Collections that run meanwhile move records: it is looked again until nothing is missing. */
  async #keepPacks(
    snapshot: SnapshotId,
    cache: PackCache,
    held: HeldSnapshot,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    for (;;) {
      const packs = [...(await this.#store.packsOf(held.account, held.root, signal))];
      const missing = packs.filter((pack) => !cache.has(pack));
      if (missing.length === 0) return packs;
      // Before they come, so that who drops what nobody needs leaves them.
      const known = this.#warmed.get(snapshot)?.packs ?? [];
      this.#warmed.set(snapshot, { packs: [...new Set([...known, ...packs])], isWhole: false });
      if (!(await this.#wasVerified(snapshot))) await this.#remember(snapshot, { packs, isWhole: false });
      await using fetches = new TaskGroup({ limit: FETCHES_MAX });
      for (const pack of missing) {
        throwIfAborted(signal);
        await this.#checkRoom();
        await fetches.add(async () => await cache.keep(pack));
      }
      await fetches.drain();
    }
  }

  /** What is kept leaves to those who write what hydration leaves. */
  async #checkRoom(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#directory);
    const freeBytes = bavail * bsize;
    if (freeBytes >= FREE_BYTES_MIN) return;
    const left = Math.floor(freeBytes / 1024 ** 2);
    throw new StoreError('no-space', `the disk has ${left} MiB left, which are for those who write`);
  }

  /** Reads every chunk behind all others: what is damaged is known now, and what the system has in memory is warm, too. */
  async #verify({ account, root }: HeldSnapshot, signal: AbortSignal): Promise<void> {
    for (let start: number | null = 0; start !== null;) {
      const { blocks, next }: Awaited<ReturnType<Store['listRoot']>> = await this.#store.listRoot(
        account,
        root,
        start,
        PAGE_CHUNKS,
      );
      for (let at = 0; at < blocks.length; at += READ_COUNT_MAX) {
        throwIfAborted(signal);
        const wanted = blocks.slice(at, at + READ_COUNT_MAX).map(({ index }) => ({ index, place: null }));
        await Promise.all(this.#store.readChunks(account, root, wanted, { background: true, signal }));
      }
      start = next;
    }
  }

  async #remember(snapshot: SnapshotId, warmed: Warmed): Promise<void> {
    await writeFileAtomic(this.#pathOf(snapshot), JSON.stringify(warmed));
    this.#warmed.set(snapshot, warmed);
  }

  async #dropUnneeded(): Promise<void> {
    if (this.#cache === null) return;
    const needed = new Set([...this.#warmed.values()].flatMap(({ packs }) => packs));
    for (const pack of [...this.#cache.packs()]) if (!needed.has(pack)) await this.#cache.drop(pack);
  }

  #pathOf(snapshot: SnapshotId): string {
    return join(this.#directory, `${snapshot}.json`);
  }
}

export interface WarmSnapshotsOptions {
  /** Where it is written down; made if it is not there. */
  readonly directory: string;
  readonly store: Store;
  /** Null: the store is nearby itself. */
  readonly cache: PackCache | null;
  readonly log: Log;
}

/** Null for what a crash, or somebody else, left. */
function parseWarmed(text: string): Warmed | null {
  try {
    const { packs, isWhole } = JSON.parse(text) as { readonly packs?: unknown; readonly isWhole?: unknown };
    if (!Array.isArray(packs) || typeof isWhole !== 'boolean') return null;
    return packs.every((pack) => typeof pack === 'string') ? { packs, isWhole } : null;
  } catch {
    return null;
  }
}
