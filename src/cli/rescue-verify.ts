import { systemClock } from '#base/clock.ts';
import { StoreError } from '#chunk/errors.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { Damage } from '#rescue/damage.ts';
import type { FoundSnapshot } from '#rescue/manifests.ts';
import { verifySnapshots } from '#rescue/verify.ts';
import type { RescueStore } from '#rescue/rescue-store.ts';

import { Progress } from './bars.ts';
import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import { Interrupt } from './image-interrupt.ts';
import { formatBytes } from './image-progress.ts';
import { describeDamages } from './rescue-damage.ts';
import { lendKeyOf } from './rescue-keys.ts';
import { findSnapshot, openPacks, openRescue, warn, type StorePlace } from './rescue-open.ts';

/** Reads everything of one snapshot or of all. Throws at the end when something is damaged. */
export async function verifyStore(place: StorePlace, snapshot: string | null): Promise<void> {
  using interrupt = new Interrupt();
  await using opened = await openRescue(place);
  const { store } = opened;
  const found = snapshot === null ? await allOf(store) : [await oneOf(store, snapshot)];
  const manifests = found.flatMap(({ manifest }) => (manifest === null ? [] : [manifest]));
  const only = snapshot === null ? null : (manifests[0] ?? null);
  await using packs = await openPacks(store, only, interrupt.signal);

  const startedMs = systemClock.monotonicMs();
  const totalBytes = manifests.reduce((sum, { fullBytes }) => sum + fullBytes, 0);
  const damage: Damage[] = [];
  let doneBytes = 0;
  await using keys = new AsyncDisposableStack();
  for (const manifest of manifests) {
    try {
      keys.use(await lendKeyOf(opened.keys, packs.chunks.dataKeys, manifest));
    } catch (error) {
      // It is verified as far as that goes without the key.
      if (!(error instanceof CommandError)) throw error;
      warn(error.message);
    }
  }
  const report = await (async () => {
    using progress = new Progress({ label: 'verifying', totalBytes, clock: systemClock });
    return await verifySnapshots(packs.chunks, manifests, {
      signal: interrupt.signal,
      onProgress: (bytes) => progress.at((doneBytes += bytes)),
      onDamage: (one) => damage.push(one),
    }).catch((error: unknown) => {
      if (error instanceof StoreError && error.kind === 'aborted') throw new CommandError('interrupted');
      throw error;
    });
  })();
  for (const line of describeDamages(damage)) warn(line);
  for (const one of found) if (one.manifest === null) warn(`${one.snapshot} cannot be read at all: ${one.damage}`);
  const seconds = (systemClock.monotonicMs() - startedMs) / 1000;
  const unreadable = found.length - manifests.length;
  const read = `${counted(report.chunkCount, 'different chunk')} (${formatBytes(report.chunkCount * CHUNK_BYTES)})`;
  process.stdout.write(
    `${counted(report.snapshotCount, 'snapshot')} with ${formatBytes(totalBytes)} of data: ` +
      `${read} read back whole in ${seconds.toFixed(1)} s\n`,
  );
  if (report.sealedCount > 0) {
    const sealed = counted(report.sealedCount, 'different chunk');
    process.stdout.write(`${sealed} under data keys that were not given: whole as sealed, and not looked into\n`);
  }
  if (damage.length === 0 && unreadable === 0) return;
  const affected = new Set(damage.map((one) => one.snapshot)).size + unreadable;
  throw new CommandError(`damaged: ${affected} of ${counted(found.length, 'snapshot')}`);
}

async function allOf(store: RescueStore): Promise<readonly FoundSnapshot[]> {
  const found: FoundSnapshot[] = [];
  for await (const one of store.manifests.list()) found.push(one);
  return found;
}

async function oneOf(store: RescueStore, text: string): Promise<FoundSnapshot> {
  const manifest = await findSnapshot(store, text);
  return { snapshot: manifest.label.snapshot, manifest };
}
