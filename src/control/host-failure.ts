import type { Volume } from '#domain/volume.ts';
import { VolumeHostError, type VolumeHostErrorKind } from '#volume/host.ts';
import { type OpenPorts, openVolume } from './open-volume.ts';

/** Whether an error is the host's, of one of these kinds. */
export function isHostError(error: unknown, ...kinds: readonly VolumeHostErrorKind[]): error is VolumeHostError {
  return error instanceof VolumeHostError && kinds.includes(error.kind);
}

/**
 * Does something that needs the volume open. A host that was started anew has volumes on disk and opens them one after
 * another; what is asked for now does not wait its turn. `work` may run twice: every verb of the host may be repeated.
 */
export async function onOpenVolume<R>(ports: OpenPorts, volume: Volume, work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    if (!isHostError(error, 'unavailable')) throw error;
    await openVolume(ports, volume);
    return await work();
  }
}
