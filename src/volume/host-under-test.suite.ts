import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import {
  type AccountId,
  type CutId,
  newSnapshotId,
  newVolumeId,
  parseAccountId,
  type RegionName,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import type { OutpostId } from '#domain/outpost.ts';

import { type UploadJob, type VolumeHost, VolumeHostError, type VolumeHostErrorKind } from './host.ts';

/** A host on an empty data directory; it and the directory go away when the test ends. */
export interface HostUnderTest {
  readonly host: VolumeHost;
  readonly dataDirectory: string;
}

const random = new SeededRandom(0x5eed);
export const account = parseAccountId('000000000001') as AccountId;
export const otherAccount = parseAccountId('000000000002') as AccountId;
export const SIZE = 8 * CHUNK_BYTES;
export const never = new AbortController().signal;

export const chunkOf = (byte: number): Buffer => Buffer.alloc(CHUNK_BYTES, byte);
/** Bytes that do not compress. */
export const randomChunk = (): Buffer => randomBytes(CHUNK_BYTES);
export const newVolume = (): VolumeId => newVolumeId(random);
export const newSnapshot = (): SnapshotId => newSnapshotId(random);
/** One snapshot, one cut. */
export const cutOf = (snapshot: SnapshotId): CutId => snapshot as string as CutId;

export function rejectsAs(kind: VolumeHostErrorKind, call: Promise<unknown>): Promise<void> {
  return assert.rejects(call, (error) => {
    assert.ok(error instanceof VolumeHostError, String(error));
    assert.equal(error.kind, kind, error.message);
    return true;
  });
}

export async function openVolume(
  host: VolumeHost,
  options: { readonly origin?: SnapshotId; readonly sizeBytes?: number } = {},
): Promise<{ readonly volume: VolumeId; readonly socketPath: string }> {
  const volume = newVolume();
  await host.create({ volume, account, sizeBytes: options.sizeBytes ?? SIZE, origin: options.origin ?? null });
  const { socketPath } = await host.open(volume, 1);
  return { volume, socketPath };
}

type JobOptions = Partial<Pick<UploadJob, 'base' | 'keepZeroChunks'>> & {
  readonly sizeBytes?: number;
  /** Where it goes; missing: to the region. */
  readonly outpost?: OutpostId;
};

export function jobOf(snapshot: SnapshotId, volume: VolumeId, epoch: number, options: JobOptions = {}): UploadJob {
  return {
    label: {
      snapshot,
      account,
      region: 'us-east-1' as RegionName,
      volume,
      sizeBytes: options.sizeBytes ?? SIZE,
      description: 'of the suite',
      startedAtMs: 1,
      tags: { Name: 'suite' },
      parent: options.base?.snapshot ?? null,
      ...(options.outpost === undefined ? {} : { outpost: options.outpost }),
    },
    cut: cutOf(snapshot),
    epoch,
    base: options.base ?? null,
    keepZeroChunks: options.keepZeroChunks ?? false,
  };
}

/** Cut, upload, release: the snapshot and the epoch that it ended. */
export async function snapshotOf(host: VolumeHost, volume: VolumeId, options: JobOptions = {}) {
  const snapshot = newSnapshot();
  const [cut] = await host.cut([volume], cutOf(snapshot));
  assert.ok(cut !== undefined);
  const result = await host.upload(jobOf(snapshot, volume, cut.epoch, options), never);
  await host.release(volume, cutOf(snapshot));
  return { snapshot, epoch: cut.epoch, result };
}

/** A server notices the end of a connection a little after its client. */
export async function withoutClients(host: VolumeHost, volume: VolumeId): Promise<void> {
  while ((await host.status([volume]))[0]?.clientCount !== 0) await setImmediate();
}

/** The pack of a store that has one. */
export function onlyPack(dataDirectory: string): { readonly path: string; readonly bytes: Buffer } {
  const packs = readdirSync(join(dataDirectory, 'objects', 'packs'), { recursive: true, withFileTypes: true });
  const [pack, more] = packs.filter((entry) => entry.isFile());
  assert.ok(pack !== undefined && more === undefined, 'there is one pack');
  const path = join(pack.parentPath, pack.name);
  return { path, bytes: readFileSync(path) };
}
