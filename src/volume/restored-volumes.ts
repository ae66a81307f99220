import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';

import type { AccessTraces, TraceRecorder } from './access-traces.ts';
import type { HydrationStatus } from './host.ts';
import { hydratedStatus } from './hydration.ts';
import type { Hydrations } from './hydrations.ts';
import type { VolumeDevice } from './volume-device.ts';

interface Restored {
  readonly origin: SnapshotId;
  /** Null: it has all of its origin, so nothing is read through. */
  readonly recorder: TraceRecorder | null;
}

/** What goes on behind the open volumes that were made from a snapshot: what is read first is written down, and all of it is fetched, in the order in which it was read before. */
export class RestoredVolumes {
  readonly #hydrations: Hydrations;
  readonly #traces: AccessTraces;
  readonly #open = new Map<VolumeId, Restored>();

  constructor(options: { readonly hydrations: Hydrations; readonly traces: AccessTraces }) {
    this.#hydrations = options.hydrations;
    this.#traces = options.traces;
  }

  /** A volume was opened, and nobody reads it yet. Nothing to do for one that reads through to nothing. */
  async begin(device: VolumeDevice): Promise<void> {
    const { volume, originChunks } = device;
    if (device.origin === null) return;
    const origin = device.origin.snapshot;
    if (originChunks === null) {
      this.#open.set(volume, { origin, recorder: null });
      return;
    }
    await this.#saveTraces(origin);
    const first = await this.#traces.read(origin);
    const recorder = this.#traces.record(origin);
    originChunks.onNeeded = (index) => {
      if (recorder.note(index)) return;
      originChunks.onNeeded = null;
      void recorder.save();
    };
    this.#open.set(volume, { origin, recorder });
    this.#hydrations.start(device, first);
  }

  /** Ends what goes on, before the device is closed. */
  async end(device: VolumeDevice): Promise<void> {
    const restored = this.#open.get(device.volume);
    if (restored === undefined) return;
    this.#open.delete(device.volume);
    if (device.originChunks !== null) device.originChunks.onNeeded = null;
    await this.#hydrations.stop(device.volume);
    await restored.recorder?.save();
  }

  /** A snapshot was made of the volume: what is made from that is read in the same order. */
  async inherit(device: VolumeDevice, snapshot: SnapshotId): Promise<void> {
    const restored = this.#open.get(device.volume);
    if (restored === undefined) return;
    await restored.recorder?.save();
    await this.#traces.inherit(restored.origin, snapshot);
  }

  /** The snapshot is deleted: no volume is made from it any more. */
  async forget(snapshot: SnapshotId): Promise<void> {
    await this.#traces.remove(snapshot);
  }

  /** Null: the volume was made from nothing. */
  status(device: VolumeDevice): HydrationStatus | null {
    if (device.origin === null) return null;
    const status = this.#hydrations.status(device.volume);
    const { presentCount } = device.origin.root;
    return { ...(status ?? hydratedStatus(presentCount * CHUNK_BYTES)), detached: device.isDetached };
  }

  async #saveTraces(origin: SnapshotId): Promise<void> {
    const same = [...this.#open.values()].filter((restored) => restored.origin === origin);
    await Promise.all(same.map(async ({ recorder }) => await recorder?.save()));
  }
}
