import { assert, present } from '#base/assert.ts';
import type { Encryption } from '#domain/encryption.ts';
import { refuse } from '#domain/errors.ts';
import { cutIdOf, newSnapshotId, newVolumeId, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { EC2_TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import { retainedIops, retainedThroughput } from '#domain/volume-modification.ts';
import { planVolume, VOLUME_TYPES } from '#domain/volume-type.ts';
import { NO_VOLUME_DETAILS, type Scope, type Volume, type VolumeType } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { type FoundAgain, once } from './creation.ts';
import { giveUpSnapshot, giveUpVolume } from './deletion.ts';
import { isHostError } from './host-failure.ts';
import { findTokenResult, recordToken, type TokenUse } from './idempotency.ts';
import type { Caller } from './kms/access.ts';
import { encryptionCall, type EncryptionAsked, encryptionOfVolume, NOTHING_ASKED } from './kms/volume-encryption.ts';
import { isVolumeId, volumeIn } from './lookup.ts';
import type { ControlPorts } from './ports.ts';
import { cutVolume, planSnapshot } from './snapshots.ts';
import { checkVolumeLimits } from './volumes.ts';

/*
 * A volume is copied as it is at one instant: by a cut of it, which is stored as a snapshot that nobody sees, of which the
 * copy is made (staged-volumes.ts). A request that dies before the cut is recorded leaves both records to be undone.
 */

export interface CopyVolume {
  readonly source: VolumeId;
  /** Null: as the source's, or what follows from the type. */
  readonly sizeGib: number | null;
  readonly type: VolumeType | null;
  readonly iops: number | null;
  readonly throughputMibps: number | null;
  readonly multiAttach: boolean | null;
  /** What the request says about encryption; missing: nothing. A copy of what is encrypted always is. */
  readonly encryption?: EncryptionAsked;
  /** Who asks, for the use of the key; null or missing: the account itself. */
  readonly caller?: Caller | null;
  readonly tags: readonly Tag[];
  readonly token: string | null;
}

/**
 * Resolves with the copy, which is `creating`, once the instant is fixed: what was acknowledged before the call is in it.
 * Refuses: not-found, wrong-state, invalid-value, missing, limit, snapshot-rate, token-mismatch, key-unusable.
 */
export async function copyVolume(ports: ControlPorts, scope: Scope, request: CopyVolume): Promise<Volume> {
  const { volume } = await once<VolumeId, { readonly volume: Volume }>(ports, {
    newId: () => newVolumeId(ports.random),
    make: (id) => beginCopy(ports, scope, id, request),
    findAgain: (id) => ports.meta.read(async (tx) => ({ volume: await volumeIn(tx, scope, id) })),
    isSettled: () => true,
  });
  return volume;
}

async function beginCopy(
  ports: ControlPorts,
  scope: Scope,
  id: VolumeId,
  request: CopyVolume,
): Promise<{ readonly volume: Volume } | FoundAgain<VolumeId>> {
  // First: the source may be gone since.
  const again = await ports.meta.read((tx) => findAgain(tx, scope, request));
  if (again !== null) return again;
  const stagingId = newSnapshotId(ports.random);
  // Before the record is made: the key is asked for outside of its transaction.
  const encryption = await encryptionFor(ports, scope, request);
  return await ports.intents.run(stagingId, async () => {
    const begun = await ports.meta.transact((tx) => record(ports, tx, scope, { id, stagingId, encryption }, request));
    if ('again' in begun) return begun;
    const { volume, source, staging } = begun;
    try {
      const epoch = await cutVolume(ports, source, staging.cut);
      await ports.meta.transact(async (tx) => {
        const current = present(await tx.snapshots.find(stagingId), 'a snapshot that is being cut exists');
        const copy = present(await tx.volumes.find(id), 'a volume that is being made exists');
        // It may have grown since: the cut has no more than what the metadata says by now.
        const sizeGib = Math.max(copy.sizeGib, (await tx.volumes.find(source.id))?.sizeGib ?? 0);
        await tx.snapshots.update({ ...current, state: 'pending', epoch, volumeSizeGib: sizeGib });
        if (sizeGib > copy.sizeGib) await tx.volumes.update({ ...copy, sizeGib });
      });
    } catch (error) {
      await giveUpSnapshot(ports, stagingId);
      await giveUpVolume(ports, id);
      if (isHostError(error, 'volume-not-found')) refuse({ kind: 'not-found', resource: 'volume', id: source.id });
      throw error;
    }
    ports.wake('upload-snapshots');
    return { volume };
  });
}

async function encryptionFor(ports: ControlPorts, scope: Scope, request: CopyVolume): Promise<Encryption | null> {
  const source = await ports.meta.read((tx) => volumeIn(tx, scope, request.source));
  const call = encryptionCall(ports, scope, request.caller ?? null);
  return await encryptionOfVolume(call, request.encryption ?? NOTHING_ASKED, source);
}

interface Begun {
  readonly volume: Volume;
  readonly source: Volume;
  readonly staging: Snapshot;
}

async function record(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  {
    id,
    stagingId,
    encryption,
  }: { readonly id: VolumeId; readonly stagingId: SnapshotId; readonly encryption: Encryption | null },
  request: CopyVolume,
): Promise<Begun | FoundAgain<VolumeId>> {
  const again = await findAgain(tx, scope, request);
  if (again !== null) return again;
  const source = await volumeIn(tx, scope, request.source);
  const tags = tagsOf(EC2_TAG_RULES, request.tags, ports.limitsOf(scope.account).tagCountMax);
  const volume: Volume = {
    ...planCopy(source, request),
    ...scope,
    id,
    face: 'ec2',
    draft: false,
    name: null,
    zone: source.zone,
    state: 'creating',
    createdAtMs: ports.clock.nowMs(),
    origin: null,
    generation: 1,
    lineage: source.lineage,
    ...NO_VOLUME_DETAILS,
    encryption,
    productCodes: source.productCodes,
    sourceVolume: source.id,
    outpost: source.outpost,
    staging: stagingId,
    tags,
  };
  await checkVolumeLimits(ports, tx, scope, volume);
  const planned = await planSnapshot(ports, tx, source, {
    face: 'ec2',
    name: null,
    description: '',
    tags: [],
    outpost: source.outpost,
    id: stagingId,
    cut: cutIdOf(stagingId),
  });
  const staging: Snapshot = { ...planned, volumeSizeGib: volume.sizeGib, isStaging: true };
  await tx.snapshots.insert(staging);
  await tx.volumes.insert(volume);
  await recordToken(tx, scope, useOf(request), id, ports.time.latestMs());
  return { volume, source, staging };
}

function useOf({ token, caller: _caller, ...request }: CopyVolume): TokenUse {
  return { purpose: 'copy-volume', token, request };
}

/** What the token made before; null: nothing. Refuses: token-mismatch. */
async function findAgain(tx: ReadTx, scope: Scope, request: CopyVolume): Promise<FoundAgain<VolumeId> | null> {
  const again = await findTokenResult(tx, scope, useOf(request));
  if (again === null) return null;
  assert(isVolumeId(again), 'the token of a volume names a volume');
  return { again };
}

/** The type, IOPS and throughput stay unless others are asked for, as when a volume is modified. */
function planCopy(source: Volume, request: CopyVolume): ReturnType<typeof planVolume> {
  const type = request.type ?? source.type;
  const sizeGib = request.sizeGib ?? source.sizeGib;
  if (sizeGib < source.sizeGib) {
    refuse({ kind: 'invalid-value', field: 'size', reason: `the source volume has ${source.sizeGib} GiB` });
  }
  const { iops, throughput } = VOLUME_TYPES[type];
  return planVolume({
    type,
    sizeGib,
    iops: request.iops ?? (iops === null ? null : retainedIops(source, type)),
    throughputMibps: request.throughputMibps ?? (throughput === null ? null : retainedThroughput(source, type)),
    multiAttach: request.multiAttach ?? source.multiAttach,
  });
}
