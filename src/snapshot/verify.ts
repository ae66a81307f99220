/**
 * Verification: reads objects and nothing else, with the master key alone. No index is needed or believed, so that what the
 * index hides is found too.
 *
 * STEPS
 *  1. packs    listed, then read one after another, some at once: header, footer, trailer, each record's tag, each address.
 *              Of one snapshot only the footers are read, and then the records that its tree needs.
 *  2. deltas   each is laid over its base and must give its address.
 *              Of records under a data key, 1 and 2 verify the tags, and that bases are there; what is in them needs the key.
 *  3. trees    of every manifest and every volume's origin are walked: each record that they need must be there, and what is
 *              damaged is told with the byte ranges that need it.
 *
 *  4. others   snapshots that are known elsewhere (`expected`) must have a manifest.
 *
 * BESIDE A RUNNING SERVER. Packs and manifests are put whole and never change; what may happen meanwhile is that some come
 * and some go. A record that was looked for in vain may have been moved to a pack that came later: then packs are listed
 * again and the new ones read, and 3 is done again, until nothing is looked for in vain or nothing is new. A manifest that
 * is gone when the trees are walked was deleted, and is no snapshot any more.
 */
import { TaskGroup } from '#base/task-group.ts';
import { DamageError, snapshotNotFound, StoreError, throwIfAborted } from '#chunk/errors.ts';
import { ObjectStoreError, type ObjectStore } from '#chunk/object-store.ts';
import { PACK_BYTES_TARGET, PACK_PREFIX, packObjectKey, parsePackObjectKey, readPackEntries } from '#chunk/pack.ts';
import { repositoryProblem, REPOSITORY_KEY } from '#chunk/repository.ts';
import { isUnderDataKey } from '#chunk/unseal.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';

import {
  decodeManifest,
  MANIFEST_PREFIX,
  manifestKey,
  manifestObjectKey,
  parseManifestObjectKey,
  type Manifest,
} from './manifest.ts';
import { CopyState, VerifyCatalog, type CatalogPack, type CheckedEntry, type Copy } from './verify-catalog.ts';
import { giveUpDeltas, resolveDeltas } from './verify-deltas.ts';
import { DamageLedger } from './verify-ledger.ts';
import { checkWholePack, recordDamage, type CheckedPack } from './verify-pack.ts';
import { KeyRing, type PackChecker } from './verify-pool.ts';
import type { VerifyCounts, VerifyProgress, VerifyReport } from './verify-report.ts';
import { damageOfCopy, VerifyTrees, type NamedRoot, type TreePorts } from './verify-trees.ts';

export interface VerifyOptions {
  readonly objects: ObjectStore;
  readonly masterKey: Uint8Array;
  readonly checker: PackChecker;
  /** Null: the whole store. */
  readonly snapshot: SnapshotId | null;
  /** What volumes read through to now. Asked for each time that trees are walked. */
  readonly origins: () => Promise<readonly NamedRoot[]>;
  /** Snapshots that are completed as far as somebody knows, and the bytes of their volumes: the store must have them. Missing: nobody knows. Asked again where one seems to be gone. */
  readonly expected?: () => Promise<ReadonlyMap<SnapshotId, number>>;
  /** The id of the chunk index that goes with the store; null: it is not at hand. */
  readonly indexId: number | null;
  readonly onProgress: (progress: VerifyProgress) => void;
  readonly signal: AbortSignal;
}

/** More is no pack that any version writes. */
const PACK_BYTES_MAX = 4 * PACK_BYTES_TARGET;
/** A store in which packs come and go faster than they are read is not waited for for ever. */
const ROUNDS_MAX = 8;
const PACKS_PER_TURN = 100;
const COPIES_PER_TURN = 200;
/** Records of one snapshot that are read while another is checked. */
const READS_AT_ONCE = 4;
const INDEX_ID_KEY = 'index-id';
/** Objects that are not of this store and are told of. */
const STRANGERS_MAX = 100;

/** Throws StoreError: 'damaged' when the master key is another store's, 'snapshot-not-found', 'aborted'; ObjectStoreError when the store cannot be listed. */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  using catalog = new VerifyCatalog();
  return await new Verification(options, catalog).run();
}

class Verification {
  readonly #options: VerifyOptions;
  readonly #catalog: VerifyCatalog;
  readonly #ledger = new DamageLedger();
  readonly #ring: KeyRing;
  readonly #manifestKey: Buffer;
  readonly #badManifests = new Set<SnapshotId>();
  readonly #counts = { packs: 0, records: 0, chunks: 0, deltas: 0, nodes: 0, snapshots: 0, underDataKeys: 0 };
  readonly #ports: TreePorts;
  readonly #strangers: string[] = [];
  #bytes = 0;
  #totalBytes = 0;
  #manifestBytes = 0;
  #phase: VerifyProgress['phase'] = 'packs';
  #newPacks = 0;

