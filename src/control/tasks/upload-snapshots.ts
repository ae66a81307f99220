import type { ControlPorts } from '#control/ports.ts';
import { releaseEnded, uploadSnapshot } from '#control/upload.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Snapshot, SnapshotState } from '#domain/snapshot.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task, type TaskReport } from './task.ts';

/** The wait before a snapshot is tried again; doubles with each failure, up to the longest. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 60_000;
/** While there is enough to do, what else has come or was deleted is looked for so often. */
const LOOK_PERIOD_MS = 500;
/** Only completion says 100. */
const PERCENT_MAX = 99;

/** Whose cut the host need not keep. */
const UPLOADED: ReadonlySet<SnapshotState> = new Set(['completed', 'error', 'recoverable', 'recovering']);

/** What runs one after another: the cuts of a volume. A copy waits for no other. */
type Lane = VolumeId | SnapshotId;

function laneOf({ id, volume, copiedFrom }: Snapshot): Lane {
  return copiedFrom === null ? volume : id;
}

interface Running {
  readonly snapshot: Snapshot;
  readonly abort: AbortController;
}

interface Retry {
  readonly failures: number;
  readonly dueMs: number;
}

/**
 * Uploads what is pending: several volumes at once, the cuts of one volume in their order, because each is the base of the
 * next. One activation lasts as long as anything uploads; meanwhile it takes up new snapshots when nudged, asks for progress,
 * and aborts the uploads of snapshots that were deleted. A snapshot that failed waits for its own retry and holds up only
 * the later ones of its volume.
 */
export class UploadSnapshots implements Task {
  readonly name = 'upload-snapshots';
  readonly periodMs = 30_000;
  readonly startDelayMs = 0;
  readonly wakeDelayMs = 0;
  readonly #ports: ControlPorts;
  readonly #running = new Map<Lane, Running>();
  readonly #retries = new Map<SnapshotId, Retry>();
  /** Found by the last look and not started yet; no two of one lane, and none of a lane that is running. */
  #ready: Snapshot[] = [];
  #lookedMs = -Infinity;
  #stirred = Promise.withResolvers<void>();

  constructor(ports: ControlPorts) {
    this.#ports = ports;
  }

  nudge(): void {
    this.#stirred.resolve();
  }

