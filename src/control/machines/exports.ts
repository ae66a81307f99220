import { assert, present } from '#base/assert.ts';
import { uuid } from '#base/random.ts';
import type { ExportRecord, ExportSource } from '#domain/export-record.ts';
import {
  type ExportRecordId,
  type ImageId,
  newExportRecordId,
  newSnapshotId,
  regionName,
  type SnapshotId,
} from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { findTokenResult, recordToken, type TokenUse } from '#control/idempotency.ts';
import { operationsOf, startOperations } from '#control/operations.ts';
import { readPage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import { checkCopyCount } from '#control/snapshot-copies.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { EXPORT_RECORDS } from './export-records.ts';
import { insertImage } from './images.ts';
import { encryptedCopy, encryptionsOf } from './snapshot-copies.ts';
import { machineSource, snapshotCalled, type SnapshotChosen, sourcesOf } from './snapshot-parts.ts';

/*
 * An export makes of a snapshot of Lightsail's what EC2 has: snapshots, and of a machine's an image of them. They are copies
 * in the same account and region, so they share all their content with the source. One transaction records all of it as it
 * is while the copies are made; the record ends with the last of them (export-records.ts).
 */

/** Of an image's name, the part that is the snapshot's. */
const NAME_LENGTH_MAX = 91;

export interface ExportSnapshot {
  /** Lightsail's name of the snapshot. */
  readonly name: string;
  readonly token: string | null;
  /** Lightsail's operation type to record. */
  readonly operation: string;
}

export interface Exported {
  readonly record: ExportRecord;
  /** One, of the record. */
  readonly operations: readonly Operation[];
}

/** Resolves with the export begun. Refuses: not-found, wrong-state (not completed), limit, token-mismatch, key-unusable. */
export async function exportSnapshot(ports: ControlPorts, scope: Scope, request: ExportSnapshot): Promise<Exported> {
  const again = await ports.meta.read((tx) => findAgain(tx, scope, request));
  if (again !== null) return again;
  const { chosen, sources } = await ports.meta.read(async (tx) => {
    const found = await snapshotCalled(tx, scope, request.name);
    return { chosen: found, sources: await sourcesOf(tx, scope, found) };
  });
  const encryptions = await encryptionsOf(ports, scope, sources);
  const exported = await ports.meta.transact(async (tx) => {
    const first = await findAgain(tx, scope, request);
    return first ?? (await record(ports, tx, scope, request, chosen, encryptions));
  });
  ports.wake('upload-snapshots');
  return exported;
}

async function record(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  request: ExportSnapshot,
  chosen: SnapshotChosen,
  encryptions: Awaited<ReturnType<typeof encryptionsOf>>,
): Promise<Exported> {
  const sources = await sourcesOf(tx, scope, chosen);
  const source = await sourceSeen(tx, scope, request.name, chosen, sources);
  const id = newExportRecordId(ports.random);
  const snapshots: SnapshotId[] = [];
  for (const one of sources) {
    await checkCopyCount(ports, tx, scope); // Those before are counted.
    const copy = newSnapshotId(ports.random);
    const description = `Exported from the Lightsail snapshot ${request.name}`;
    const exported = { ...encryptedCopy(ports, scope, copy, one, encryptions), description, exportOf: id };
    await tx.snapshots.insert(exported);
    snapshots.push(copy);
  }
  const image = source.type === 'DiskSnapshot' ? null : await register(ports, tx, scope, source, snapshots);
  const nowMs = ports.clock.nowMs();
  const exported: ExportRecord = {
    ...scope,
    id,
    name: `ExportSnapshotRecord-${uuid(ports.random)}`,
    createdAtMs: nowMs,
    source,
    snapshots,
    image,
    state: 'Started',
  };
  await tx.documents.insert(EXPORT_RECORDS, scope, exported);
  await recordToken(tx, scope, useOf(request), id, ports.time.latestMs());
  const operations = await startOperations(ports, tx, scope, id, [
    {
      type: request.operation,
      resourceName: exported.name,
      resourceType: 'ExportSnapshotRecord',
      zone: 'all',
      details: request.name,
    },
  ]);
  return { record: exported, operations };
}

async function sourceSeen(
  tx: ReadTx,
  scope: Scope,
  name: string,
  chosen: SnapshotChosen,
  [first]: readonly Snapshot[],
): Promise<ExportSource> {
  assert(first !== undefined, 'a snapshot is of one volume at least');
  if (chosen.type === 'Disk') {
    const { id, startedAtMs: createdAtMs, volume, volumeName, volumeSizeGib: sizeGib } = first;
    return { type: 'DiskSnapshot', id, name, createdAtMs, disk: { id: volume, name: volumeName }, sizeGib };
  }
  const { whole } = await machineSource(tx, scope, chosen.id);
  const { id, createdAtMs, instance, instanceName, bundle, blueprint, blueprintName, userName, parts } = whole;
  return {
    type: 'InstanceSnapshot',
    id,
    name,
    createdAtMs,
    instance: { id: instance, name: instanceName, region: regionName(whole.zone.slice(0, -1)) },
    bundle,
    blueprint,
    blueprintName,
    userName,
    disks: parts.map(({ device, diskName, sizeGib }) => ({ device, name: diskName, sizeGib })),
  };
}

async function register(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  source: Extract<ExportSource, { type: 'InstanceSnapshot' }>,
  snapshots: readonly SnapshotId[],
): Promise<ImageId> {
  const devices = source.disks.map(({ device, sizeGib }, at) => ({
    device,
    snapshot: present(snapshots[at], 'every disk has its snapshot'),
    sizeGib,
    type: 'gp3' as const,
    iops: null,
    throughputMibps: null,
    deleteOnTermination: at === 0,
  }));
  const image = await insertImage(ports, tx, scope, {
    name: `${source.name.slice(0, NAME_LENGTH_MAX)}-${uuid(ports.random)}`,
    description: `Exported from the Lightsail snapshot ${source.name}`,
    devices,
    sourceInstance: null,
    userName: source.userName,
    enaSupport: true,
    tags: [],
  });
  return image.id;
}

function useOf({ token, operation: _operation, ...request }: ExportSnapshot): TokenUse {
  return { purpose: 'export-snapshot', token, request };
}

async function findAgain(tx: ReadTx, scope: Scope, request: ExportSnapshot): Promise<Exported | null> {
  const id = await findTokenResult(tx, scope, useOf(request));
  if (id === null) return null;
  assert(isExportRecordId(id), 'the token of an export names its record');
  const found = await tx.documents.find(EXPORT_RECORDS, scope, id);
  assert(found !== null, 'records of exports stay');
  return { record: found, operations: await operationsOf(tx, id, request.operation) };
}

function isExportRecordId(id: string): id is ExportRecordId {
  return id.startsWith('export-');
}

/** In the order of creation. Refuses: page-token-invalid. */
export async function listExports(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly after: string | null; readonly countMax: number },
): Promise<{ readonly records: readonly ExportRecord[]; readonly next: string | null }> {
  return await readPage<ExportRecord>(ports, scope, 'export-records', request, (page) =>
    ports.meta.read((tx) => tx.documents.list(EXPORT_RECORDS, scope, null, page)),
  );
}
