import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import type { VolumeHostErrorKind } from '#volume/host.ts';
import { assertConsistent } from './consistency.fake.ts';
import { completeSnapshot, putBlock, startSnapshot } from './direct-write.ts';
import type { FaultMode } from './fault.fake.ts';
import { diskRequest, snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, deleteSnapshot, listSnapshots } from './snapshots.ts';
import { createVolume, deleteVolume, listVolumes } from './volumes.ts';
import { World } from './world.fake.ts';

/*
 * Each use case with its n-th port call failing, for every n: before it happens, and after it happened (the answer is lost);
 * the server going on, and starting anew. Whatever was answered, the reconcilers end in a world where metadata and host agree,
 * nothing is half done, and the request can be made again.
 */

const ALL = { ids: null, face: null, after: null, countMax: 100 } as const;

interface Case {
  /** Makes what the use case needs, without faults. */
  readonly prepare: (world: World, scope: Scope) => Promise<void>;
  readonly perform: (world: World, scope: Scope) => Promise<unknown>;
  /** Volumes and snapshots that clients see once it was done, perhaps by a repetition. */
  readonly volumes: number;
  readonly snapshots: number;
}

let volume: VolumeId;
let snapshot: SnapshotId;

const makeDisk = async (world: World, scope: Scope): Promise<void> => {
  volume = (await createVolume(world.ports, scope, diskRequest('disk'))).volume.id;
  world.host.write(volume, 0, 5);
};
const makePending = async (world: World, scope: Scope): Promise<void> => {
  await makeDisk(world, scope);
  const request = snapshotRequest(volume, { name: 'snap', face: 'lightsail', operation: 'CreateDiskSnapshot' });
  snapshot = (await createSnapshot(world.ports, scope, request)).snapshot.id;
};
const makeCompleted = async (world: World, scope: Scope): Promise<void> => {
  await makePending(world, scope);
  await world.control.run('upload-snapshots');
};
const direct = { sizeGib: 8, parent: null, description: '', tags: [], token: 'start', timeoutMinutes: null } as const;

const CASES: Readonly<Record<string, Case>> = {
  'createVolume of a disk': {
    prepare: async () => {},
    perform: (world, scope) => createVolume(world.ports, scope, diskRequest('disk')),
    volumes: 1,
    snapshots: 0,
  },
  'createVolume with a token from a snapshot': {
    prepare: makeCompleted,
    perform: (world, scope) =>
      createVolume(world.ports, scope, volumeRequest({ token: 'once', origin: snapshot, sizeGib: 8 })),
    volumes: 2,
    snapshots: 1,
  },
  deleteVolume: {
    prepare: makeDisk,
    perform: (world, scope) => deleteVolume(world.ports, scope, volume, { token: 'gone', operation: 'DeleteDisk' }),
    volumes: 0,
    snapshots: 0,
  },
  'deleteVolume with a pending snapshot': {
    prepare: makePending,
    perform: (world, scope) => deleteVolume(world.ports, scope, volume, { token: 'gone', operation: 'DeleteDisk' }),
    volumes: 0,
    snapshots: 1,
  },
  createSnapshot: {
    prepare: makeDisk,
    perform: (world, scope) =>
      createSnapshot(
        world.ports,
        scope,
        snapshotRequest(volume, { name: 'snap', face: 'lightsail', operation: 'CreateDiskSnapshot' }),
      ),
    volumes: 1,
    snapshots: 1,
  },
  'createSnapshot with a token': {
    prepare: makeDisk,
    perform: (world, scope) => createSnapshot(world.ports, scope, snapshotRequest(volume, { token: 'once' })),
    volumes: 1,
    snapshots: 1,
  },
  'the upload of a snapshot': {
    prepare: makePending,
    perform: (world) => world.control.run('upload-snapshots'),
    volumes: 1,
    snapshots: 1,
  },
  'deleteSnapshot of a pending one': {
    prepare: makePending,
    perform: (world, scope) =>
      deleteSnapshot(world.ports, scope, snapshot, { token: 'gone', operation: 'DeleteDiskSnapshot' }),
    volumes: 1,
    snapshots: 0,
  },
  'deleteSnapshot of a completed one': {
    prepare: makeCompleted,
    perform: (world, scope) =>
      deleteSnapshot(world.ports, scope, snapshot, { token: 'gone', operation: 'DeleteDiskSnapshot' }),
    volumes: 1,
    snapshots: 0,
  },
  'a snapshot made block by block': {
    prepare: async () => {},
    perform: async (world, scope) => {
      const started = await startSnapshot(world.ports, scope, direct);
      if (!started.sealed) {
        const bytes = new Uint8Array(524_288).fill(3);
        await putBlock(world.ports, scope, started.id, 4, bytes, SHA256_OF_THREES);
        await completeSnapshot(world.ports, scope, started.id, { changedBlocksCount: 1, checksum: null });
      }
      await world.control.run('upload-snapshots');
    },
    volumes: 0,
    snapshots: 1,
  },
};

const SHA256_OF_THREES = createHash('sha256').update(new Uint8Array(524_288).fill(3)).digest('base64');

const CALLS_MAX = 60;
const NAMES = ['disk', 'snap'];

for (const [name, one] of Object.entries(CASES)) {
  for (const mode of ['before', 'after'] as const) {
    for (const kind of ['internal', 'unavailable'] as const) {
      test(`${name} leaves nothing half done when a call fails ${mode} it happens (${kind})`, async () => {
        let call = 1;
        while (await survives(one, call, mode, kind)) {
          call += 1;
          assert.ok(call < CALLS_MAX, 'the use case makes a bounded number of calls');
        }
        assert.ok(call > 1, 'at least one call failed');
      });
    }
  }
}

/** Whether a call failed: false when there were fewer. */
async function survives(one: Case, call: number, mode: FaultMode, kind: VolumeHostErrorKind): Promise<boolean> {
  await using world = await World.make();
  const scope = await world.account();
  await one.prepare(world, scope);
  world.faults.arm(call, mode, kind);
  const outcome = await one.perform(world, scope).then(
    () => 'answered',
    (error: unknown) => {
      assert.ok(!(error instanceof DomainError), `a fault is trouble, not a refusal: ${String(error)}`);
      return 'failed';
    },
  );
  const fired = world.faults.disarm();
  const where = `call ${call} (${fired}) failing ${mode}, ${outcome}`;
  // Sometimes the process dies with it.
  if (call % 2 === 0) await world.restartControl();
  await world.settle();
  await assertConsistent(world, scope, NAMES, where);
  if (outcome === 'failed') {
    // The client asks again, and is not told of what went before.
    await one.perform(world, scope).catch((error: unknown) => {
      throw new Error(`${where}, and again`, { cause: error });
    });
    await world.settle();
    await assertConsistent(world, scope, NAMES, `${where}, and again`);
  }
  const { volumes } = await listVolumes(world.ports, scope, ALL);
  const { snapshots } = await listSnapshots(world.ports, scope, ALL);
  assert.deepEqual([volumes.length, snapshots.length], [one.volumes, one.snapshots], where);
  assert.ok(
    snapshots.every(({ state }) => state === 'completed'),
    `${where}: snapshots complete`,
  );
  return fired !== null;
}
