import type { VolumeId } from '#domain/ids.ts';
import { assert } from '#base/assert.ts';

import { HypervisorError } from './hypervisor.ts';

/**
 * Where disks are plugged in. Each has a PCIe root port to itself, with the number of the bus behind it as slot: the place of
 * its device's last letter in the alphabet. The guest so knows a disk's device without being told (docs/machines.md).
 */
export const SYSTEM_PLACE = 1;
/** Of `/dev/xvdz`. */
export const PLACE_MAX = 26;
export const SEED_PLACE = 27;

const LETTERED = /^(?:\/dev\/)?(?:sd|xvd|hd|vd)([a-z])\d*$/;

/** The place for a disk, of those that are not taken. Throws `resources` when there is none. */
export function placeFor(device: string, taken: ReadonlySet<number>): number {
  const letter = LETTERED.exec(device)?.[1];
  const wanted = letter === undefined ? null : letter.charCodeAt(0) - 'a'.charCodeAt(0) + 1;
  if (wanted !== null && wanted !== SYSTEM_PLACE && !taken.has(wanted)) return wanted;
  for (let place = PLACE_MAX; place > SYSTEM_PLACE; place -= 1) if (!taken.has(place)) return place;
  throw new HypervisorError('resources', `a machine has no more than ${PLACE_MAX} disks`);
}

/** A virtio disk's serial number has 20 bytes; the id of a volume has 21 with its dash. As EC2 has it on NVMe. */
export function diskSerial(volume: VolumeId): string {
  const serial = volume.replace('-', '');
  assert(/^vol[0-9a-f]{8,17}$/.test(serial), 'a serial number is the id of a volume');
  return serial;
}
