import { assert } from '#base/assert.ts';
import type { Encryption } from '#domain/encryption.ts';
import { refuse } from '#domain/errors.ts';
import { gibToBytes } from '#domain/geometry.ts';
import { newSnapshotId, newVolumeId, type RegionName, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import { lineageOf } from '#domain/lineage.ts';
import { checkName } from '#domain/name.ts';
import type { Operation } from '#domain/operation.ts';
import { findZone } from '#domain/region.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import { INITIALIZATION_RATE_MIBPS, LIGHTSAIL_DISK_GIB, planVolume, type VolumePlan } from '#domain/volume-type.ts';
import {
  type Face,
  NO_VOLUME_DETAILS,
  type Scope,
  type Volume,
  type VolumeAttachment,
  type VolumeType,
} from '#domain/volume.ts';
import type { ReadTx, TagSearch, Tx } from '#meta/meta-store.ts';
import { type FoundAgain, once } from './creation.ts';
import { type Deleted, deleteOnce, type DeleteRequest } from './delete-once.ts';
import { giveUpVolume, retireVolume } from './deletion.ts';
import { isFastRestored } from './fast-restores.ts';
import { isHostError } from './host-failure.ts';
import { findTokenResult, recordToken, type TokenUse } from './idempotency.ts';
import {
  eachOnce,
  isVolumeId,
  type Ref,
  refuseUnusable,
  snapshotUsable,
  volumeIn,
  volumeNamed,
  volumeOf,
} from './lookup.ts';
import type { Caller } from './kms/access.ts';
import { encryptionCall, type EncryptionAsked, encryptionOfVolume, NOTHING_ASKED } from './kms/volume-encryption.ts';
import { endOperations, operationsOf, startOperations } from './operations.ts';
import { withDataKey } from './open-volume.ts';
import { checkOriginPlace, checkOutpostZone, outpostAsked } from './outposts.ts';
import { mergedRows, readPage, slicePage } from './pages.ts';
import type { ControlPorts } from './ports.ts';
import { copyOf } from './snapshot-copies.ts';

/*
 * A volume is made in three steps, and a crash between any two of them leaves something a reconciler understands:
 *   1. one transaction: the record as `creating`, its name, its token, its operation;
 *   2. the host makes its directory and opens it;
 *   3. one transaction: `available`.
 * What fails in 2 or 3, or is found `creating` with no request at work on it, is undone: its client got no answer, asks
 * again, and finds its name and its token free. Deletion runs the other way (deletion.ts).
 */

/** More than any disk takes. */
const FAST_RESTORE_BYTES_PER_SECOND = 64 * 1024 ** 3;

export interface CreateVolume {
  readonly face: Face;
  /** Lightsail's name; null in EC2. */
  readonly name: string | null;
  readonly zone: string;
  /** Null: as large as the snapshot. */
  readonly sizeGib: number | null;
  readonly type: VolumeType;
  readonly iops: number | null;
  readonly throughputMibps: number | null;
  readonly multiAttach: boolean;
  readonly origin: SnapshotId | null;
  /** Where the origin is, when not in the region of the request: blueprints are in all. */
  readonly originRegion?: RegionName;
  /** ARN of the Outpost that it is to lie on; null or missing: it lies in the region. */
  readonly outpost?: string | null;
  /** MiB/s at which it is filled from its origin; null or missing: as the server is set. */
  readonly initializationRateMibps?: number | null;
  readonly tags: readonly Tag[];
  /** What the request says about encryption; missing: nothing. */
  readonly encryption?: EncryptionAsked;
  /** Whose permissions for the KMS key count; missing: the account's. */
  readonly caller?: Caller;
  /** Client token: the same request again answers the volume it made. */
  readonly token: string | null;
  /** Lightsail's operation type to record (`CreateDisk`); null: none. */
  readonly operation: string | null;
}

export interface VolumeCreated {
  readonly volume: Volume;
  /** As they were recorded: Started. They succeed together with the creation, and a repetition shows them so. */
  readonly operations: readonly Operation[];
}

/**
 * Refuses: zone-not-found, invalid-value (name, size, iops, throughput, multi-attach, initialization rate, tags, outpost), missing
 * (size or initialization rate without origin, iops), not-found (origin, or what the token made is deleted), wrong-state (origin not completed), name-taken, limit,
 * token-mismatch.
 */
export async function createVolume(ports: ControlPorts, scope: Scope, request: CreateVolume): Promise<VolumeCreated> {
  return await once(ports, {
    newId: () => newVolumeId(ports.random),
    make: (id) => makeVolume(ports, scope, id, request),
    findAgain: (id) =>
      ports.meta.read(async (tx) => ({
        volume: await volumeIn(tx, scope, id),
        operations: await operationsOf(tx, id, request.operation),
      })),
    // One that waits for what it is made of is not left half made.
    isSettled: ({ volume }) => volume.state !== 'creating' || volume.staging !== null,
  });
}

async function makeVolume(
  ports: ControlPorts,
  scope: Scope,
  id: VolumeId,
  request: CreateVolume,
): Promise<VolumeCreated | FoundAgain<VolumeId>> {
  // First: what it was made of may be gone since.
  const again = await ports.meta.read((tx) => findAgain(tx, scope, request));
  if (again !== null) return again;
  const encryption = await encryptionFor(ports, scope, request);
  const intent = await ports.meta.transact((tx) => recordVolume(ports, tx, scope, id, request, encryption));
  if ('again' in intent) return intent;
  const { volume, operations } = intent;
  if (volume.staging !== null) {
    ports.wake('upload-snapshots');
    return intent;
  }
  try {
    await makeOnHost(ports, volume);
    const available = await ports.meta.transact(async (tx) => {
      await endOperations(ports, tx, id, { status: 'Succeeded' });
      return await setVolumeState(tx, volume, 'available');
    });
    return { volume: available, operations };
  } catch (error) {
    await giveUpVolume(ports, volume.id);
    // The origin was deleted after it was looked up.
    if (isHostError(error, 'snapshot-not-found') && volume.origin !== null) {
      refuse({ kind: 'not-found', resource: 'snapshot', id: volume.origin });
    }
    throw error;
  }
}

/** Before the record is made: the key is asked for outside of its transaction. Disks of Lightsail are encrypted when what they are made of is. */
export async function encryptionFor(
  ports: ControlPorts,
  scope: Scope,
  request: Omit<CreateVolume, 'token' | 'operation'>,
): Promise<Encryption | null> {
  const { origin: id, face, encryption: asked = NOTHING_ASKED } = request;
  const origin =
    id === null ? null : await ports.meta.read((tx) => snapshotUsable(tx, originPlace(scope, request), id));
  // Outposts have nothing that is not encrypted.
  if (outpostAsked(ports, scope, request.outpost) !== null) {
    const call = encryptionCall(ports, scope, request.caller ?? null);
    return await encryptionOfVolume(call, { ...asked, isEncrypted: true }, origin);
  }
  if (face === 'lightsail' && (origin?.encryption ?? null) === null) return null;
  return await encryptionOfVolume(encryptionCall(ports, scope, request.caller ?? null), asked, origin);
}

async function recordVolume(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  id: VolumeId,
  request: CreateVolume,
  encryption: Encryption | null,
): Promise<VolumeCreated | FoundAgain<VolumeId>> {
  const again = await findAgain(tx, scope, request);
  if (again !== null) return again;
  const volume = await insertVolume(ports, tx, scope, id, request, encryption);
  await recordToken(tx, scope, useOf(request), id, ports.time.latestMs());
  return { volume, operations: await recordCreation(ports, tx, volume, request.operation) };
}

/** The intent alone, as `creating`: whoever records it brings the volume on. Refuses as createVolume. */
export async function insertVolume(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  id: VolumeId,
  request: Omit<CreateVolume, 'token' | 'operation'>,
  encryption: Encryption | null,
  attachment: VolumeAttachment | null = null,
): Promise<Volume> {
  const volume = { ...(await planNewVolume(ports, tx, scope, id, request, encryption)), attachment };
  await checkVolumeLimits(ports, tx, scope, volume);
  if (volume.name !== null && !(await tx.names.claim(scope, volume.name, id))) {
    refuse({ kind: 'name-taken', name: volume.name });
  }
  await tx.volumes.insert(volume);
  return volume;
}

function originPlace(scope: Scope, { originRegion }: Pick<CreateVolume, 'originRegion'>): Scope {
  return { account: scope.account, region: originRegion ?? scope.region };
}

function useOf({ token, operation: _operation, caller: _caller, ...request }: CreateVolume): TokenUse {
  return { purpose: 'create-volume', token, request };
}

/** What the token made before; null: nothing. Refuses: token-mismatch. */
async function findAgain(tx: ReadTx, scope: Scope, request: CreateVolume): Promise<FoundAgain<VolumeId> | null> {
  const again = await findTokenResult(tx, scope, useOf(request));
  if (again === null) return null;
  assert(isVolumeId(again), 'the token of a volume names a volume');
  return { again };
}

async function planNewVolume(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  id: VolumeId,
  request: Omit<CreateVolume, 'token' | 'operation'>,
  encryption: Encryption | null,
): Promise<Volume> {
  if (findZone(scope.region, request.zone) === null) refuse({ kind: 'zone-not-found', zone: request.zone });
  if (request.name !== null) checkName(request.name, 'name');
  const tags = tagsOf(TAG_RULES[request.face], request.tags, ports.limitsOf(scope.account).tagCountMax);
  const origin = request.origin === null ? null : await snapshotUsable(tx, originPlace(scope, request), request.origin);
  if (origin !== null) refuseUnusable(origin);
  const outpost = outpostAsked(ports, scope, request.outpost);
  checkOriginPlace(origin, outpost?.arn ?? null);
  if (outpost !== null) checkOutpostZone(outpost, request.zone);
  const sizeGib = request.sizeGib ?? origin?.volumeSizeGib ?? refuse({ kind: 'missing', field: 'size' });
  if (origin !== null && sizeGib < origin.volumeSizeGib) {
    const reason = `the snapshot ${origin.id} has ${origin.volumeSizeGib} GiB, and a volume is not smaller than its snapshot`;
    refuse({ kind: 'invalid-value', field: 'size', reason });
  }
  if (request.face === 'lightsail') checkDiskSize(sizeGib);
  const initializationRateMibps = request.initializationRateMibps ?? null;
  checkInitializationRate(initializationRateMibps, origin !== null);
  const { type, iops, throughputMibps, multiAttach } = request;
  return {
    ...planVolume({ type, sizeGib, iops, throughputMibps, multiAttach }),
    ...scope,
    id,
    face: request.face,
    draft: false,
    name: request.name,
    zone: request.zone,
    state: 'creating',
    createdAtMs: ports.clock.nowMs(),
    origin: request.origin,
    generation: 1,
    lineage: lineageOf(id, origin),
    ...NO_VOLUME_DETAILS,
    encryption,
    initializationRateMibps,
    // Who asks for a rate gets that one.
    fastRestored:
      origin !== null && initializationRateMibps === null && (await isFastRestored(tx, scope, origin.id, request.zone)),
    productCodes: origin?.productCodes ?? [],
    outpost: outpost?.arn ?? null,
    staging: origin === null ? null : await stageForeign(ports, tx, scope, origin, encryption),
    tags,
  };
}

/**
 * Volumes read through to their own account's chunks only: what another account shares is copied first, for this volume
 * alone. Null: it is the account's own.
 */
async function stageForeign(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  origin: Snapshot,
  encryption: Encryption | null,
): Promise<SnapshotId | null> {
  if (origin.account === scope.account) return null;
  const copy = copyOf(origin, scope, newSnapshotId(ports.random), ports.clock.nowMs());
  // Where the other is: a local one leaves its Outpost for nobody.
  await tx.snapshots.insert({ ...copy, encryption, isStaging: true, outpost: origin.outpost });
  return copy.id;
}

function checkInitializationRate(mibps: number | null, hasOrigin: boolean): void {
  if (mibps === null) return;
  if (!hasOrigin) refuse({ kind: 'missing', field: 'snapshot' });
  const { min, max } = INITIALIZATION_RATE_MIBPS;
  if (!Number.isSafeInteger(mibps) || mibps < min || mibps > max) {
    refuse({
      kind: 'invalid-value',
      field: 'initialization rate',
      reason: `a volume is filled at ${min} to ${max} MiB/s`,
    });
  }
}

function checkDiskSize(sizeGib: number): void {
  const { min, max } = LIGHTSAIL_DISK_GIB;
  if (sizeGib < min || sizeGib > max) {
    refuse({ kind: 'invalid-value', field: 'size', reason: `a disk has ${min} to ${max} GiB` });
  }
}

/** Refuses: limit. */
export async function checkVolumeLimits(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  plan: Pick<VolumePlan, 'type' | 'sizeGib' | 'iops'>,
): Promise<void> {
  const { volumeCountMax, volumeGibTotalMax } = ports.limitsOf(scope.account);
  const have = await tx.volumes.count(scope);
  if (have.count >= volumeCountMax) refuse({ kind: 'limit', limit: 'volumes', max: volumeCountMax });
  if (have.sizeGib + plan.sizeGib > volumeGibTotalMax)
    refuse({ kind: 'limit', limit: 'volume-gib', max: volumeGibTotalMax });
  await checkProvisionedIops(ports, tx, scope, plan, 0);
}

/** `before`: of the same volume, which counts no more. Refuses: limit. */
export async function checkProvisionedIops(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  { type, iops }: Pick<VolumePlan, 'type' | 'iops'>,
  before: number,
): Promise<void> {
  const { provisionedIopsTotalMax: max } = ports.limitsOf(scope.account);
  if (max === 0 || !PROVISIONED.has(type)) return;
  const others = (await tx.volumes.provisionedIops(scope)) - before;
  if (others + (iops ?? 0) > max) refuse({ kind: 'limit', limit: 'provisioned-iops', max });
}

/** Types whose IOPS are reserved for a volume, and counted. */
export const PROVISIONED: ReadonlySet<VolumeType> = new Set(['io1', 'io2']);

async function recordCreation(
  ports: ControlPorts,
  tx: Tx,
  volume: Volume,
  operation: string | null,
): Promise<readonly Operation[]> {
  if (operation === null) return [];
  const origin = volume.origin === null ? null : await tx.snapshots.find(volume.origin);
  return await startOperations(ports, tx, volume, volume.id, [
    {
      type: operation,
      resourceName: volume.name ?? volume.id,
      resourceType: 'Disk',
      zone: volume.zone,
      details: origin === null ? null : (origin.name ?? origin.id),
    },
  ]);
}

/** Makes the volume's directory and opens it; both may have happened before. */
export async function makeOnHost(ports: ControlPorts, volume: Volume): Promise<void> {
  await withDataKey(ports, volume, async (dataKey) => {
    await ports.host.create({
      volume: volume.id,
      account: volume.account,
      sizeBytes: gibToBytes(volume.sizeGib),
      origin: volume.staging ?? volume.origin,
      hydrationBytesPerSecond: hydrationRateOf(volume),
      dataKey,
    });
    await ports.host.open(volume.id, volume.generation, dataKey);
  });
}

/** Null: as the host is set. */
function hydrationRateOf({ fastRestored, initializationRateMibps }: Volume): number | null {
  if (fastRestored) return FAST_RESTORE_BYTES_PER_SECOND;
  return initializationRateMibps === null ? null : initializationRateMibps * 1024 ** 2;
}

/** The state alone: what else changed meanwhile (tags) stays. */
export async function setVolumeState(tx: Tx, volume: Volume, state: Volume['state']): Promise<Volume> {
  const current = await tx.volumes.find(volume.id);
  assert(current !== null, 'a volume whose state is set exists');
  const changed = { ...current, state };
  await tx.volumes.update(changed);
  return changed;
}

/** Refuses: not-found, in-use (NBD clients are connected), wrong-state (creating), token-mismatch. The volume is gone for clients when it resolves. */
export async function deleteVolume(
  ports: ControlPorts,
  scope: Scope,
  volume: Ref<VolumeId>,
  { token, operation }: DeleteRequest,
): Promise<Deleted> {
  const use: TokenUse = { purpose: 'delete-volume', token, request: { volume, operation } };
  return await deleteOnce(ports, scope, {
    use,
    operation,
    find: async (tx) => (await volumeOf(tx, scope, volume)).id,
    isId: isVolumeId,
    retire: (id) => retireVolume(ports, scope, id, { use, operation }),
  });
}

/** Refuses: not-found. */
export async function findVolume(ports: ControlPorts, scope: Scope, id: VolumeId): Promise<Volume> {
  return await ports.meta.read((tx) => volumeIn(tx, scope, id));
}

/** Refuses: not-found, also when the name is a snapshot's. */
export async function findVolumeByName(ports: ControlPorts, scope: Scope, name: string): Promise<Volume> {
  return await ports.meta.read((tx) => volumeNamed(tx, scope, name));
}

export interface ListVolumes {
  /** These, of whichever face, and all of them must exist (not-found names the first that does not); null: all. */
  readonly ids: readonly VolumeId[] | null;
  /** Without ids: of this face only; null: of both. */
  readonly face: Face | null;
  /** Cursor of an earlier answer; null: from the beginning. */
  /** Without ids: tags by which they are found, each giving some of them; null or missing: all are gone through. */
  readonly searches?: readonly TagSearch[] | null;
  readonly after: string | null;
  readonly countMax: number;
  readonly match?: (volume: Volume) => boolean;
}

/** In the order of creation; stable while others are created and deleted. Refuses: not-found, page-token-invalid. */
export async function listVolumes(
  ports: ControlPorts,
  scope: Scope,
  request: ListVolumes,
): Promise<{ readonly volumes: readonly Volume[]; readonly next: string | null }> {
  const { ids, face } = request;
  if (ids !== null) {
    const volumes = await ports.meta.read((tx) => eachOnce(ids, (id) => volumeIn(tx, scope, id)));
    const page = await slicePage(ports, scope, 'volumes by id', request, volumes);
    return { volumes: page.records, next: page.next };
  }
  const page = await readPage<Volume>(ports, scope, `volumes ${face}`, request, (part) =>
    ports.meta.read((tx) =>
      mergedRows(part, request.searches ?? [null], (search) => tx.volumes.list({ scope, face, search }, part)),
    ),
  );
  return { volumes: page.records, next: page.next };
}
