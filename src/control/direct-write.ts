import { createHash, timingSafeEqual } from 'node:crypto';
import { assert, present } from '#base/assert.ts';
import type { Encryption } from '#domain/encryption.ts';
import { refuse } from '#domain/errors.ts';
import { CHUNK_BYTES, VOLUME_GIB_MAX } from '#domain/geometry.ts';
import { cutIdOf, newSnapshotId, newVolumeId, type SnapshotId } from '#domain/ids.ts';
import { lineageOf } from '#domain/lineage.ts';
import { zonesOf } from '#domain/region.ts';
import { NO_SNAPSHOT_DETAILS, type Snapshot } from '#domain/snapshot.ts';
import { EC2_TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import { NO_VOLUME_DETAILS, type Scope, type Volume } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { checkBlockIndex } from './block-index.ts';
import { type FoundAgain, once } from './creation.ts';
import { giveUpSnapshot } from './deletion.ts';
import { isHostError, onOpenVolume } from './host-failure.ts';
import { findTokenResult, recordToken, type TokenUse } from './idempotency.ts';
import type { Caller } from './kms/access.ts';
import {
  checkUse,
  encryptionCall,
  type EncryptionAsked,
  encryptionOfVolume,
  NOTHING_ASKED,
} from './kms/volume-encryption.ts';
import { isSnapshotId, refuseUnusable, snapshotBegun, snapshotIn } from './lookup.ts';
import { refuseLocal } from './outposts.ts';
import type { ControlPorts } from './ports.ts';
import { checkSnapshotCount } from './snapshots.ts';
import { makeOnHost, setVolumeState } from './volumes.ts';

/*
 * A snapshot made block by block stands on a draft: a volume that no client sees, restored from the parent. Putting a block
 * writes the draft; completing lets the puts that run come to their end, lets no other begin, and seals the snapshot, after
 * which no block is taken any more; the uploader cuts the draft and goes on as with any snapshot. So a crash at any point
 * leaves an unsealed snapshot, which goes on taking blocks, or a sealed one, which completes by itself.
 */

const TIMEOUT_MINUTES = { min: 10, max: 4320, default: 60 };

export interface StartSnapshot {
  readonly sizeGib: number;
  readonly parent: SnapshotId | null;
  readonly description: string;
  readonly tags: readonly Tag[];
  readonly token: string | null;
  /** 10 to 4320; null: 60. Starts again with every block. */
  readonly timeoutMinutes: number | null;
  /** What the request says about encryption; missing: nothing. */
  readonly encryption?: EncryptionAsked;
  /** Whose permissions for the KMS key count; missing: the account's. */
  readonly caller?: Caller;
}

/**
 * A pending, unsealed snapshot to put blocks into. Refuses: invalid-value (size, timeout, tags), not-found (parent, or what
 * the token made is deleted), wrong-state (parent), limit, token-mismatch, key-unusable.
 */
export async function startSnapshot(ports: ControlPorts, scope: Scope, request: StartSnapshot): Promise<Snapshot> {
  return await once<SnapshotId, Snapshot>(ports, {
    newId: () => newSnapshotId(ports.random),
    make: (id) => makeDirect(ports, scope, id, request),
    findAgain: (id) => ports.meta.read((tx) => snapshotBegun(tx, id)),
    isSettled: ({ state }) => state !== 'cutting',
  });
}

async function makeDirect(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  request: StartSnapshot,
): Promise<Snapshot | FoundAgain<SnapshotId>> {
  // First: the parent, and the key, may be gone since.
  const again = await ports.meta.read((tx) => findAgain(tx, scope, request));
  if (again !== null) return again;
  const encryption = await encryptionFor(ports, scope, request);
  const intent = await ports.meta.transact((tx) => recordDirect(ports, tx, scope, id, request, encryption));
  if ('again' in intent) return intent;
  try {
    await makeOnHost(ports, intent.draft);
    return await ports.meta.transact(async (tx) => {
      await setVolumeState(tx, intent.draft, 'available');
      const current = present(await tx.snapshots.find(id), 'a snapshot that is being started exists');
      const pending: Snapshot = { ...current, state: 'pending' };
      await tx.snapshots.update(pending);
      return pending;
    });
  } catch (error) {
    await giveUpSnapshot(ports, id);
    if (isHostError(error, 'snapshot-not-found') && request.parent !== null) {
      refuse({ kind: 'not-found', resource: 'snapshot', id: request.parent });
    }
    throw error;
  }
}

async function encryptionFor(ports: ControlPorts, scope: Scope, request: StartSnapshot): Promise<Encryption | null> {
  const { parent: id, encryption: asked = NOTHING_ASKED } = request;
  const parent = id === null ? null : await ports.meta.read((tx) => snapshotIn(tx, scope, id));
  return await encryptionOfVolume(encryptionCall(ports, scope, request.caller ?? null), asked, parent);
}

async function recordDirect(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  id: SnapshotId,
  request: StartSnapshot,
  encryption: Encryption | null,
): Promise<{ readonly draft: Volume } | FoundAgain<SnapshotId>> {
  const again = await findAgain(tx, scope, request);
  if (again !== null) return again;
  const { directSnapshotCountMax, snapshotCountMax, tagCountMax } = ports.limitsOf(scope.account);
  const parent = request.parent === null ? null : await snapshotIn(tx, scope, request.parent);
  checkStart(request, parent);
  const tags = tagsOf(EC2_TAG_RULES, request.tags, tagCountMax);
  if ((await tx.snapshots.countDirect(scope)) >= directSnapshotCountMax) {
    refuse({ kind: 'limit', limit: 'direct-snapshots', max: directSnapshotCountMax });
  }
  await checkSnapshotCount(tx, scope, snapshotCountMax);
  const draft: Volume = { ...draftOf(ports, scope, request, parent), encryption };
  const nowMs = ports.time.latestMs();
  await tx.volumes.insert(draft);
  await tx.snapshots.insert({
    account: scope.account,
    region: scope.region,
    id,
    face: 'ec2',
    name: null,
    volume: draft.id,
    volumeName: null,
    volumeSizeGib: request.sizeGib,
    state: 'cutting',
    stateMessage: null,
    progressPercent: 0,
    description: request.description,
    startedAtMs: nowMs,
    completedAtMs: null,
    cut: cutIdOf(id),
    epoch: null,
    parent: request.parent,
    fullBytes: null,
    changedBytes: null,
    storedBytes: null,
    direct: true,
    sealed: false,
    released: false,
    timeoutMinutes: request.timeoutMinutes ?? TIMEOUT_MINUTES.default,
    touchedAtMs: nowMs,
    lineage: draft.lineage,
    ...NO_SNAPSHOT_DETAILS,
    encryption,
    tags,
  });
  await recordToken(tx, scope, useOf(request), id, nowMs);
  return { draft };
}

function useOf({ token, caller: _caller, ...request }: StartSnapshot): TokenUse {
  return { purpose: 'start-snapshot', token, request };
}

/** What the token made before; null: nothing. Refuses: token-mismatch. */
async function findAgain(tx: ReadTx, scope: Scope, request: StartSnapshot): Promise<FoundAgain<SnapshotId> | null> {
  const again = await findTokenResult(tx, scope, useOf(request));
  if (again === null) return null;
  assert(isSnapshotId(again), 'the token of a snapshot names a snapshot');
  return { again };
}

function checkStart(request: StartSnapshot, parent: Snapshot | null): void {
  const { sizeGib, timeoutMinutes } = request;
  if (!Number.isSafeInteger(sizeGib) || sizeGib < 1 || sizeGib > VOLUME_GIB_MAX) {
    refuse({ kind: 'invalid-value', field: 'size', reason: `1 to ${VOLUME_GIB_MAX} GiB` });
  }
  const { min, max } = TIMEOUT_MINUTES;
  if (
    timeoutMinutes !== null &&
    !(Number.isSafeInteger(timeoutMinutes) && timeoutMinutes >= min && timeoutMinutes <= max)
  ) {
    refuse({ kind: 'invalid-value', field: 'timeout', reason: `${min} to ${max} minutes` });
  }
  if (parent === null) return;
  refuseUnusable(parent);
  refuseLocal(parent, 'The direct use');
  if (sizeGib < parent.volumeSizeGib) {
    refuse({ kind: 'invalid-value', field: 'size', reason: `the parent has ${parent.volumeSizeGib} GiB` });
  }
}

function draftOf(ports: ControlPorts, scope: Scope, request: StartSnapshot, parent: Snapshot | null): Volume {
  const id = newVolumeId(ports.random);
  const zone = present(zonesOf(scope.region)[0], 'the region of a request has zones');
  return {
    account: scope.account,
    region: scope.region,
    id,
    face: 'ec2',
    draft: true,
    name: null,
    zone: zone.name,
    sizeGib: request.sizeGib,
    type: 'standard',
    iops: null,
    throughputMibps: null,
    multiAttach: false,
    state: 'creating',
    createdAtMs: ports.clock.nowMs(),
    origin: request.parent,
    generation: 1,
    lineage: lineageOf(id, parent),
    ...NO_VOLUME_DETAILS,
    tags: {},
  };
}

/**
 * Writes a whole block; durable when it resolves. The last one of an index counts. Refuses: not-found, wrong-state (sealed,
 * being sealed, or not direct), invalid-value (block-index, data-length), checksum-mismatch, block-conflict (another request
 * is writing it), key-unusable. `caller` null: the account.
 */
export async function putBlock(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  index: number,
  bytes: Uint8Array,
  sha256Base64: string,
  caller: Caller | null = null,
): Promise<void> {
  // Before `sealed` is read: who was let in is waited for by who seals, so what is read here holds until this put is over.
  using pass = ports.writeGates.enter(id);
  const { snapshot, draft } = await ports.meta.read(async (tx) => {
    const found = await snapshotIn(tx, scope, id);
    checkWritable(found);
    if (pass === null) refuseWrite(found);
    return { snapshot: found, draft: present(await tx.volumes.find(found.volume), 'an unsealed snapshot has a draft') };
  });
  await checkUse(encryptionCall(ports, scope, caller), snapshot.encryption);
  checkBlockIndex(snapshot, index);
  if (bytes.length !== CHUNK_BYTES) {
    refuse({ kind: 'invalid-value', field: 'data-length', reason: `a block has ${CHUNK_BYTES} bytes` });
  }
  const sha256 = createHash('sha256').update(bytes).digest();
  if (!isDigest(sha256, sha256Base64)) refuse({ kind: 'checksum-mismatch' });
  const intent = `put:${id}:${index}`;
  if (ports.intents.has(intent)) refuse({ kind: 'block-conflict', snapshot: id, index });
  await ports.intents.run(intent, async () => {
    await onOpenVolume(ports, draft, () => ports.host.writeBlock(draft.id, draft.generation, index, bytes));
    // Only now: what is recorded is there. Deleted or expired meanwhile: then its client is told so.
    await ports.meta.transact(async (tx) => {
      const current = await snapshotIn(tx, scope, id);
      checkWritable(current);
      await tx.blocks.put(id, index, sha256);
      await tx.snapshots.update({ ...current, touchedAtMs: ports.clock.nowMs() });
    });
  });
}

function checkWritable(snapshot: Snapshot): void {
  if (snapshot.direct && snapshot.state === 'pending' && !snapshot.sealed) return;
  refuseWrite(snapshot);
}

function refuseWrite(snapshot: Snapshot): never {
  refuse({ kind: 'wrong-state', resource: 'snapshot', id: snapshot.id, state: snapshot.state });
}

function isDigest(digest: Buffer, base64: string): boolean {
  const given = Buffer.from(base64, 'base64');
  return given.length === digest.length && timingSafeEqual(given, digest);
}

export interface CompleteSnapshot {
  /** How many different blocks were put. */
  readonly changedBlocksCount: number;
  /** Base64 SHA-256 over the raw SHA-256 of every block put, in the order of the index; null: not checked. */
  readonly checksum: string | null;
}

/**
 * Seals the snapshot, once the puts that run are over; again is no error. Refused, it goes on taking blocks.
 * Refuses: not-found, wrong-state (not direct, error), block-count-mismatch, checksum-mismatch.
 */
export async function completeSnapshot(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  request: CompleteSnapshot,
): Promise<Snapshot> {
  const before = await ports.meta.read((tx) => snapshotIn(tx, scope, id));
  // Whose snapshot it is not, or who comes again, closes no gate.
  if (!isSealed(before)) checkWritable(before);
  const sealed = isSealed(before)
    ? before
    : await ports.intents.run(`seal:${id}`, () => ports.writeGates.closed(id, () => seal(ports, scope, id, request)));
  ports.wake('upload-snapshots');
  return sealed;
}

function isSealed({ direct, sealed, state }: Snapshot): boolean {
  return direct && sealed && state !== 'error';
}

/** While the gate is closed: the blocks that are compared are the blocks that are sealed. */
async function seal(ports: ControlPorts, scope: Scope, id: SnapshotId, request: CompleteSnapshot): Promise<Snapshot> {
  const before = await ports.meta.read((tx) => snapshotIn(tx, scope, id));
  if (isSealed(before)) return before; // By who completed it at the same time.
  // Outside of the transaction, because it may be long.
  if (request.checksum !== null && !isDigest(await checksumOf(ports, id), request.checksum)) {
    refuse({ kind: 'checksum-mismatch' });
  }
  return await ports.meta.transact(async (tx) => {
    const snapshot = await snapshotIn(tx, scope, id);
    checkWritable(snapshot);
    const expected = await tx.blocks.count(id);
    const given = request.changedBlocksCount;
    if (given !== expected) refuse({ kind: 'block-count-mismatch', snapshot: id, expected, given });
    const changed: Snapshot = { ...snapshot, sealed: true };
    await tx.snapshots.update(changed);
    await tx.blocks.removeOf(id);
    return changed;
  });
}

const DIGESTS_AT_ONCE = 4096;

async function checksumOf(ports: ControlPorts, id: SnapshotId): Promise<Buffer> {
  const hash = createHash('sha256');
  let after = -1;
  for (;;) {
    const from = after;
    const blocks = await ports.meta.read((tx) => tx.blocks.list(id, from, DIGESTS_AT_ONCE));
    for (const { index, sha256 } of blocks) {
      hash.update(sha256);
      after = index;
    }
    if (blocks.length < DIGESTS_AT_ONCE) return hash.digest();
  }
}
