import type { Encryption } from '#domain/encryption.ts';
import { DomainError } from '#domain/errors.ts';
import type { Volume } from '#domain/volume.ts';
import { openDataKeyUnasked } from './kms/data-keys.ts';
import type { ControlPorts } from './ports.ts';

/** What opening a volume needs. */
export type OpenPorts = Pick<ControlPorts, 'host' | 'meta' | 'clock' | 'vault'>;

/**
 * Opens a volume at the host, which gets the data key of an encrypted one with it and keeps it in memory only. A volume that
 * is open already stays so, also when its KMS key is not usable any more: as a volume of EC2 that is attached.
 * Refuses: key-unusable. Throws VolumeHostError.
 */
export async function openVolume(ports: OpenPorts, volume: Volume): Promise<{ readonly socketPath: string }> {
  return await withDataKey(ports, volume, (dataKey) => ports.host.open(volume.id, volume.generation, dataKey));
}

/** Lends the data key of a volume or snapshot, in base64, while `work` runs; null: it is not encrypted with a KMS key. Refuses: key-unusable. */
export async function withDataKey<R>(
  ports: Pick<OpenPorts, 'meta' | 'clock' | 'vault'>,
  { encryption }: { readonly encryption: Encryption | null },
  work: (dataKey: string | null) => Promise<R>,
): Promise<R> {
  if (encryption === null) return await work(null);
  const dataKey = await openDataKeyUnasked(ports, encryption);
  try {
    return await work(dataKey.toString('base64'));
  } finally {
    dataKey.fill(0);
  }
}

/** The KMS key cannot be used, for now or for ever. */
export function isKeyUnusable(error: unknown): boolean {
  return error instanceof DomainError && error.failure.kind === 'key-unusable';
}

/** The KMS key has been destroyed: the volume is never opened again. */
export function isKeyDestroyed(error: unknown): boolean {
  return error instanceof DomainError && error.failure.kind === 'key-unusable' && error.failure.problem === 'destroyed';
}