  constructor(options: VerifyOptions, catalog: VerifyCatalog) {
    this.#options = options;
    this.#catalog = catalog;
    this.#ring = new KeyRing(options.masterKey);
    this.#manifestKey = manifestKey(options.masterKey);
    this.#ports = {
      catalog,
      ledger: this.#ledger,
      keysOf: (account) => this.#ring.of(account),
      read: (copy) => this.#readCopy(copy),
      onNode: (copy) => {
        this.#countRecord('node');
        this.#bytes += copy.length;
      },
      signal: options.signal,
    };
  }

  async run(): Promise<VerifyReport> {
    const { snapshot } = this.#options;
    const one = snapshot === null ? null : await this.#oneRoot(snapshot);
    await this.#checkRepository();
    if (one === null) await this.#checkOthers();
    for (let round = 1; ; round += 1) {
      await this.#readPacks();
      if (one !== null) await this.#readWanted(one);
      await resolveDeltas(this.#ports);
      this.#enter('trees', 0);
      const trees = new VerifyTrees(this.#ports);
      this.#ledger.forgetAffected();
      const roots = one === null ? await this.#roots() : [one];
      await trees.check(roots);
      const wasInVain = trees.missingCount > 0 || this.#catalog.todo(CopyState.unresolved, 1).length > 0;
      if (wasInVain && round < ROUNDS_MAX && ((await this.#listPacks()) > 0 || (await this.#isGone(roots)))) continue;
      if (this.#catalog.todo(CopyState.unresolved, 1).length > 0) {
        giveUpDeltas(this.#ports);
        continue;
      }
      this.#ledger.missingCount = trees.missingCount;
      this.#counts.snapshots = roots.filter(({ name }) => name.kind === 'snapshot').length;
      if (one === null) await this.#checkExpected(roots);
      break;
    }
    return this.#report();
  }

  #report(): VerifyReport {
    const damages = this.#ledger.damages((account, key) =>
      this.#catalog.copies(account, key).some(({ state }) => state === CopyState.whole),
    );
    const counts: VerifyCounts = { ...this.#counts };
    return {
      counts,
      bytes: this.#bytes + this.#manifestBytes,
      damages,
      damageCount: this.#ledger.count,
      strangers: this.#strangers,
    };
  }

  /** The key check. A key of another store would make everything look damaged: that is told apart by the manifests. */
  async #checkRepository(): Promise<void> {
    const found = await this.#get(REPOSITORY_KEY);
    const problem = found === null ? 'the object is missing' : repositoryProblem(this.#options.masterKey, found);
    this.#bytes += found?.length ?? 0;
    if (problem === null) return;
    const keys = await this.#manifestIds();
    if (keys.length > 0 && !(await this.#anyReads(keys))) throw new StoreError('damaged', problem);
    this.#ledger.add({
      what: 'repository',
      object: REPOSITORY_KEY,
      place: null,
      message: `${problem}; no snapshot is affected, but the store cannot be opened until it is put right`,
      record: null,
      lost: false,
    });
  }

  async #anyReads(snapshots: readonly SnapshotId[]): Promise<boolean> {
    for (const snapshot of snapshots) if ((await this.#readManifest(snapshot)).manifest !== null) return true;
    return false;
  }

  /** Objects that are no packs and no manifests. */
  async #checkOthers(): Promise<void> {
    for await (const { key } of this.#options.objects.list('')) {
      if (key === REPOSITORY_KEY || parsePackObjectKey(key) !== null || parseManifestObjectKey(key) !== null) continue;
      if (key === INDEX_ID_KEY) await this.#checkIndexId();
      else if (this.#strangers.push(key) > STRANGERS_MAX) this.#strangers.pop();
    }
  }

  async #checkIndexId(): Promise<void> {
    const found = await this.#get(INDEX_ID_KEY);
    if (found === null) return;
    this.#bytes += found.length;
    const text = found.toString('latin1');
    const { indexId } = this.#options;
    const isWellFormed = /^[1-9][0-9]{0,15}\n$/.test(text);
    if (isWellFormed && (indexId === null || text === `${indexId}\n`)) return;
    this.#ledger.add({
      what: 'index-id',
      object: INDEX_ID_KEY,
      place: null,
      message: 'it is not the id of the chunk index, which the next start makes anew; nothing else is affected',
      record: null,
      lost: false,
    });
  }

  /** Answers how many packs are new since the last time. */
  async #listPacks(): Promise<number> {
    const isListed = this.#newPacks > 0;
    if (isListed) return this.#newPacks;
    for await (const { key, sizeBytes } of this.#options.objects.list(PACK_PREFIX)) {
      const name = parsePackObjectKey(key);
      if (name !== null && this.#catalog.addPack(name, sizeBytes)) this.#newPacks += 1;
    }
    return this.#newPacks;
  }

  async #readPacks(): Promise<void> {
    await this.#listPacks();
    this.#newPacks = 0;
    const isWhole = this.#options.snapshot === null;
    this.#enter('packs', isWhole ? this.#catalog.unreadBytes() : 0);
    for (;;) {
      const packs = this.#catalog.unreadPacks(PACKS_PER_TURN);
      if (packs.length === 0) return;
      await using group = new TaskGroup({ limit: this.#options.checker.limit });
      for (const pack of packs) await group.add(() => (isWhole ? this.#readPack(pack) : this.#listPack(pack)));
      await group.drain();
    }
  }

  /** Every byte of a pack. What looks damaged is read twice: a bad read is told from a bad object. */
  async #readPack(pack: CatalogPack): Promise<void> {
    throwIfAborted(this.#options.signal);
    let checked = await this.#check(pack, this.#options.checker);
    if (checked !== null && isDamaged(checked)) checked = await this.#check(pack, this.#options.checker);
    if (checked === null) {
      this.#catalog.emptyPack(pack.number);
      return;
    }
    this.#take(pack, checked);
    this.#bytes += pack.sizeBytes;
    this.#progress();
  }

  async #check(pack: CatalogPack, checker: Pick<PackChecker, 'check'>): Promise<CheckedPack | null> {
    if (pack.sizeBytes > PACK_BYTES_MAX) {
      return { structure: 'the object is larger than any pack', entries: [], damaged: new Map(), underDataKeys: 0 };
    }
    const bytes = await this.#readObject(packObjectKey(pack), pack.sizeBytes);
    return bytes === null ? null : await checker.check({ account: pack.account, id: pack.id }, bytes);
  }

  /** What a pack holds, from its footer; of one that is damaged, from all of it. */
  async #listPack(pack: CatalogPack): Promise<void> {
    throwIfAborted(this.#options.signal);
    const key = packObjectKey(pack);
    try {
      const entries = await readPackEntries(pack, pack.sizeBytes, async (offset, length) => {
        const bytes = await this.#options.objects.getRange(key, offset, length);
        if (bytes === null) throw new GoneError();
        return bytes;
      });
      this.#catalog.fillPack(
        pack,
        entries.map((entry) => ({ entry, state: CopyState.listed, damage: null })),
      );
      this.#counts.packs += 1;
    } catch (error) {
      if (error instanceof GoneError) this.#catalog.emptyPack(pack.number);
      else if (error instanceof DamageError || error instanceof ObjectStoreError) {
        const inline = {
          check: (_name: unknown, bytes: Buffer) => checkWholePack(this.#ring.of(pack.account), pack, bytes),
        };
        const checked = await this.#check(pack, inline);
        if (checked === null) this.#catalog.emptyPack(pack.number);
        else this.#take(pack, checked);
      } else throw error;
    }
  }

  #take(pack: CatalogPack, { structure, entries, damaged, underDataKeys }: CheckedPack): void {
    this.#counts.underDataKeys += underDataKeys;
    const object = packObjectKey(pack);
    this.#counts.packs += 1;
    const wholePack =
      structure === null
        ? null
        : this.#ledger.add({
            what: 'pack',
            object,
            place: null,
            message: `${structure}; ${entries.length - damaged.size} records in it are whole, and are found as long as the chunk index is not lost`,
            record: null,
            lost: false,
          });
    const found = entries.map((entry, place): CheckedEntry => {
      this.#countRecord(entry.kind);
      const why = damaged.get(place);
      if (why !== undefined) {
        const damage = this.#ledger.add({
          what: 'record',
          object,
          place: { offset: entry.offset, length: entry.length },
          message: `${entry.kind} ${entry.key.toString('hex')}: ${why}`,
          record: { account: pack.account, key: entry.key },
          lost: true,
        });
        return { entry, state: CopyState.damaged, damage };
      }
      if (wholePack !== null) return { entry, state: CopyState.stranded, damage: wholePack };
      return { entry, state: entry.kind === 'delta' ? CopyState.unresolved : CopyState.whole, damage: null };
    });
    this.#catalog.fillPack(pack, found);
  }

  #countRecord(kind: Copy['kind']): void {
    this.#counts.records += 1;
    this.#counts[kind === 'node' ? 'nodes' : kind === 'delta' ? 'deltas' : 'chunks'] += 1;
  }

  /** Of one snapshot: reads the records that it needs, in the order in which they lie, and what deltas among them need. */
  async #readWanted(root: NamedRoot): Promise<void> {
    await new VerifyTrees(this.#ports).want(root);
    this.#enter('chunks', this.#catalog.todoBytes(CopyState.wanted));
    for (;;) {
      const copies = this.#catalog.todo(CopyState.wanted, COPIES_PER_TURN);
      if (copies.length === 0) return;
      await using group = new TaskGroup({ limit: READS_AT_ONCE });
      for (const copy of copies) {
        throwIfAborted(this.#options.signal);
        await group.add(() => this.#checkCopy(copy));
        this.#progress();
      }
      await group.drain();
    }
  }

  async #checkCopy(copy: Copy): Promise<void> {
    const keys = this.#ring.of(copy.account);
    let why: string | null = null;
    let isUnread = false;
    for (let count = 0; count < 2; count += 1) {
      try {
        const record = await this.#readCopy(copy);
        if (record === null) return; // Its pack is gone, and the copy with it.
        why = recordDamage(keys, copy, record);
        isUnread = isUnderDataKey([{ key: copy.key, record }]);
      } catch (error) {
        if (!(error instanceof DamageError)) throw error;
        why = error.message;
      }
      if (why === null) break;
    }
    this.#countRecord(copy.kind);
    if (isUnread && why === null) this.#counts.underDataKeys += 1;
    this.#bytes += copy.length;
    if (why !== null) this.#catalog.settle(copy, CopyState.damaged, this.#ledger.add(damageOfCopy(copy, why)));
    else if (copy.base === null) this.#catalog.settle(copy, CopyState.whole, null);
    else {
      this.#catalog.settle(copy, CopyState.unresolved, null);
      this.#catalog.want(copy.account, copy.base);
    }
  }

  /** Null: its pack was deleted meanwhile. Throws DamageError when it cannot be read. */
  async #readCopy(copy: Copy): Promise<Buffer | null> {
    const object = packObjectKey({ account: copy.account, id: copy.packId });
    try {
      const record = await this.#options.objects.getRange(object, copy.offset, copy.length);
      if (record === null) this.#catalog.emptyPack(copy.pack);
      return record;
    } catch (error) {
      if (error instanceof ObjectStoreError) throw new DamageError('it cannot be read', { cause: error });
      throw error;
    }
  }

  /** The whole object; what of it cannot be read is zeros, which no check takes for whole. */
  async #readObject(key: string, sizeBytes: number): Promise<Buffer | null> {
    const { objects } = this.#options;
    try {
      return await objects.getRange(key, 0, sizeBytes);
    } catch (error) {
      if (!(error instanceof ObjectStoreError)) throw error;
    }
    const bytes = Buffer.alloc(sizeBytes);
    for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
      try {
        const piece = await objects.getRange(key, offset, Math.min(PIECE_BYTES, sizeBytes - offset));
        if (piece === null) return null;
        bytes.set(piece, offset);
      } catch (error) {
        if (!(error instanceof ObjectStoreError)) throw error;
      }
    }
    return bytes;
  }

  async #get(key: string): Promise<Buffer | null> {
    try {
      return await this.#options.objects.get(key);
    } catch (error) {
      if (error instanceof ObjectStoreError) return Buffer.alloc(0);
      throw error;
    }
  }

  async #manifestIds(): Promise<readonly SnapshotId[]> {
    const ids: SnapshotId[] = [];
    for await (const { key } of this.#options.objects.list(MANIFEST_PREFIX)) {
      const id = parseManifestObjectKey(key);
      if (id !== null) ids.push(id);
    }
    return ids;
  }

  async #readManifest(
    snapshot: SnapshotId,
  ): Promise<{ readonly manifest: Manifest | null; readonly problem: string | null; readonly sizeBytes: number }> {
    const bytes = await this.#get(manifestObjectKey(snapshot));
    if (bytes === null) return { manifest: null, problem: null, sizeBytes: 0 };
    try {
      const manifest = decodeManifest(this.#manifestKey, snapshot, bytes);
      return { manifest, problem: null, sizeBytes: bytes.length };
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      return { manifest: null, problem: error.message, sizeBytes: bytes.length };
    }
  }

  async #oneRoot(snapshot: SnapshotId): Promise<NamedRoot | null> {
    const { manifest, problem } = await this.#readManifest(snapshot);
    if (manifest !== null)
      return { name: { kind: 'snapshot', id: snapshot }, account: manifest.label.account, root: manifest.root };
    if (problem !== null) throw new StoreError('damaged', `manifest of ${snapshot}: ${problem}`);
    if ((await this.#expected()).has(snapshot)) throw new StoreError('damaged', manifestGone(snapshot));
    throw snapshotNotFound(snapshot);
  }

  async #roots(): Promise<readonly NamedRoot[]> {
    const roots: NamedRoot[] = [];
    let bytes = 0;
    for (const snapshot of await this.#manifestIds()) {
      const { manifest, problem, sizeBytes } = await this.#readManifest(snapshot);
      const name = { kind: 'snapshot', id: snapshot } as const;
      if (manifest !== null) roots.push({ name, account: manifest.label.account, root: manifest.root });
      else if (problem !== null) this.#tellManifest(snapshot, problem, sizeBytes);
      bytes += sizeBytes;
    }
    this.#manifestBytes = bytes;
    return [...roots, ...(await this.#options.origins())];
  }

  /** Whether one of the roots is none any more: then what it needed may be gone, too. */
  async #isGone(roots: readonly NamedRoot[]): Promise<boolean> {
    const volumes = new Set((await this.#options.origins()).map(({ name }) => name.id));
    for (const { name } of roots) {
      if (name.kind === 'volume' && !volumes.has(name.id)) return true;
      const snapshot = name.kind === 'snapshot' ? parseSnapshotId(name.id) : null;
      if (snapshot === null || (await this.#get(manifestObjectKey(snapshot))) !== null) continue;
      if (this.#options.snapshot !== null) throw snapshotNotFound(snapshot);
      return true;
    }
    return false;
  }

  async #expected(): Promise<ReadonlyMap<SnapshotId, number>> {
    return (await this.#options.expected?.()) ?? new Map();
  }

  /** What was deleted meanwhile is not expected any more, once its manifest is gone. */
  async #checkExpected(roots: readonly NamedRoot[]): Promise<void> {
    const found = new Set<string>(roots.map(({ name }) => name.id));
    const gone: SnapshotId[] = [];
    for (const snapshot of (await this.#expected()).keys()) {
      if (found.has(snapshot) || this.#badManifests.has(snapshot)) continue;
      if ((await this.#get(manifestObjectKey(snapshot))) === null) gone.push(snapshot);
    }
    const expected = gone.length === 0 ? new Map<SnapshotId, number>() : await this.#expected();
    for (const snapshot of gone) {
      const sizeBytes = expected.get(snapshot);
      if (sizeBytes === undefined) continue;
      const damage = this.#ledger.add({
        what: 'manifest',
        object: manifestObjectKey(snapshot),
        place: null,
        message: manifestGone(snapshot),
        record: null,
        lost: true,
      });
      this.#ledger.affect(damage, { kind: 'snapshot', id: snapshot }, 0, Math.ceil(sizeBytes / CHUNK_BYTES));
    }
  }

  #tellManifest(snapshot: SnapshotId, problem: string, sizeBytes: number): void {
    if (this.#badManifests.has(snapshot)) return;
    this.#badManifests.add(snapshot);
    this.#ledger.add({
      what: 'manifest',
      object: manifestObjectKey(snapshot),
      place: { offset: 0, length: sizeBytes },
      message: `${problem}; all of ${snapshot} is affected`,
      record: null,
      lost: true,
    });
  }

  #enter(phase: VerifyProgress['phase'], moreBytes: number): void {
    this.#phase = phase;
    this.#totalBytes = this.#bytes + moreBytes;
    this.#progress();
  }

  #progress(): void {
    this.#options.onProgress({
      phase: this.#phase,
      doneBytes: this.#bytes,
      totalBytes: Math.max(this.#bytes, this.#totalBytes),
      damageCount: this.#ledger.count,
    });
  }
}

/** Bytes read at once where a whole object cannot be read. */
const PIECE_BYTES = 4096;

class GoneError extends Error {}

function isDamaged({ structure, damaged }: CheckedPack): boolean {
  return structure !== null || damaged.size > 0;
}

function manifestGone(snapshot: SnapshotId): string {
  return `it is gone: ${snapshot} is known as completed, and the store has no such snapshot`;
}
