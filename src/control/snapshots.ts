import { assert, present } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import { type CutId, cutIdOf, type Epoch, newSnapshotId, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import { parentOf } from '#domain/lineage.ts';
import { checkName } from '#domain/name.ts';
import type { Operation } from '#domain/operation.ts';
import { NO_SNAPSHOT_DETAILS, type Snapshot } from '#domain/snapshot.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import { VOLUME_TYPES } from '#domain/volume-type.ts';
import type { Face, Scope, Volume } from '#domain/volume.ts';
import type { SnapshotSearch, Tx } from '#meta/meta-store.ts';
import { type FoundAgain, once } from './creation.ts';
import { type Deleted, deleteOnce, type DeleteRequest } from './delete-once.ts';
import { giveUpSnapshot, retireSnapshot } from './deletion.ts';
import { isHostError, onOpenVolume } from './host-failure.ts';
import { findTokenResult, recordToken, type TokenUse } from './idempotency.ts';
import {
  eachOnce,
  isSnapshotId,
  type Ref,
  snapshotBegun,
  snapshotIn,
  snapshotNamed,
  snapshotOf,
  snapshotUsable,
  volumeOf,
} from './lookup.ts';
import { operationsOf, startOperations } from './operations.ts';
import { checkSnapshotPlace, outpostAsked } from './outposts.ts';
import { readPage, slicePage } from './pages.ts';
import type { ControlPorts } from './ports.ts';
import { asSeenBy, seenRows, type SeenSnapshot } from './seen-snapshots.ts';

/*
 * A snapshot begins in three steps:
 *   1. one transaction: the record as `cutting`, its name, its operations;
 *   2. the host cuts: from here on the instant is fixed and durable;
 *   3. one transaction: `pending`, with the epoch. Then the answer, and the uploader.
 * What fails in 2 or 3, or is found `cutting` with no request at work on it, is given up and not cut again: its client got
 * no answer and asks again, which must find the name and the token free and must not end in two snapshots; and an instant
 * after a restart is not the instant that was asked for.
 */

export interface CreateSnapshot {
  readonly face: Face;
  /** Lightsail's name; null in EC2. */
  readonly name: string | null;
  readonly volume: Ref<VolumeId>;
  readonly description: string;
  /** The day of an automatic one; missing: somebody asked for it. */
  readonly autoDate?: string;
  /** Whose system volume it is, where that was asked for by the machine's name. */
  readonly fromInstance?: NonNullable<Snapshot['fromInstance']>;
  readonly tags: readonly Tag[];
  /** ARN of the Outpost in whose store it is to be; null or missing: it goes to the region's. */
  readonly outpost?: string | null;
  /** Client token: the same request again answers the snapshot it made, and does not cut again. */
  readonly token: string | null;
  /** Lightsail's operation type to record (`CreateDiskSnapshot`), for the snapshot and then for the disk; null: none. */
  readonly operation: string | null;
}

export interface SnapshotCreated {
  readonly snapshot: Snapshot;
  /** As they were recorded: Started. A repetition shows them as they are by then. */
  readonly operations: readonly Operation[];
}

/**
 * Resolves with a pending snapshot once the cut is durable: what was acknowledged before the call is in, what is written
 * afterwards is not. Refuses: not-found (volume, or what the token made is deleted), wrong-state (volume), invalid-value,
 * name-taken, limit, snapshot-rate, token-mismatch.
 */
export async function createSnapshot(
  ports: ControlPorts,
  scope: Scope,
  request: CreateSnapshot,
): Promise<SnapshotCreated> {
  return await once<SnapshotId, SnapshotCreated>(ports, {
    newId: () => newSnapshotId(ports.random),
    make: (id) => cutSnapshot(ports, scope, id, request),
    findAgain: (id) =>
      ports.meta.read(async (tx) => ({
        snapshot: await snapshotBegun(tx, id),
        operations: await operationsOf(tx, id, request.operation),
      })),
    isSettled: ({ snapshot }) => snapshot.state !== 'cutting',
  });
}

async function cutSnapshot(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  request: CreateSnapshot,
): Promise<SnapshotCreated | FoundAgain<SnapshotId>> {
  const intent = await ports.meta.transact((tx) => recordSnapshot(ports, tx, scope, id, request));
  if ('again' in intent) return intent;
  const { snapshot, volume, operations } = intent;
  try {
    const epoch = await cutVolume(ports, volume, snapshot.cut);
    const pending = await ports.meta.transact(async (tx) => {
      const current = present(await tx.snapshots.find(id), 'a snapshot that is being cut exists');
      // It may have grown since: the cut has no more than what the metadata says by now.
      const volumeSizeGib = (await tx.volumes.find(snapshot.volume))?.sizeGib ?? current.volumeSizeGib;
      const changed: Snapshot = { ...current, state: 'pending', epoch, volumeSizeGib };
      await tx.snapshots.update(changed);
      return changed;
    });
    ports.wake('upload-snapshots');
    return { snapshot: pending, operations };
  } catch (error) {
    await giveUpSnapshot(ports, id);
    // The volume was deleted meanwhile.
    if (isHostError(error, 'volume-not-found')) {
      refuse({ kind: 'not-found', resource: 'volume', id: snapshot.volume });
    }
    throw error;
  }
}

async function recordSnapshot(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  id: SnapshotId,
  request: CreateSnapshot,
): Promise<(SnapshotCreated & { readonly volume: Volume }) | FoundAgain<SnapshotId>> {
  const { token, operation, ...rest } = request;
  const use: TokenUse = { purpose: 'create-snapshot', token, request: rest };
  const again = await findTokenResult(tx, scope, use);
  if (again !== null) {
    assert(isSnapshotId(again), 'the token of a snapshot names a snapshot');
    return { again };
  }
  const volume = await volumeOf(tx, scope, request.volume);
  if (request.name !== null) checkName(request.name, 'name');
  const planned = await planSnapshot(ports, tx, volume, { ...request, id, cut: cutIdOf(id) });
  const { autoDate = null, fromInstance = null } = request;
  const snapshot: Snapshot = { ...planned, autoDate, fromInstance };
  if (request.name !== null && !(await tx.names.claim(scope, request.name, id))) {
    refuse({ kind: 'name-taken', name: request.name });
  }
  await tx.snapshots.insert(snapshot);
  await recordToken(tx, scope, use, id, snapshot.startedAtMs);
  const operations = await recordSnapshotOperations(ports, tx, snapshot, volume, operation);
  return { snapshot, volume, operations };
}

/** The record of a snapshot of `volume`, which is about to be cut. Refuses: wrong-state, invalid-value (tags, outpost), limit, snapshot-rate. */
export async function planSnapshot(
  ports: ControlPorts,
  tx: Tx,
  volume: Volume,
  request: Pick<CreateSnapshot, 'face' | 'name' | 'description' | 'tags' | 'outpost'> & {
    readonly id: SnapshotId;
    readonly cut: CutId;
  },
): Promise<Snapshot> {
  if (volume.state !== 'available') {
    refuse({ kind: 'wrong-state', resource: 'volume', id: volume.id, state: volume.state });
  }
  const tags = tagsOf(TAG_RULES[request.face], request.tags, ports.limitsOf(volume.account).tagCountMax);
  const outpost = checkSnapshotPlace(volume, outpostAsked(ports, volume, request.outpost));
  const parent = await checkSnapshotLimits(ports, tx, volume);
  return {
    account: volume.account,
    region: volume.region,
    id: request.id,
    face: request.face,
    name: request.name,
    volume: volume.id,
    volumeName: volume.name,
    volumeSizeGib: volume.sizeGib,
    state: 'cutting',
    stateMessage: null,
    progressPercent: 0,
    description: request.description,
    // Its age is counted from then.
    startedAtMs: ports.time.latestMs(),
    completedAtMs: null,
    cut: request.cut,
    epoch: null,
    parent,
    fullBytes: null,
    changedBytes: null,
    storedBytes: null,
    direct: false,
    sealed: true,
    released: false,
    timeoutMinutes: null,
    touchedAtMs: null,
    lineage: volume.lineage,
    ...NO_SNAPSHOT_DETAILS,
    encryption: volume.encryption,
    productCodes: volume.productCodes,
    outpost,
    tags,
  };
}

/** Ends the volume's epoch; answers which one. The same cut again answers the same. */
export async function cutVolume(ports: ControlPorts, volume: Volume, cut: CutId): Promise<Epoch> {
  const cuts = await onOpenVolume(ports, volume, () => ports.host.cut([volume.id], cut));
  return present(
    cuts.find((one) => one.volume === volume.id),
    'a cut answers the epoch of every volume',
  ).epoch;
}

/** Refuses what is too much, and notes that it was asked for; answers the new snapshot's parent. */
async function checkSnapshotLimits(ports: ControlPorts, tx: Tx, volume: Volume): Promise<SnapshotId | null> {
  const { snapshotCountMax, pendingSnapshotCountMax, pendingSnapshotsPerVolumeMax, snapshotIntervalMsMin } =
    ports.limitsOf(volume.account);
  const perVolumeMax = pendingSnapshotsPerVolumeMax || VOLUME_TYPES[volume.type].pendingSnapshotsMax;
  const pending = await tx.snapshots.ofVolume(volume.id, 'pending', null, perVolumeMax);
  const cutting = await tx.snapshots.ofVolume(volume.id, 'cutting', null, perVolumeMax);
  const completed = await tx.snapshots.ofVolume(volume.id, 'completed', null, 1);
  const nowMs = ports.clock.nowMs();
  const sinceMs = nowMs - (volume.snapshotAskedAtMs ?? -Infinity);
  // A negative time since then is a clock that was set back, not a rate.
  if (sinceMs >= 0 && sinceMs < snapshotIntervalMsMin) refuse({ kind: 'snapshot-rate', volume: volume.id });
  if (pending.length + cutting.length >= perVolumeMax) {
    refuse({ kind: 'limit', limit: 'pending-snapshots-per-volume', max: perVolumeMax });
  }
  if ((await tx.snapshots.countPending(volume)) >= pendingSnapshotCountMax) {
    refuse({ kind: 'limit', limit: 'pending-snapshots', max: pendingSnapshotCountMax });
  }
  await checkSnapshotCount(tx, volume, snapshotCountMax);
  if (snapshotIntervalMsMin > 0) await tx.volumes.update({ ...volume, snapshotAskedAtMs: nowMs });
  return parentOf(volume, [...pending, ...completed]);
}

export async function checkSnapshotCount(tx: Tx, scope: Scope, countMax: number): Promise<void> {
  const count = await tx.snapshots.count(scope);
  if (count < countMax) return;
  // What the server makes for a volume takes no place of a client's; it is counted only when it matters.
  if (count - (await tx.snapshots.countStaging(scope)) >= countMax) {
    refuse({ kind: 'limit', limit: 'snapshots', max: countMax });
  }
}

/** Two, in this order: the snapshot's, which is in no zone, and its disk's or machine's. Both end with the snapshot. */
async function recordSnapshotOperations(
  ports: ControlPorts,
  tx: Tx,
  snapshot: Snapshot,
  volume: Volume,
  type: string | null,
): Promise<readonly Operation[]> {
  if (type === null) return [];
  const snapshotName = snapshot.name ?? snapshot.id;
  const { fromInstance } = snapshot;
  const sourceName = fromInstance?.name ?? volume.name ?? volume.id;
  const sourceType = fromInstance === null ? 'Disk' : 'Instance';
  return await startOperations(ports, tx, snapshot, snapshot.id, [
    { type, resourceName: snapshotName, resourceType: 'DiskSnapshot', zone: 'all', details: sourceName },
    { type, resourceName: sourceName, resourceType: sourceType, zone: volume.zone, details: snapshotName },
  ]);
}

/** Also of a pending one. The snapshot is gone for clients when it resolves. Refuses: not-found, token-mismatch. */
export async function deleteSnapshot(
  ports: ControlPorts,
  scope: Scope,
  snapshot: Ref<SnapshotId>,
  { token, operation }: DeleteRequest,
): Promise<Deleted> {
  const use: TokenUse = { purpose: 'delete-snapshot', token, request: { snapshot, operation } };
  return await deleteOnce(ports, scope, {
    use,
    operation,
    find: async (tx) => (await snapshotOf(tx, scope, snapshot)).id,
    isId: isSnapshotId,
    retire: (id) => retireSnapshot(ports, scope, id, { use, operation }),
  });
}

/** Refuses: not-found. Its state is never `cutting` or `deleting`: those are not found. */
export async function findSnapshot(ports: ControlPorts, scope: Scope, id: SnapshotId): Promise<Snapshot> {
  return await ports.meta.read((tx) => snapshotIn(tx, scope, id));
}

/** Also another account's that is shared. Refuses: not-found. */
export async function findUsableSnapshot(ports: ControlPorts, scope: Scope, id: SnapshotId): Promise<Snapshot> {
  return await ports.meta.read((tx) => snapshotUsable(tx, scope, id));
}

/** Refuses: not-found, also when the name is a volume's. */
export async function findSnapshotByName(ports: ControlPorts, scope: Scope, name: string): Promise<Snapshot> {
  return await ports.meta.read((tx) => snapshotNamed(tx, scope, name));
}

export interface ListSnapshots {
  readonly ids: readonly SnapshotId[] | null;
  readonly face: Face | null;
  /** Without ids: how the account's own are found, each way giving some of them; null or missing: all are gone through. */
  readonly searches?: readonly SnapshotSearch[] | null;
  /** Whether other accounts' snapshots that this one may use are shown, too: without their tags. By default they are not. */
  readonly shared?: boolean;
  readonly after: string | null;
  readonly countMax: number;
  readonly match?: (snapshot: Snapshot) => boolean;
}

/** As listVolumes. */
export async function listSnapshots(
  ports: ControlPorts,
  scope: Scope,
  request: ListSnapshots,
): Promise<{ readonly snapshots: readonly Snapshot[]; readonly next: string | null }> {
  const { ids, face, shared = false, match } = request;
  if (ids !== null) {
    const snapshots = await ports.meta.read((tx) =>
      eachOnce(ids, (id) => (shared ? snapshotUsable(tx, scope, id) : snapshotIn(tx, scope, id))),
    );
    const seen = snapshots.map((snapshot) => asSeenBy(scope, snapshot));
    const page = await slicePage(ports, scope, 'snapshots by id', request, seen);
    return { snapshots: page.records, next: page.next };
  }
  const passes = ({ snapshot, isUsable }: SeenSnapshot): boolean => isUsable && (match?.(snapshot) ?? true);
  const filter = shared || match !== undefined ? { match: passes } : {};
  const pageRequest = { after: request.after, countMax: request.countMax, ...filter };
  const page = await readPage<SeenSnapshot>(ports, scope, `snapshots ${face} ${shared}`, pageRequest, (part) =>
    ports.meta.read((tx) => seenRows(tx, scope, request, part)),
  );
  return { snapshots: page.records.map(({ snapshot }) => snapshot), next: page.next };
}
