import type { CutId, Epoch, VolumeId } from '#domain/ids.ts';

import type { VolumeDevice } from './volume-device.ts';

/** A cut of one of several volumes, all of one instant. */
export interface BegunCut {
  readonly volume: VolumeId;
  readonly epoch: Epoch;
  readonly durable: Promise<void>;
}

/** A cut that was killed when some volumes had it and others not was never answered: it is taken back, so that all have one instant. */
export async function forgetPartialCut(devices: readonly VolumeDevice[], cut: CutId): Promise<void> {
  const having = devices.filter((device) => device.cuts().some((pending) => pending.cut === cut));
  if (having.length === devices.length) return;
  for (const device of having) await device.release(cut);
}

/** All or none, in one turn of the event loop. */
export function beginCuts(devices: readonly VolumeDevice[], cut: CutId): readonly BegunCut[] {
  const begun: BegunCut[] = [];
  try {
    for (const device of devices) begun.push({ volume: device.volume, ...device.beginCut(cut) });
    return begun;
  } catch (error) {
    // The next try finds some with the cut and takes it back; nobody waits for these.
    for (const one of begun) one.durable.catch(() => {});
    throw error;
  }
}
