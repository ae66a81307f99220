import { resourceOf } from '#control/machines/operator-resource.ts';
import type { ControlPorts } from '#control/ports.ts';
import { runningUploads, UPLOAD_COUNT_MAX } from '#control/running-uploads.ts';
import { servedVolumes } from '#control/served-volumes.ts';
import { freedTogether, sizedSnapshots, TOGETHER_COUNT_MAX } from '#control/snapshot-sizes.ts';
import { GIB_BYTES } from '#domain/geometry.ts';
import { parseSnapshotId } from '#domain/ids.ts';

interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const NO_ROW: Reply = { status: 400, body: { message: 'after is no number of a row' } };

/** `GET /resource?name=NAME|ID`: what somebody means by a name, whatever its kind. */
export async function answerResource(ports: ControlPorts, name: string): Promise<Reply> {
  const { kind, record } = await resourceOf(ports, name);
  const { id, account, region, tags } = record;
  const face = 'face' in record ? record.face : 'lightsail';
  const shown = { kind, id, name: record.name ?? tags['Name'] ?? null, face, account, region };
  const zone = kind === 'volume' || kind === 'instance' ? record.zone : null;
  const sizeBytes =
    kind === 'volume' ? record.sizeGib * GIB_BYTES : kind === 'snapshot' ? record.volumeSizeGib * GIB_BYTES : null;
  const outpost = kind === 'volume' || kind === 'snapshot' ? record.outpost : null;
  const bundle = kind === 'instance-snapshot' ? record.bundle : null;
  const parts = kind === 'instance-snapshot' ? record.parts.map(({ snapshot }) => snapshot) : [];
  const made = {
    autoDate: kind === 'snapshot' || kind === 'instance-snapshot' ? record.autoDate : null,
    sourceName: kind === 'snapshot' ? record.volumeName : kind === 'instance-snapshot' ? record.instanceName : null,
    instanceSnapshot: kind === 'snapshot' ? record.partOf : null,
  };
  return {
    status: 200,
    body: { ...shown, ...made, state: record.state, zone, outpost, sizeBytes, bundle, parts },
  };
}

/** `GET /volumes?after=N`: a page of all volumes, and how far they are hydrated. */
export async function answerVolumes(ports: ControlPorts, after: number): Promise<Reply> {
  if (!Number.isSafeInteger(after) || after < 0) return NO_ROW;
  const { volumes, next } = await servedVolumes(ports, after);
  const views = volumes.map(({ volume, status }) => ({
    id: volume.id,
    name: volume.name ?? volume.tags['Name'] ?? null,
    face: volume.face,
    account: volume.account,
    region: volume.region,
    outpost: volume.outpost,
    sizeBytes: volume.sizeGib * GIB_BYTES,
    state: volume.state,
    origin: volume.origin,
    sourceVolume: volume.sourceVolume,
    instance: volume.attachment?.instance ?? null,
    createdAtMs: volume.createdAtMs,
    clientCount: status?.clientCount ?? null,
    ownBytes: status?.slotBytes ?? null,
    encrypted: status?.encrypted ?? null,
    failure: status?.failure ?? null,
    hydration: status?.hydration ?? null,
  }));
  return { status: 200, body: { volumes: views, next } };
}

/** `GET /snapshots?after=N`: a page of all snapshots with their exact sizes. */
export async function answerSnapshots(ports: ControlPorts, after: number): Promise<Reply> {
  if (!Number.isSafeInteger(after) || after < 0) return NO_ROW;
  const { snapshots, next } = await sizedSnapshots(ports, after);
  const views = snapshots.map(({ snapshot, size }) => ({
    id: snapshot.id,
    name: snapshot.name ?? snapshot.tags['Name'] ?? null,
    face: snapshot.face,
    account: snapshot.account,
    region: snapshot.region,
    outpost: snapshot.outpost,
    volume: snapshot.volume,
    volumeName: snapshot.volumeName,
    parent: snapshot.parent,
    copiedFrom: snapshot.copiedFrom?.snapshot ?? null,
    description: snapshot.description,
    instanceSnapshot: snapshot.partOf,
    autoDate: snapshot.autoDate,
    sizeBytes: snapshot.volumeSizeGib * GIB_BYTES,
    state: snapshot.state,
    progressPercent: snapshot.progressPercent,
    startedAtMs: snapshot.startedAtMs,
    completedAtMs: snapshot.completedAtMs,
    fullBytes: size?.fullBytes ?? snapshot.fullBytes,
    changedBytes: snapshot.changedBytes,
    newBytes: size?.newBytes ?? snapshot.storedBytes,
    exclusiveBytes: size?.exclusiveBytes ?? null,
    sharedBytes: size?.sharedBytes ?? null,
  }));
  return { status: 200, body: { snapshots: views, next } };
}

/** `GET /uploads?id=ID&id=…`: how far snapshots have come, and which of them are gone; without ids: those that are pending. */
export async function answerUploads(ports: ControlPorts, ids: readonly string[]): Promise<Reply> {
  if (ids.length > UPLOAD_COUNT_MAX) {
    return { status: 400, body: { message: `at most ${UPLOAD_COUNT_MAX} snapshots are asked about` } };
  }
  const { uploads, gone } = await runningUploads(ports, ids.length === 0 ? null : ids);
  const views = uploads.map(({ snapshot, progress }) => ({
    id: snapshot.id,
    name: snapshot.name ?? snapshot.tags['Name'] ?? null,
    state: snapshot.state,
    stateMessage: snapshot.stateMessage,
    progressPercent: snapshot.progressPercent,
    doneBytes: progress?.doneBytes ?? null,
    totalBytes: progress?.totalBytes ?? null,
    newBytes: snapshot.storedBytes,
  }));
  return { status: 200, body: { uploads: views, gone } };
}

/** `GET /freed?id=ID&id=…`: what deleting all of these together would free. */
export async function answerFreed(ports: ControlPorts, texts: readonly string[]): Promise<Reply> {
  const ids = texts.map((text) => parseSnapshotId(text)).filter((id) => id !== null);
  if (ids.length !== texts.length || ids.length > TOGETHER_COUNT_MAX) {
    return { status: 400, body: { message: `at most ${TOGETHER_COUNT_MAX} ids of snapshots are asked about` } };
  }
  return { status: 200, body: { freedBytes: await freedTogether(ports, ids) } };
}
