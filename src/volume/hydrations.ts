import { statfs } from 'node:fs/promises';

import { assert } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { VolumeId } from '#domain/ids.ts';

import type { HydrationStatus } from './host.ts';
import { Hydration } from './hydration.ts';
import type { VolumeDevice } from './volume-device.ts';

/** Volumes that are hydrated at once at the host's rate; the others wait for their turn. */
const TURNS = 2;
/** How often it is looked whether cuts are still pending of a volume that has all of its origin. */
const DETACH_RETRY_MS = 1_000;

export interface HydrationSettings {
  /** Of each volume, at most; 0: volumes are not hydrated, chunks come when they are read. */
  readonly bytesPerSecond: number;
}

/** 32 MiB/s: a tenth of what a disk gives, and 8 GiB in four minutes. */
export const HYDRATION_DEFAULT: HydrationSettings = { bytesPerSecond: 32 * 1024 ** 2 };

interface Running {
  readonly device: VolumeDevice;
  readonly hydration: Hydration;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/** The hydrations of a host's open volumes. */
export class Hydrations {
  readonly #directory: string;
  #settings: HydrationSettings;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #running = new Map<VolumeId, Running>();
  readonly #waiting: PromiseWithResolvers<void>[] = [];
  #turns = TURNS;

  constructor(options: {
    /** On the disk that volumes are on. */
    readonly directory: string;
    readonly settings: HydrationSettings;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#directory = options.directory;
    this.#settings = options.settings;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Begins for a volume that was opened; nothing to do where it reads through to nothing. `first`: chunks that come first. */
  start(device: VolumeDevice, first: readonly number[]): void {
    const { volume, originChunks } = device;
    if (originChunks === null || device.origin === null) return;
    assert(!this.#running.has(volume), 'a volume is hydrated once');
    const rate = (): number => this.#rateOf(device);
    const isOwnRate = device.hydrationBytesPerSecond !== null;
    const hydration = new Hydration({
      origin: originChunks,
      totalCount: device.origin.root.presentCount,
      first,
      get bytesPerSecond() {
        return rate();
      },
      freeBytes: async () => {
        const { bavail, bsize } = await statfs(this.#directory);
        return bavail * bsize;
      },
      isOwnRate,
      // Whoever asked for a rate gets it from the beginning.
      turn: (signal) => (isOwnRate ? Promise.resolve(NO_TURN) : this.#turn(signal)),
      clock: this.#clock,
    });
    const abort = new AbortController();
    const ended = this.#run(device, hydration, abort.signal);
    this.#running.set(volume, { device, hydration, abort, ended });
  }

  #rateOf({ hydrationBytesPerSecond }: VolumeDevice): number {
    return hydrationBytesPerSecond ?? this.#settings.bytesPerSecond;
  }

  async #run(device: VolumeDevice, hydration: Hydration, signal: AbortSignal): Promise<void> {
    const { volume } = device;
    if (signal.aborted) return;
    if (this.#rateOf(device) === 0) {
      hydration.rest();
      return;
    }
    try {
      await hydration.run(signal);
      this.#log.info('volume.hydrated', { volume });
      await this.#detach(device, signal);
    } catch (error) {
      if (!signal.aborted) this.#log.error('volume.hydration', { volume, error });
    }
  }

  /** Lets the origin go, as soon as no cut may need it. */
  async #detach(device: VolumeDevice, signal: AbortSignal): Promise<void> {
    const { volume } = device;
    for (;;) {
      try {
        if (await device.detach(signal)) {
          this.#log.info('volume.detached', { volume, snapshot: device.origin?.snapshot });
          return;
        }
      } catch (error) {
        if (signal.aborted || device.failure !== null) return; // When it is opened again, it is tried again.
        this.#log.warn('volume.detach', { volume, error });
      }
      await this.#clock.sleep(DETACH_RETRY_MS, signal);
    }
  }

  /** From now on, also of those that run and have no rate of their own: they go on where they are. */
  setRate(settings: HydrationSettings): void {
    if (settings.bytesPerSecond === this.#settings.bytesPerSecond) return;
    this.#settings = settings;
    for (const [volume, { device, hydration, abort: earlier, ended }] of this.#running) {
      if (device.hydrationBytesPerSecond !== null || hydration.status().state === 'hydrated') continue;
      earlier.abort(new Error('the rate has changed'));
      const abort = new AbortController();
      this.#running.set(volume, {
        device,
        hydration,
        abort,
        ended: ended.then(async () => await this.#run(device, hydration, abort.signal)),
      });
    }
  }

  /** Ends it, before the volume is closed. It goes on when the volume is opened again. */
  async stop(volume: VolumeId): Promise<void> {
    const running = this.#running.get(volume);
    if (running === undefined) return;
    this.#running.delete(volume);
    running.abort.abort(new Error('the volume is being closed'));
    await running.ended;
  }

  /** Null: the volume is not open, or reads through to nothing. */
  status(volume: VolumeId): HydrationStatus | null {
    return this.#running.get(volume)?.hydration.status() ?? null;
  }

  async #turn(signal: AbortSignal): Promise<Disposable> {
    if (this.#turns > 0) this.#turns -= 1;
    else await this.#untilTurn(signal);
    return { [Symbol.dispose]: () => this.#passOn() };
  }

  async #untilTurn(signal: AbortSignal): Promise<void> {
    const mine = Promise.withResolvers<void>();
    const onAbort = (): void => {
      const at = this.#waiting.indexOf(mine);
      if (at >= 0) this.#waiting.splice(at, 1);
      mine.reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.push(mine);
    try {
      await mine.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #passOn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#turns += 1;
    else next.resolve();
  }
}

const NO_TURN: Disposable = { [Symbol.dispose]: () => {} };
