import { assert } from '#base/assert.ts';
import type { Encryption } from '#domain/encryption.ts';
import { refuse } from '#domain/errors.ts';
import {
  type InstanceSnapshotId,
  newInstanceSnapshotId,
  newSnapshotId,
  type RegionName,
  type SnapshotId,
} from '#domain/ids.ts';
import type { InstanceSnapshot } from '#domain/instance-snapshot.ts';
import { checkName } from '#domain/name.ts';
import type { Operation } from '#domain/operation.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { findTokenResult, recordToken, type TokenUse } from '#control/idempotency.ts';
import { encryptionCall, encryptionOfCopy, NOTHING_ASKED } from '#control/kms/volume-encryption.ts';
import { isSnapshotId, refuseUnusable, snapshotIn } from '#control/lookup.ts';
import { operationsOf, startOperations } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import { checkCopyCount, copyOf } from '#control/snapshot-copies.ts';
import { addOnResourceNamed } from './add-ons.ts';
import { autoSnapshots, chooseAutoSnapshot } from './auto-snapshots.ts';
import { INSTANCE_SNAPSHOTS, instanceSnapshotOf, isInstanceSnapshotId, partsOf } from './instance-snapshot-records.ts';

/*
 * Lightsail's copies: of a disk's snapshot or a machine's, manual or automatic, from any region to the request's own. One
 * transaction records the whole copy as `pending`, each part of a machine's being a copy for itself (snapshot-copies.ts):
 * there is no cut, so nothing can be half begun. A machine's is available when all its parts are.
 */

/** How a request says what is to be copied. */
export type CopySource =
  | { readonly kind: 'named'; readonly name: string }
  /** An automatic one: of the machine or disk, of a day in UTC. */
  | { readonly kind: 'auto'; readonly resourceName: string; readonly selector: { readonly date: string } | 'latest' };

export interface CopyByName {
  /** Where the source is; the copy comes to the scope's region. */
  readonly sourceRegion: RegionName;
  readonly source: CopySource;
  /** Lightsail's name of the copy. */
  readonly name: string;
  readonly token: string | null;
  /** Lightsail's operation type to record; null: none. */
  readonly operation: string | null;
}

export interface CopiedByName {
  readonly copy: SnapshotId | InstanceSnapshotId;
  /** One, of the copy: what AWS shows. */
  readonly operations: readonly Operation[];
}

/** A source as it was found, and how its parts are to be encrypted. */
type Found = { readonly encryptions: ReadonlyMap<SnapshotId, Encryption | null> } & (
  | { readonly type: 'Disk'; readonly id: SnapshotId }
  | { readonly type: 'Instance'; readonly id: InstanceSnapshotId }
);

/**
 * Resolves with the pending copy. Refuses: not-found (the source, or what the token made is deleted), wrong-state (not
 * completed), invalid-value, name-taken, limit, token-mismatch, key-unusable.
 */
export async function copyByName(ports: ControlPorts, scope: Scope, request: CopyByName): Promise<CopiedByName> {
  // First: the source may be gone since.
  const again = await ports.meta.read((tx) => findAgain(tx, scope, request));
  if (again !== null) return again;
  checkName(request.name, 'targetSnapshotName');
  const found = await find(ports, scope, request);
  const copied = await ports.meta.transact(async (tx) => {
    const first = await findAgain(tx, scope, request);
    if (first !== null) return first;
    return found.type === 'Disk'
      ? await copyDisk(ports, tx, scope, request, found.id, found.encryptions)
      : await copyMachine(ports, tx, scope, request, found.id, found.encryptions);
  });
  ports.wake('upload-snapshots');
  return copied;
}

async function find(ports: ControlPorts, scope: Scope, request: CopyByName): Promise<Found> {
  const from: Scope = { ...scope, region: request.sourceRegion };
  const chosen = await choose(ports, from, request.source);
  const parts = await ports.meta.read(async (tx) =>
    chosen.type === 'Disk'
      ? [await diskSource(tx, from, chosen.id)]
      : (await machineSource(tx, from, chosen.id)).parts.map(({ source }) => source),
  );
  const encryptions = new Map<SnapshotId, Encryption | null>();
  // Outside of the transaction: a KMS key may be asked.
  const call = encryptionCall(ports, scope, null);
  for (const part of parts) encryptions.set(part.id, await encryptionOfCopy(call, NOTHING_ASKED, part));
  return { ...chosen, encryptions };
}

async function choose(
  ports: ControlPorts,
  from: Scope,
  source: CopySource,
): Promise<
  { readonly type: 'Disk'; readonly id: SnapshotId } | { readonly type: 'Instance'; readonly id: InstanceSnapshotId }
> {
  if (source.kind === 'auto') {
    const resource = await ports.meta.read((tx) => addOnResourceNamed(tx, from, source.resourceName));
    return chooseAutoSnapshot(await autoSnapshots(ports, resource), source.selector);
  }
  const holder = await ports.meta.read((tx) => tx.names.find(from, source.name));
  if (holder !== null && isSnapshotId(holder)) return { type: 'Disk', id: holder };
  if (holder !== null && isInstanceSnapshotId(holder)) return { type: 'Instance', id: holder };
  refuse({ kind: 'not-found', resource: 'snapshot', id: source.name });
}

/** Refuses: not-found, wrong-state. */
async function diskSource(tx: ReadTx, from: Scope, id: SnapshotId): Promise<Snapshot> {
  const source = await snapshotIn(tx, from, id);
  refuseUnusable(source);
  return source;
}

