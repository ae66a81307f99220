import { systemClock } from '#base/clock.ts';
import type { Damage } from '#rescue/damage.ts';
import { serveSnapshot } from '#rescue/serve.ts';
import { SnapshotImage } from '#rescue/snapshot-image.ts';

import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import type { OutputFormat } from './image-format.ts';
import { Interrupt } from './image-interrupt.ts';
import { writeConverted, writeRawFile, writeRawStream } from './image-write.ts';
import { describeDamage } from './rescue-damage.ts';
import { lendKeyOf } from './rescue-keys.ts';
import { findSnapshot, openPacks, openRescue, scratchSocket, warn, type StorePlace } from './rescue-open.ts';

export interface RescueExport {
  readonly snapshot: string;
  /** `-`: standard output. */
  readonly path: string;
  readonly format: OutputFormat;
  /** Zeros in place of damage, instead of giving up. */
  readonly keepGoing: boolean;
}

/** Writes a snapshot as an image. With damage it throws: at once, or after all with `keepGoing`. */
export async function exportRescued(place: StorePlace, wish: RescueExport): Promise<void> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  await using opened = await openRescue(place);
  const manifest = await findSnapshot(opened.store, wish.snapshot);
  await using packs = await openPacks(opened.store, manifest, signal);
  using _key = await lendKeyOf(opened.keys, packs.chunks.dataKeys, manifest);
  const damage: Damage[] = [];
  const image = new SnapshotImage({
    chunks: packs.chunks,
    manifest,
    damaged: wish.keepGoing ? 'zeros' : 'error',
    onDamage: (one) => {
      damage.push(one);
      if (wish.keepGoing) warn(describeDamage(one));
    },
  });
  try {
    if (wish.path === '-') await writeRawStream(image, signal);
    else if (wish.format === 'raw') await writeRawFile(image, wish.path, signal);
    else {
      await using served = await serveSnapshot(image, {
        socketPath: scratchSocket(opened.scratchDirectory),
        clock: systemClock,
      });
      await writeConverted(
        { uri: served.uri, sizeBytes: image.sizeBytes },
        { path: wish.path, format: wish.format },
        signal,
      );
    }
  } catch (error) {
    const [first] = damage;
    if (wish.keepGoing || signal.aborted || first === undefined) throw error;
    const made = wish.path === '-' ? 'the output ends there' : `${wish.path} was not made`;
    throw new CommandError(`${describeDamage(first)}; ${made}. To have the rest, with zeros there: --keep-going`);
  }
  if (damage.length > 0) {
    const where = wish.path === '-' ? 'the output' : wish.path;
    throw new CommandError(`damaged: ${counted(damage.length, 'chunk')}; zeros stand there in ${where}`);
  }
}
