import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { SOCKET_PATH_BYTES_MAX } from '#base/run-directory.ts';
import { serveSnapshot } from '#rescue/serve.ts';
import { SnapshotImage } from '#rescue/snapshot-image.ts';

import { CommandError } from './command-error.ts';
import { Interrupt } from './image-interrupt.ts';
import { describeDamage } from './rescue-damage.ts';
import { lendKeyOf } from './rescue-keys.ts';
import { findSnapshot, openPacks, openRescue, scratchSocket, warn, type StorePlace } from './rescue-open.ts';

/** Serves a snapshot until it is interrupted; its address is the first line of standard output. */
export async function serveRescued(
  place: StorePlace,
  wish: { readonly snapshot: string; readonly socketPath: string | null; readonly keepGoing: boolean },
): Promise<void> {
  using interrupt = new Interrupt();
  await using opened = await openRescue(place);
  const manifest = await findSnapshot(opened.store, wish.snapshot);
  const socketPath = wish.socketPath === null ? scratchSocket(opened.scratchDirectory) : freePath(wish.socketPath);
  await using packs = await openPacks(opened.store, manifest, interrupt.signal);
  using _key = await lendKeyOf(opened.keys, packs.chunks.dataKeys, manifest);
  const image = new SnapshotImage({
    chunks: packs.chunks,
    manifest,
    damaged: wish.keepGoing ? 'zeros' : 'error',
    onDamage: (damage) => warn(describeDamage(damage)),
  });
  await using served = await serveSnapshot(image, { socketPath, clock: systemClock });
  process.stdout.write(`${served.uri}\n`);
  const { signal } = interrupt;
  if (signal.aborted) return;
  // A listener alone keeps no process running; the socket does.
  await new Promise<void>((stop) => signal.addEventListener('abort', () => stop(), { once: true }));
}

function freePath(path: string): string {
  const absolute = resolve(path);
  if (existsSync(absolute)) throw new CommandError(`--socket: ${absolute} is there already`);
  if (Buffer.byteLength(absolute) <= SOCKET_PATH_BYTES_MAX) return absolute;
  throw new CommandError(
    `--socket: ${absolute} is longer than the ${SOCKET_PATH_BYTES_MAX} bytes that a socket's path may have`,
  );
}
