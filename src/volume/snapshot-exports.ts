import { KeyLock } from '#base/key-lock.ts';
import { describeError, type Log } from '#base/log.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import { ChunkCache } from './chunk-cache.ts';
import { SnapshotDevice } from './snapshot-device.ts';

/** Decoded chunks of all snapshot exports together. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024;
/** Snapshots open at once. Beyond it the oldest that no client uses is closed; it opens again when asked for. */
const OPEN_COUNT_MAX = 256;

/** Snapshots that are open to be read: each is held whole, so no collection and no deletion takes it away from its readers. */
export class SnapshotExports implements AsyncDisposable {
  readonly #store: SnapshotStore;
  readonly #log: Log;
  readonly #isUsed: (snapshot: SnapshotId) => boolean;
  readonly #onClose: (snapshot: SnapshotId) => Promise<void>;
  readonly #cache = new ChunkCache({ bytesMax: CACHE_BYTES_MAX });
  readonly #lock = new KeyLock();
  /** In the order in which they were asked for, the oldest first. */
  readonly #devices = new Map<SnapshotId, SnapshotDevice>();

  constructor(options: {
    readonly store: SnapshotStore;
    readonly log: Log;
    /** A client is connected. */
    readonly isUsed: (snapshot: SnapshotId) => boolean;
    /** Called before a device is closed: ends what serves it. */
    readonly onClose: (snapshot: SnapshotId) => Promise<void>;
  }) {
    this.#store = options.store;
    this.#log = options.log;
    this.#isUsed = options.isUsed;
    this.#onClose = options.onClose;
  }

  /** The snapshot's device, opened if it is not; `serve` runs once for it, before it is answered. Throws StoreError. */
  async open(snapshot: SnapshotId, serve: (device: SnapshotDevice) => Promise<void>): Promise<SnapshotDevice> {
    const device = await this.#lock.run(snapshot, async () => {
      const known = this.#devices.get(snapshot);
      if (known !== undefined) {
        this.#devices.delete(snapshot);
        this.#devices.set(snapshot, known);
        return known;
      }
      const opened = await SnapshotDevice.open({
        store: this.#store,
        held: await this.#store.hold(snapshot),
        cache: this.#cache,
        onTrouble: (error) => this.#log.error('snapshot.read', { snapshot, error: describeError(error) }),
      });
      try {
        await serve(opened);
      } catch (error) {
        await opened[Symbol.asyncDispose]();
        throw error;
      }
      this.#devices.set(snapshot, opened);
      return opened;
    });
    await this.#closeUnused(snapshot);
    return device;
  }

  /** Ends the export, and with it its clients' connections. No error when there is none. */
  async close(snapshot: SnapshotId): Promise<void> {
    await this.#lock.run(snapshot, async () => {
      const device = this.#devices.get(snapshot);
      if (device === undefined) return;
      this.#devices.delete(snapshot);
      await this.#onClose(snapshot);
      await device[Symbol.asyncDispose]();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#devices.keys()].map((snapshot) => this.close(snapshot)));
  }

  async #closeUnused(asked: SnapshotId): Promise<void> {
    if (this.#devices.size <= OPEN_COUNT_MAX) return;
    const unused = [...this.#devices.keys()].find((snapshot) => snapshot !== asked && !this.#isUsed(snapshot));
    if (unused !== undefined) await this.close(unused);
  }
}
