import type { VolumeId } from '#domain/ids.ts';
import type { HydrationStatus } from '#volume/host.ts';
import type { ControlPorts } from './ports.ts';

/**
 * How far volumes are filled from the snapshots that they were made from: bytes done, bytes in all, rates, seconds that are
 * left. One question to the host for all of them, which takes it tens of microseconds a volume. Null: made from nothing. A
 * volume that the host has not open just now is missing. Throws VolumeHostError.
 */
export async function initializationOf(
  ports: ControlPorts,
  volumes: readonly VolumeId[],
): Promise<ReadonlyMap<VolumeId, HydrationStatus | null>> {
  if (volumes.length === 0) return new Map();
  const statuses = await ports.host.status(volumes);
  return new Map(statuses.map(({ volume, hydration }) => [volume, hydration]));
}