interface MachineParts {
  readonly whole: InstanceSnapshot;
  readonly parts: readonly { readonly part: InstanceSnapshot['parts'][number]; readonly source: Snapshot }[];
}

/** Refuses: not-found, wrong-state. */
async function machineSource(tx: ReadTx, from: Scope, id: InstanceSnapshotId): Promise<MachineParts> {
  const whole = await instanceSnapshotOf(tx, from, id);
  if (whole.state !== 'available') {
    refuse({ kind: 'wrong-state', resource: 'snapshot', id: whole.name, state: whole.state });
  }
  const found = await partsOf(tx, whole);
  return {
    whole,
    parts: whole.parts.map((part) => {
      const source = found.find((one) => one.id === part.snapshot);
      assert(source !== undefined, 'an available snapshot of a machine has all its parts');
      refuseUnusable(source);
      return { part, source };
    }),
  };
}

async function copyDisk(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  request: CopyByName,
  sourceId: SnapshotId,
  encryptions: Found['encryptions'],
): Promise<CopiedByName> {
  const source = await diskSource(tx, { ...scope, region: request.sourceRegion }, sourceId);
  const id = newSnapshotId(ports.random);
  await claim(tx, scope, request.name, id);
  await checkCopyCount(ports, tx, scope);
  const copied = {
    ...partCopy(ports, scope, id, source, encryptions),
    name: request.name,
    fromInstance: source.fromInstance,
  };
  await tx.snapshots.insert({
    ...copied,
    copiedFrom: { snapshot: source.id, region: source.region, isAutomatic: isAutomatic(request, source) },
  });
  const operations = await recordCopy(ports, tx, scope, request, { id, type: 'DiskSnapshot' });
  return { copy: id, operations };
}

/** A copy of a copy of an automatic one is of an automatic one, too. */
function isAutomatic({ source }: CopyByName, { copiedFrom }: Pick<Snapshot, 'copiedFrom'>): boolean {
  return source.kind === 'auto' || copiedFrom?.isAutomatic === true;
}

async function copyMachine(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  request: CopyByName,
  sourceId: InstanceSnapshotId,
  encryptions: Found['encryptions'],
): Promise<CopiedByName> {
  const { whole, parts } = await machineSource(tx, { ...scope, region: request.sourceRegion }, sourceId);
  const id = newInstanceSnapshotId(ports.random);
  await claim(tx, scope, request.name, id);
  const copies: InstanceSnapshot['parts'][number][] = [];
  for (const { part, source } of parts) {
    await checkCopyCount(ports, tx, scope); // Those before are counted.
    const copy = newSnapshotId(ports.random);
    await tx.snapshots.insert({ ...partCopy(ports, scope, copy, source, encryptions), partOf: id });
    copies.push({ ...part, snapshot: copy });
  }
  const record: InstanceSnapshot = {
    ...whole,
    ...scope,
    id,
    name: request.name,
    state: 'pending',
    createdAtMs: ports.clock.nowMs(),
    parts: copies,
    autoDate: null,
    copiedFrom: {
      name: request.source.kind === 'auto' ? request.source.resourceName : request.source.name,
      region: request.sourceRegion,
      isAutomatic: request.source.kind === 'auto' || whole.copiedFrom?.isAutomatic === true,
    },
    tags: {},
  };
  await tx.documents.insert(INSTANCE_SNAPSHOTS, scope, record);
  const operations = await recordCopy(ports, tx, scope, request, { id, type: 'InstanceSnapshot' });
  return { copy: id, operations };
}

/** Refuses: name-taken. */
async function claim(tx: Tx, scope: Scope, name: string, holder: SnapshotId | InstanceSnapshotId): Promise<void> {
  if (!(await tx.names.claim(scope, name, holder))) refuse({ kind: 'name-taken', name });
}

function partCopy(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  source: Snapshot,
  encryptions: Found['encryptions'],
): Snapshot {
  const encryption = encryptions.get(source.id);
  assert(encryption !== undefined, 'the encryption of every part was decided before');
  return {
    ...copyOf(source, scope, id, ports.time.latestMs()),
    encryption,
    face: 'lightsail',
    description: source.description,
    volumeName: source.volumeName,
  };
}

async function recordCopy(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  request: CopyByName,
  { id, type }: { readonly id: SnapshotId | InstanceSnapshotId; readonly type: Operation['resourceType'] },
): Promise<readonly Operation[]> {
  await recordToken(tx, scope, useOf(request), id, ports.time.latestMs());
  const { operation, name, source, sourceRegion } = request;
  if (operation === null) return [];
  const details = `${sourceRegion}:${source.kind === 'auto' ? source.resourceName : source.name}`;
  return await startOperations(ports, tx, scope, id, [
    { type: operation, resourceName: name, resourceType: type, zone: 'all', details },
  ]);
}

function useOf({ token, operation: _operation, ...request }: CopyByName): TokenUse {
  return { purpose: 'copy-by-name', token, request };
}

/** What the token made before; null: nothing. Refuses: token-mismatch, not-found when it is gone. */
async function findAgain(tx: ReadTx, scope: Scope, request: CopyByName): Promise<CopiedByName | null> {
  const copy = await findTokenResult(tx, scope, useOf(request));
  if (copy === null) return null;
  if (isSnapshotId(copy)) await snapshotIn(tx, scope, copy);
  else {
    assert(isInstanceSnapshotId(copy), 'the token of a copy names a snapshot');
    await instanceSnapshotOf(tx, scope, copy);
  }
  return { copy, operations: await operationsOf(tx, copy, request.operation) };
}
