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
import { isSnapshotId, snapshotIn } from '#control/lookup.ts';
import { operationsOf, startOperations } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import { checkCopyCount, copyOf } from '#control/snapshot-copies.ts';
import { addOnResourceNamed } from './add-ons.ts';
import { autoSnapshots, chooseAutoSnapshot } from './auto-snapshots.ts';
import { INSTANCE_SNAPSHOTS, instanceSnapshotOf, isInstanceSnapshotId } from './instance-snapshot-records.ts';
import { diskSource, machineSource, snapshotCalled, type SnapshotChosen, sourcesOf } from './snapshot-parts.ts';

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
type Found = SnapshotChosen & { readonly encryptions: Encryptions };

/** By source. */
type Encryptions = ReadonlyMap<SnapshotId, Encryption | null>;

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
  const sources = await ports.meta.read((tx) => sourcesOf(tx, from, chosen));
  return { ...chosen, encryptions: await encryptionsOf(ports, scope, sources) };
}

/** How copies in a scope are to be encrypted. Outside of the transaction: a KMS key may be asked. */
export async function encryptionsOf(
  ports: ControlPorts,
  scope: Scope,
  sources: readonly Snapshot[],
): Promise<Encryptions> {
  const encryptions = new Map<SnapshotId, Encryption | null>();
  const call = encryptionCall(ports, scope, null);
  for (const one of sources) encryptions.set(one.id, await encryptionOfCopy(call, NOTHING_ASKED, one));
  return encryptions;
}

async function choose(ports: ControlPorts, from: Scope, source: CopySource): Promise<SnapshotChosen> {
  if (source.kind === 'auto') {
    const resource = await ports.meta.read((tx) => addOnResourceNamed(tx, from, source.resourceName));
    return chooseAutoSnapshot(await autoSnapshots(ports, resource), source.selector, resource.type);
  }
  return await ports.meta.read((tx) => snapshotCalled(tx, from, source.name));
}

async function copyDisk(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  request: CopyByName,
  sourceId: SnapshotId,
  encryptions: Encryptions,
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
  encryptions: Encryptions,
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
  encryptions: Encryptions,
): Snapshot {
  return {
    ...encryptedCopy(ports, scope, id, source, encryptions),
    face: 'lightsail',
    description: source.description,
    volumeName: source.volumeName,
  };
}

/** As `copyOf`, with its encryption. */
export function encryptedCopy(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  source: Snapshot,
  encryptions: Encryptions,
): Snapshot {
  const encryption = encryptions.get(source.id);
  assert(encryption !== undefined, 'the encryption of every part was decided before');
  return { ...copyOf(source, scope, id, ports.time.latestMs()), encryption };
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
