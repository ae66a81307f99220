import { chmodSync, statSync, unlinkSync } from 'node:fs';

import type { Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { ChunkCache } from '#volume/chunk-cache.ts';
import { singleExport } from '#volume/nbd-export.ts';
import { NbdServer } from '#volume/nbd-server.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { SnapshotDevice } from '#volume/snapshot-device.ts';

import type { SnapshotImage } from './snapshot-image.ts';

/** Decoded chunks that are kept for readers of small pieces. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024;

/** A snapshot that is served; disposing of it disconnects its clients and removes the socket. */
export interface ServedSnapshot extends AsyncDisposable {
  readonly uri: string;
}

/**
 * Serves a snapshot over NBD, read-only, on a unix socket that only this user can connect to. Opening reads the beginning
 * of its tree and no chunk. The path must be free.
 */
export async function serveSnapshot(
  image: SnapshotImage,
  options: { readonly socketPath: string; readonly clock: Clock },
): Promise<ServedSnapshot> {
  const { socketPath, clock } = options;
  await using scope = new AsyncDisposableStack();
  const { snapshot } = image.manifest.label;
  const device = scope.use(
    await SnapshotDevice.open({
      store: image,
      held: image.held,
      cache: new ChunkCache({ bytesMax: CACHE_BYTES_MAX }),
      onTrouble: () => {}, // The image tells of damage by itself, with the bytes that it affects.
    }),
  );
  const server = scope.use(new NbdServer({ clock, log: silentLog }));
  const before = process.umask(0o077);
  try {
    await server.listen({
      socketPath,
      exports: singleExport({ id: snapshot, device, description: `snapshot ${snapshot}, rescued` }),
    });
  } finally {
    process.umask(before);
  }
  chmodSync(socketPath, 0o600);
  const own = statSync(socketPath).ino;
  scope.defer(() => {
    if (statSync(socketPath, { throwIfNoEntry: false })?.ino === own) unlinkSync(socketPath);
  });
  const moved = scope.move();
  return { uri: nbdUri(snapshot, socketPath), [Symbol.asyncDispose]: () => moved.disposeAsync() };
}
