import type { Log } from '#base/log.ts';
import type { CutId, Generation, SnapshotId, VolumeId } from '#domain/ids.ts';

import { type CopyJob, type UploadJob, type VolumeHost, VolumeHostError, type VolumeSpec } from './host.ts';
import type { HostConnection } from './host-connection.ts';
import { VERBS, VOLUMES_PER_COLLECT_MAX, VOLUMES_PER_STATUS_MAX } from './host-protocol.ts';
import { nbdUri } from './nbd-uri.ts';

/** The volume host in another process. It does not own that process, nor the connection: HostSupervisor does. */
export class HostClient implements VolumeHost {
  readonly #connection: () => Promise<HostConnection>;
  readonly #log: Log;

  /** `connection` answers the one in use now, or rejects with VolumeHostError `unavailable`. */
  constructor(options: { readonly connection: () => Promise<HostConnection>; readonly log: Log }) {
    this.#connection = options.connection;
    this.#log = options.log;
  }

  async create(spec: VolumeSpec): Promise<void> {
    await (await this.#connection()).call(VERBS.create, spec);
  }

  async open(volume: VolumeId, generation: Generation, dataKey: string | null = null) {
    const opened = await (await this.#connection()).call(VERBS.open, { volume, generation, dataKey });
    this.#log.info('volume.open', { volume, generation, uri: nbdUri(volume, opened.socketPath) });
    return opened;
  }

  async close(volume: VolumeId, generation: Generation): Promise<void> {
    await (await this.#connection()).call(VERBS.close, { volume, generation });
  }

  async grow(volume: VolumeId, sizeBytes: number): Promise<void> {
    await (await this.#connection()).call(VERBS.grow, { volume, sizeBytes });
  }

  async destroy(volume: VolumeId): Promise<void> {
    await (await this.#connection()).call(VERBS.destroy, { volume });
  }

  async status(volumes: readonly VolumeId[]) {
    const answers = [];
    for (let start = 0; start < volumes.length; start += VOLUMES_PER_STATUS_MAX) {
      const some = volumes.slice(start, start + VOLUMES_PER_STATUS_MAX);
      answers.push(...(await (await this.#connection()).call(VERBS.status, { volumes: some })));
    }
    return answers;
  }

  async cut(volumes: readonly VolumeId[], cut: CutId) {
    return (await this.#connection()).call(VERBS.cut, { volumes, cut });
  }

  async upload(job: UploadJob, signal: AbortSignal) {
    return (await this.#connection()).call(VERBS.upload, job, { signal });
  }

  async copySnapshot(job: CopyJob, signal: AbortSignal) {
    return (await this.#connection()).call(VERBS.copySnapshot, job, { signal });
  }

  async progress() {
    return (await this.#connection()).call(VERBS.progress, {});
  }

  async release(volume: VolumeId, cut: CutId): Promise<void> {
    await (await this.#connection()).call(VERBS.release, { volume, cut });
  }

  async openSnapshot(snapshot: SnapshotId, dataKey: string | null = null) {
    const opened = await (await this.#connection()).call(VERBS.openSnapshot, { snapshot, dataKey });
    this.#log.info('snapshot.open', { snapshot, uri: nbdUri(snapshot, opened.socketPath) });
    return opened;
  }

  async warmSnapshot(snapshot: SnapshotId, dataKey: string | null = null) {
    return (await this.#connection()).call(VERBS.warmSnapshot, { snapshot, dataKey });
  }

  async coolSnapshot(snapshot: SnapshotId): Promise<void> {
    await (await this.#connection()).call(VERBS.coolSnapshot, { snapshot });
  }

  async clients() {
    return (await this.#connection()).call(VERBS.clients, {});
  }

  async issueGrant(exportId: VolumeId | SnapshotId, ttlMs: number | null) {
    return (await this.#connection()).call(VERBS.issueGrant, { exportId, ttlMs });
  }

  async grants(exportId: VolumeId | SnapshotId | null) {
    return (await this.#connection()).call(VERBS.grants, { exportId });
  }

  async revokeGrant(grantId: string) {
    return (await this.#connection()).call(VERBS.revokeGrant, { grantId });
  }

  async archiveSnapshot(snapshot: SnapshotId, signal: AbortSignal, dataKey: string | null = null) {
    return (await this.#connection()).call(VERBS.archiveSnapshot, { snapshot, dataKey }, { signal });
  }

  async unarchiveSnapshot(snapshot: SnapshotId, signal: AbortSignal, dataKey: string | null = null): Promise<void> {
    await (await this.#connection()).call(VERBS.unarchiveSnapshot, { snapshot, dataKey }, { signal });
  }

  async deleteArchive(snapshot: SnapshotId): Promise<void> {
    await (await this.#connection()).call(VERBS.deleteArchive, { snapshot });
  }

  async deleteSnapshot(snapshot: SnapshotId): Promise<void> {
    await (await this.#connection()).call(VERBS.deleteSnapshot, { snapshot });
  }

  async snapshotSizes(snapshots: readonly SnapshotId[]) {
    return (await this.#connection()).call(VERBS.snapshotSizes, { snapshots });
  }

  async freedBytes(snapshots: readonly SnapshotId[]) {
    return (await (await this.#connection()).call(VERBS.freedBytes, { snapshots })).bytes;
  }

  async storeSize() {
    return (await this.#connection()).call(VERBS.storeSize, {});
  }

  async listBlocks(snapshot: SnapshotId, start: number, countMax: number) {
    return collectPages(start, countMax, async (from, count) =>
      (await this.#connection()).call(VERBS.listBlocks, { snapshot, start: from, countMax: count }),
    );
  }

  async changedBlocks(first: SnapshotId, second: SnapshotId, start: number, countMax: number) {
    return collectPages(start, countMax, async (from, count) =>
      (await this.#connection()).call(VERBS.changedBlocks, { first, second, start: from, countMax: count }),
    );
  }

  async readBlock(snapshot: SnapshotId, index: number, dataKey: string | null = null) {
    return (await this.#connection()).call(VERBS.readBlock, { snapshot, index, dataKey });
  }

  async writeBlock(volume: VolumeId, generation: Generation, index: number, bytes: Uint8Array): Promise<void> {
    await (await this.#connection()).call(VERBS.writeBlock, { volume, generation, index }, { payload: bytes });
  }

  async collect(volumes: readonly VolumeId[], signal: AbortSignal) {
    if (volumes.length > VOLUMES_PER_COLLECT_MAX) {
      const most = `a collection is told of at most ${VOLUMES_PER_COLLECT_MAX} restored volumes`;
      throw new VolumeHostError('internal', `there are ${volumes.length}, and ${most}: nothing was deleted`);
    }
    return (await this.#connection()).call(VERBS.collect, { volumes }, { signal });
  }

  /** Nothing is held here. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

interface Page<T> {
  readonly blocks: readonly T[];
  readonly next: number | null;
}

/** A frame holds fewer entries than a caller may ask for: several answers make one. Snapshots do not change meanwhile. */
async function collectPages<T>(
  start: number,
  countMax: number,
  ask: (start: number, countMax: number) => Promise<Page<T>>,
): Promise<Page<T>> {
  const blocks: T[] = [];
  let next: number | null = start;
  do {
    const page: Page<T> = await ask(next, countMax - blocks.length);
    blocks.push(...page.blocks);
    next = page.next;
  } while (next !== null && blocks.length < countMax);
  return { blocks, next };
}
