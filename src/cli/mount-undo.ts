import { systemClock } from '#base/clock.ts';

import { CommandError } from './command-error.ts';
import type { MountRecord, MountRecords, ServingProcess } from './mount-record.ts';
import { isAlive, isMounted, PATIENCE_MS, runTool, waitForEnd } from './mount-tools.ts';

const RETRY_MS = 50;

/**
 * Takes a mount away, the last first: the file system (which writes what it still has to write), the disk as a file, what
 * serves that. What is gone already is no error, so it may be tried again. Throws CommandError while it is in use; then all
 * that is needed is still there, and so is the record.
 */
export async function undoMount(records: MountRecords, mounted: MountRecord): Promise<void> {
  const { directory, way, fuseDirectory, nbdDevice } = mounted;
  if (way !== 'file' && isMounted(directory)) {
    const { code, errors } =
      way === 'fuse2fs' ? await runTool('fusermount3', ['-u', directory]) : await runTool('umount', [directory]);
    if (code !== 0) throw inUse(directory, errors);
    // fuse2fs writes its last when it is unmounted already.
    await ended(mounted.files);
  }
  await stop(mounted.files);
  if (nbdDevice !== null) {
    const { code, errors } = await runTool('nbd-client', ['-d', nbdDevice]);
    if (code !== 0) throw new CommandError(`${nbdDevice} cannot be disconnected: ${errors}`);
  }
  if (fuseDirectory !== null && isMounted(fuseDirectory)) {
    await unmountDisk(fuseDirectory, way === 'file');
    // nbdfuse ends by itself once all is written.
    await ended(mounted.disk);
  }
  await stop(mounted.disk);
  await stop(mounted.overlay);
  await records.remove(directory);
}

/** Ends what serves nothing any more, or never did. */
async function stop(serving: ServingProcess | null): Promise<void> {
  if (serving === null || !isAlive(serving)) return;
  process.kill(serving.pid, 'SIGTERM');
  await ended(serving);
}

async function ended(serving: ServingProcess | null): Promise<void> {
  if (serving === null || (await waitForEnd(serving))) return;
  throw new CommandError(`process ${serving.pid}, which serves it, does not end; try "varve umount" again`);
}

/** The kernel lets go of a loop device a moment after its file system is unmounted. */
async function unmountDisk(fuseDirectory: string, isUsers: boolean): Promise<void> {
  const startedMs = systemClock.monotonicMs();
  while (isMounted(fuseDirectory)) {
    const { code, errors } = await runTool('fusermount3', ['-u', fuseDirectory]);
    if (code === 0) return;
    // Nobody else knows the directory of a mount, but a user's may be used by anybody.
    if (isUsers || systemClock.monotonicMs() - startedMs > PATIENCE_MS) throw inUse(fuseDirectory, errors);
    await systemClock.sleep(RETRY_MS);
  }
}

function inUse(path: string, errors: string): CommandError {
  return new CommandError(
    `${path} cannot be unmounted: ${errors}. See who uses it with "fuser -vm ${path}", and try again`,
  );
}
