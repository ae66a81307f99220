/**
 * Collection: deletes records that nothing needs, then the packs that held them.
 *
 * WORDS. A *root* names a tree; the tree *needs* its nodes and chunks, and a chunk that is stored as a delta needs its base. Roots that count: of every manifest; held ones (open
 * snapshots, bases of running writes); extra roots (origins of volumes). The *epoch* G, kept in the index, counts
 * collections; a record's row carries the epoch in which it was last stored or found again by a writer. A writer remembers
 * the epoch in which it began. A root is *safe* when each record that it needs is marked or has an epoch ≥ bound.
 *
 * STEPS
 *  0. settle    what a process before this one had asked for, and was killed before it was answered, has come to pass or
 *               never will (ObjectStore.settled; of a bucket, 30 s after it was taken over).
 *  1. begin     in one turn of the event loop: G + 1; bound = the least of G and the epochs in which the writers that run
 *               now began; watch the holds.
 *  2. adopt     packs that are stored and unknown (a put that failed after it was done) are taken in, with epoch G.
 *  3. mark      every record needed by the roots of the manifests (those listed now, and those that the index remembers, each
 *               since it was to be put or the store was opened: a list that leaves one out does no harm), then by the extra roots, then by the holds, until no
 *               snapshot is being opened and no hold is new. Manifests are listed once more before the holds. Any root that cannot be read: stop, nothing is deleted.
 *  4. rows      in the turn in which step 3 ended begins: rows that are not marked and whose epoch < bound go, some
 *               hundred a transaction. Then one synced commit.
 *  5. packs     of which no row reads are deleted: the object, then its row.
 *  6. rewrite   packs that are mostly unread are copied into new ones: put, read back, turn the rows over (some hundred a
 *               transaction, then one synced commit), delete the old object, then its row.
 *
 * WHY NOTHING THAT IS NEEDED GOES
 * - *Every root that counts when step 4 begins is safe.* A manifest that was there before the listing and still is was
 *   marked. One that was put since was put by a writer that ran during the collection: what it stored or found carries an
 *   epoch ≥ the one in which it began ≥ bound, and the rest comes from its base, which `write` held from its call to its
 *   end, so the watch saw it. A hold is seen by the watch, also one that ended meanwhile. An extra root that came after
 *   they were asked for was held while it came (the contract of `extraRoots`).
 * - *Every root that counts later is safe too*: it is a manifest that existed when it was opened, so one of the above, or
 *   it is made of a base that is safe and of records with an epoch ≥ G.
 * - *A manifest read, then deleted, before it is held*: opening is announced before the manifest is read, and step 3 does
 *   not end while one is announced.
 * - *A manifest of a process that was killed*, which lands after the store was taken over: before step 3 ends, as of step 0.
 *   No bound protects its records, since its writer is not one that runs.
 * - *Upload against step 4*: finding a row moves it to epoch G in one transaction, deleting looks again in one transaction.
 *   Found first: it stays. Deleted first: the writer stores it again, into a pack of its own.
 * - *A delta and its base*: a row's epoch is never above that of the row it needs (chunk/chunk-index.ts raises both at once),
 *   and marking follows what a row needs at that moment; a row that is turned to a delta later moves what that needs to
 *   epoch G. So whatever keeps a row keeps its chain. A writer rests a delta only on a base that it claimed as it claims
 *   a chunk that is stored already.
 * - *Upload against steps 5 and 6*: a writer builds on rows only, and a pack goes only when no row reads from it.
 * - *Reader against step 6*: a record that is not where the row said is looked up again.
 * - Packs that a writer is putting are known as such and neither adopted nor deleted.
 *
 * CRASHES
 * - In 1 to 3: nothing happened. Writers and holds died with the process; a resumed write begins anew, in the epoch of then,
 *   and finds what is still there.
 * - In 4: some rows are gone, of records that nothing needs. Their bytes are still in packs.
 * - Between 4 and 5, or in 5: packs without rows; the next collection deletes them. An object deleted whose row of the pack
 *   stayed: forgotten at the next open. The rows of the records were gone, durably, before: no row ever promises a record
 *   that was deleted.
 * - In 6 before the rows are turned over: the new pack is an unknown one with second copies: adopted, unread, deleted.
 *   On the way: both packs have rows, each of which reads; the next collection goes on. After it: the old pack has no rows, as in 5. In the middle of the put: the object store's put is whole or not at all.
 * - The index lost, or an old copy of it put back: it is compared with the packs at open (chunk/reconcile.ts), and made anew
 *   from all of them when it is not of this line, or reads from a pack that is gone. That brings back records that were
 *   deleted and whose packs are still there; they are complete, so finding one is harmless, and the next collection deletes
 *   it again.
 *
 * ASSUMED. One process has the store open. A put that failed takes no effect after it failed. An object once readable stays
 * so until deleted: when one does not, marking fails, and nothing is deleted until the snapshots that need it are gone.
 */
import { mapAhead } from '#base/map-ahead.ts';
import { throwIfAborted } from '#chunk/errors.ts';
import { adoptUnknown } from '#chunk/reconcile.ts';
import { sweep } from '#chunk/sweep.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import type { SnapshotId } from '#domain/ids.ts';

import type { AccountRoot, Holds } from './holds.ts';
import type { ManifestStore } from './manifest-store.ts';
import { Marker } from './marker.ts';
import type { Collection, CollectReport } from './snapshot-store.ts';

export interface CollectPorts {
  readonly chunks: ChunkStore;
  readonly manifests: ManifestStore;
  readonly holds: Holds;
  /** Told before records are deleted. */
  readonly beforeSweep: (epoch: number, extraRoots: readonly AccountRoot[], signal: AbortSignal) => Promise<void>;
}

/** Manifests whose trees are walked at once. */
const MARKED_AT_ONCE_MAX = 4;

/** One collection. Must not run while another does. */
export async function collect(
  { chunks, manifests, holds, beforeSweep }: CollectPorts,
  { extraRoots, signal }: Collection,
): Promise<CollectReport> {
  const epoch = chunks.index.nextEpoch();
  const bound = Math.min(epoch, ...[...chunks.writers].map((writer) => writer.startEpoch));
  using watch = holds.watch();

  await adoptUnknown(chunks, { checkRecords: true });

  const marker = new Marker(chunks, signal);
  const marked = new Set<SnapshotId>();
  const markManifests = async (): Promise<void> => {
    const marking = mapAhead(manifests.readAll(marked), MARKED_AT_ONCE_MAX, async ({ label, root }) => {
      marked.add(label.snapshot);
      await marker.mark({ account: label.account, root });
    });
    for await (const _one of marking) throwIfAborted(signal);
  };
  await markManifests();
  const extra = [...(await extraRoots())];
  for (const root of extra) await marker.mark(root);
  await beforeSweep(epoch, extra, signal);
  // Those that came meanwhile: of writers that run, whose records are safe anyhow, and of whom nobody here knows.
  await markManifests();
  for (let held = watch.take(); held.length > 0 || watch.isOpening; held = watch.take()) {
    for (const root of held) await marker.mark(root);
    await watch.settled();
  }
  // Nothing is awaited between the last look at the holds and the first deletion.
  chunks.index.swept = epoch;
  const swept = await sweep(chunks, { marks: marker.marks, bound, signal });
  return { liveChunks: marker.chunkCount, deletedChunks: swept.deletedChunks, freedBytes: swept.freedBytes };
}
