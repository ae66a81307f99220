import { assert } from '#base/assert.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Volume } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { giveUpVolume } from './deletion.ts';
import { isHostError } from './host-failure.ts';
import { endOperations } from './operations.ts';
import type { ControlPorts } from './ports.ts';
import type { Tally } from './tasks/task.ts';
import { makeOnHost } from './volumes.ts';

/*
 * A volume that is made of what its account has not in the store yet (another volume as it is at one instant, a snapshot
 * that another account shares) stays `creating` while that is stored as a snapshot of the account that nobody sees:
 *
 *   creating, staging pending → staging completed → made at the host → available, staging deleted
 *   creating, staging error → error, staging deleted
 *   creating, staging gone (the request died before it was answered) → undone
 */

/** Brings a `creating` volume with a staging snapshot on, as far as it goes now. */
export async function finishStaged(ports: ControlPorts, volume: Volume, tally: Tally): Promise<void> {
  const { id, staging } = volume;
  assert(staging !== null, 'only a volume with a staging snapshot is brought on');
  const snapshot = await ports.meta.read((tx) => tx.snapshots.find(staging));
  if (snapshot === null || snapshot.state === 'deleting') {
    ports.log.info('intent.undo', { volume: id });
    await giveUpVolume(ports, id);
    tally.done();
    return;
  }
  if (snapshot.state === 'pending' || snapshot.state === 'cutting') {
    tally.remaining();
    return;
  }
  try {
    await ports.intents.run(id, async () => {
      if (snapshot.state === 'completed') await makeOnHost(ports, volume);
      await settle(ports, volume, staging, snapshot.state === 'completed');
    });
    tally.done();
  } catch (error) {
    ports.log.warn('volume.staged', { volume: id, error });
    if (isHostError(error, 'snapshot-not-found', 'damaged')) await settle(ports, volume, staging, false);
    tally.failed();
  }
}

async function settle(ports: ControlPorts, volume: Volume, staging: SnapshotId, isMade: boolean): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const current = await tx.volumes.find(volume.id);
    if (current?.state !== 'creating') return;
    // One that failed keeps it as the sign that there is nothing at the host.
    await tx.volumes.update(
      isMade ? { ...current, state: 'available', staging: null } : { ...current, state: 'error' },
    );
    await endOperations(
      ports,
      tx,
      volume.id,
      isMade
        ? { status: 'Succeeded' }
        : {
            status: 'Failed',
            errorCode: 'VolumeFailed',
            errorDetails: 'What the volume is made of could not be stored.',
          },
    );
    await retireStaging(tx, staging);
  });
  ports.wake('finish-deletions');
}

async function retireStaging(tx: Tx, staging: SnapshotId): Promise<void> {
  const snapshot = await tx.snapshots.find(staging);
  if (snapshot !== null) await tx.snapshots.update({ ...snapshot, state: 'deleting' });
}
