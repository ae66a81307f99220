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
  readonly #devices = new Map<SnapshotId, { readonly device: SnapshotDevice; readonly scope: AsyncDisposable }>();

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

  /** The snapshot's device, opened if it is not; `serve` runs once for it, before it is answered. The data keys are lent while it is open. Throws StoreError. */
  async open(
    snapshot: SnapshotId,
    dataKeys: readonly Uint8Array[],
    serve: (device: SnapshotDevice) => Promise<void>,
  ): Promise<SnapshotDevice> {
    const device = await this.#lock.run(snapshot, async () => {
      const known = this.#devices.get(snapshot);
      if (known !== undefined) {
        this.#devices.delete(snapshot);
        this.#devices.set(snapshot, known);
        return known.device;
      }
      await using scope = new AsyncDisposableStack();
      scope.use(this.#store.lend(dataKeys));
      const held = await this.#store.hold(snapshot);
      try {
        this.#store.checkKey(held.root);
      } catch (error) {
        held[Symbol.dispose]();
        throw error;
      }
      const opened = scope.use(
        await SnapshotDevice.open({
          store: this.#store,
          held,
          cache: this.#cache,
          onTrouble: (error) => this.#log.error('snapshot.read', { snapshot, error: describeError(error) }),
        }),
      );
      await serve(opened);
      this.#devices.set(snapshot, { device: opened, scope: scope.move() });
      return opened;
    });
    await this.#closeUnused(snapshot);
    return device;
  }

  /** Ends the export, and with it its clients' connections. No error when there is none. */
  async close(snapshot: SnapshotId): Promise<void> {
    await this.#lock.run(snapshot, async () => {
      const open = this.#devices.get(snapshot);
      if (open === undefined) return;
      this.#devices.delete(snapshot);
      await this.#onClose(snapshot);
      await open.scope[Symbol.asyncDispose]();
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