  async activate(signal: AbortSignal): Promise<TaskReport> {
    const tally = new Tally();
    const onAbort = (): void => {
      for (const { abort } of this.#running.values()) abort.abort(signal.reason);
      this.nudge();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const work: Set<Promise<void>> = new Set();
    try {
      let waiting = 0;
      for (;;) {
        // What stirs from here on is seen by the next round.
        this.#stirred = Promise.withResolvers<void>();
        if (this.#isLookDue()) waiting = await this.#look(tally, signal);
        this.#begin(tally, work);
        if (work.size === 0) break;
        while (!(await this.#rest())) {
          await this.#readProgress();
          if (this.#isRetryDue() || this.#isLookDue()) break;
        }
      }
      for (let index = 0; index < waiting; index += 1) tally.failed();
      return tally.report();
    } finally {
      signal.removeEventListener('abort', onAbort);
      for (const { abort } of this.#running.values()) abort.abort(new Error('the uploads end'));
      await Promise.all(work);
    }
  }

  /** Looking goes through everything that is pending: not for each snapshot that comes or goes while there is enough to do. */
  #isLookDue(): boolean {
    const { clock, limits } = this.#ports;
    const isBusy = this.#ready.length > 0 || this.#running.size >= limits.uploadConcurrencyMax;
    return !isBusy || clock.monotonicMs() - this.#lookedMs >= LOOK_PERIOD_MS;
  }

  /** Finds what can start, the first of each lane; answers how many wait for a retry. */
  async #look(tally: Tally, signal: AbortSignal): Promise<number> {
    const ports = this.#ports;
    const pending = new Map<Lane, Snapshot>();
    const alive = new Set<SnapshotId>();
    const rows = eachRow((page) => ports.meta.read((tx) => tx.snapshots.unreleased(page)), signal);
    for await (const snapshot of rows) {
      if (UPLOADED.has(snapshot.state)) await this.#release(tally, snapshot);
      if (snapshot.state !== 'pending' || !snapshot.sealed) continue;
      alive.add(snapshot.id);
      const lane = laneOf(snapshot);
      const first = pending.get(lane);
      if (first === undefined || (snapshot.epoch ?? 0) < (first.epoch ?? 0)) pending.set(lane, snapshot);
    }
    for (const { snapshot, abort } of this.#running.values()) {
      if (!alive.has(snapshot.id)) abort.abort(new Error(`${snapshot.id} is not pending any more`));
    }
    for (const id of this.#retries.keys()) if (!alive.has(id)) this.#retries.delete(id);
    const nowMs = ports.clock.monotonicMs();
    const first = [...pending.values()].filter((snapshot) => !this.#running.has(laneOf(snapshot)));
    const isWaiting = ({ id }: Snapshot): boolean => (this.#retries.get(id)?.dueMs ?? nowMs) > nowMs;
    this.#ready = first.filter((snapshot) => !isWaiting(snapshot));
    this.#lookedMs = nowMs;
    return first.length - this.#ready.length;
  }

  /** Starts as many as there is room for. One that was deleted since it was found ends at once. */
  #begin(tally: Tally, work: Set<Promise<void>>): void {
    const room = this.#ports.limits.uploadConcurrencyMax - this.#running.size;
    for (const snapshot of this.#ready.splice(0, Math.max(0, room))) this.#start(tally, work, snapshot);
  }

  #start(tally: Tally, work: Set<Promise<void>>, snapshot: Snapshot): void {
    const abort = new AbortController();
    const lane = laneOf(snapshot);
    this.#running.set(lane, { snapshot, abort });
    const upload: Promise<void> = this.#upload(tally, snapshot, abort.signal).finally(() => {
      this.#running.delete(lane);
      work.delete(upload);
      this.nudge();
    });
    work.add(upload);
  }

  async #upload(tally: Tally, snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const end = await uploadSnapshot(this.#ports, snapshot, signal);
    if (end === 'ended') {
      tally.done();
      this.#retries.delete(snapshot.id);
      await this.#release(tally, snapshot);
      return;
    }
    const failures = (this.#retries.get(snapshot.id)?.failures ?? 0) + 1;
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures - 1, 16));
    this.#retries.set(snapshot.id, { failures, dueMs: this.#ports.clock.monotonicMs() + waitMs });
  }

  /** Gives the cut back, if the upload has ended and nobody did. */
  async #release(tally: Tally, snapshot: Snapshot): Promise<void> {
    try {
      const current = await this.#ports.meta.read((tx) => tx.snapshots.find(snapshot.id));
      if (current === null || current.released || !UPLOADED.has(current.state)) return;
      await releaseEnded(this.#ports, current);
    } catch (error) {
      this.#ports.log.warn('cut.release', { snapshot: snapshot.id, error });
      tally.failed();
    }
  }

  #isRetryDue(): boolean {
    const nowMs = this.#ports.clock.monotonicMs();
    const running = new Set([...this.#running.values()].map(({ snapshot }) => snapshot.id));
    return [...this.#retries].some(([id, { dueMs }]) => dueMs <= nowMs && !running.has(id));
  }

  /** Until it is time to ask for progress (false), or something stirred (true). */
  async #rest(): Promise<boolean> {
    const timer = new AbortController();
    const slept = this.#ports.clock.sleep(this.#ports.limits.progressPeriodMs, timer.signal).then(
      () => false,
      () => false,
    );
    const stirred = await Promise.race([slept, this.#stirred.promise.then(() => true)]);
    timer.abort();
    return stirred;
  }

  /**
   * Progress is recorded with the snapshot, one transaction for all, so that it never falls, also not when the server is
   * started again and the host begins to count anew.
   */
  async #readProgress(): Promise<void> {
    const { host, meta, log } = this.#ports;
    try {
      const progress = new Map(Object.entries(await host.progress()));
      const percents = [...this.#running.values()].flatMap(({ snapshot }) => {
        const { doneBytes, totalBytes } = progress.get(snapshot.id) ?? { doneBytes: 0, totalBytes: 0 };
        const percent = totalBytes === 0 ? 0 : Math.min(PERCENT_MAX, Math.floor((100 * doneBytes) / totalBytes));
        return percent > 0 ? [{ id: snapshot.id, percent }] : [];
      });
      if (percents.length === 0) return;
      await meta.transact(async (tx) => {
        for (const { id, percent } of percents) await tx.snapshots.raiseProgress(id, percent);
      });
    } catch (error) {
      // The uploads themselves say what is wrong; a figure that is not there is no failure.
      log.warn('upload.progress', { error });
    }
  }
}
