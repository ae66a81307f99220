import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { DomainError } from '#domain/errors.ts';
import { regionName, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { type PublicSharing, setPublicSharing } from './public-sharing.ts';
import { snapshotRequest, volumeRequest } from './request.fake.ts';
import { copySnapshot } from './snapshot-copies.ts';
import { shareSnapshot } from './snapshot-sharing.ts';
import { createSnapshot, deleteSnapshot, listSnapshots } from './snapshots.ts';
import { setTags } from './tags.ts';
import { copyVolume } from './volume-copies.ts';
import { modifyVolume } from './volume-modifications.ts';
import { createVolume, deleteVolume, listVolumes } from './volumes.ts';
import { World } from './world.fake.ts';

/*
 * Two accounts in two regions do what comes to their minds with each other's volumes and snapshots, and a small model of the
 * rules says what each of them must get: the result, or which refusal; whose lists show what; and what is in each volume.
 */

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const budgetMs = Number(process.env['FUZZ_MS'] ?? 5_000);
const STEPS = 60;
const PENDING_MAX = 5;
const REGIONS = [regionName('us-east-1'), regionName('eu-west-1')] as const;
const ZONES = { 'us-east-1': 'us-east-1a', 'eu-west-1': 'eu-west-1a' } as const;
const DELETE = { token: null, operation: null };

interface ModelVolume {
  readonly owner: Scope;
  sizeGib: number;
  state: 'creating' | 'available' | 'error';
  /** What its first chunk is full of. */
  content: number;
  pendingCount: number;
}

interface ModelSnapshot {
  readonly owner: Scope;
  readonly sizeGib: number;
  readonly content: number;
  readonly volume: VolumeId | null;
  state: 'pending' | 'completed' | 'error';
  sharedWith: readonly string[];
  tags: Record<string, string>;
}

class Sequence {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #scopes: readonly Scope[];
  readonly #volumes = new Map<VolumeId, ModelVolume>();
  readonly #snapshots = new Map<SnapshotId, ModelSnapshot>();
  readonly #blocks = new Map<Scope, PublicSharing>();
  readonly counts: Record<string, number> = {};

  constructor(world: World, random: SeededRandom, scopes: readonly Scope[]) {
    this.#world = world;
    this.#random = random;
    this.#scopes = scopes;
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step += 1) {
      await this.#step();
      if (step % 6 === 0) await this.#compare();
    }
    await this.#settle();
    await this.#compare();
    // What is public would be seen by the accounts of the next sequence.
    for (const [id, { owner }] of this.#snapshots) await deleteSnapshot(this.#world.ports, owner, id, DELETE);
    for (const [id, { owner }] of this.#volumes) await deleteVolume(this.#world.ports, owner, id, DELETE);
    await this.#arrive();
    assert.deepEqual([this.#world.host.snapshots.size, this.#world.host.volumes.size], [0, 0], 'nothing is left');
  }

  async #step(): Promise<void> {
    const ports = this.#world.ports;
    const volumeId = this.#pickKey(this.#volumes);
    const snapshotId = this.#pickKey(this.#snapshots);
    const choice = this.#random.below(12);
    // Mostly what may be done.
    const named = [2, 3, 9].includes(choice) ? this.#ownerOf(volumeId) : this.#ownerOf(snapshotId);
    const scope = named !== null && this.#random.below(3) > 0 ? named : this.#pick(this.#scopes);
    switch (choice) {
      case 0:
        return await this.#newVolume(scope);
      case 1:
        return this.#write(volumeId);
      case 2:
      case 3:
        return await this.#snapshot(scope, volumeId);
      case 4:
        return snapshotId === null ? undefined : await this.#restore(scope, snapshotId);
      case 5:
      case 6:
        return snapshotId === null ? undefined : await this.#share(scope, snapshotId);
      case 7: {
        const state = this.#pick(['unblocked', 'block-new-sharing', 'block-all-sharing'] as const);
        this.#blocks.set(scope, state);
        return await setPublicSharing(ports, scope, state);
      }
      case 8:
        return snapshotId === null ? undefined : await this.#copy(scope, snapshotId);
      case 9:
        return volumeId === null ? undefined : await this.#changeVolume(scope, volumeId);
      case 10:
        return snapshotId === null ? undefined : await this.#changeSnapshot(scope, snapshotId);
      default:
        return await this.#settle();
    }
  }

  #ownerOf(id: VolumeId | SnapshotId | null): Scope | null {
    if (id === null) return null;
    return (this.#volumes.get(id as VolumeId) ?? this.#snapshots.get(id as SnapshotId))?.owner ?? null;
  }

  async #newVolume(scope: Scope): Promise<void> {
    const zone = ZONES[scope.region as keyof typeof ZONES];
    const { volume } = await createVolume(this.#world.ports, scope, volumeRequest({ sizeGib: 1, zone }));
    this.#volumes.set(volume.id, {
      owner: scope,
      sizeGib: 1,
      state: 'available',
      content: 0,
      pendingCount: 0,
    });
  }

  #write(id: VolumeId | null): void {
    const volume = id === null ? undefined : this.#volumes.get(id);
    if (id === null || volume?.state !== 'available') return;
    volume.content = 1 + this.#random.below(255);
    this.#world.host.write(id, 0, volume.content);
  }

  async #snapshot(scope: Scope, id: VolumeId | null): Promise<void> {
    const volume = id === null ? undefined : this.#volumes.get(id);
    if (id === null || volume === undefined) return;
    const expected = cutRefusal(scope, volume);
    const made = await this.#expect('CreateSnapshot', expected, () =>
      createSnapshot(this.#world.ports, scope, snapshotRequest(id)),
    );
    if (made === null) return;
    volume.pendingCount += 1;
    this.#snapshots.set(made.snapshot.id, {
      owner: scope,
      sizeGib: volume.sizeGib,
      content: volume.content,
      volume: id,
      state: 'pending',
      sharedWith: [],
      tags: {},
    });
  }

  async #restore(scope: Scope, id: SnapshotId): Promise<void> {
    const snapshot = this.#snapshots.get(id) as ModelSnapshot;
    const isSeen = snapshot.owner.region === scope.region && this.#mayUse(scope, snapshot);
    const expected = !isSeen ? 'not-found' : snapshot.state === 'completed' ? null : 'wrong-state';
    const zone = ZONES[scope.region as keyof typeof ZONES];
    const made = await this.#expect('CreateVolume', expected, () =>
      createVolume(this.#world.ports, scope, volumeRequest({ sizeGib: null, origin: id, zone })),
    );
    if (made === null) return;
    const isOwn = snapshot.owner.account === scope.account;
    this.#volumes.set(made.volume.id, {
      owner: scope,
      sizeGib: snapshot.sizeGib,
      state: isOwn ? 'available' : 'creating',
      content: snapshot.content,
      pendingCount: 0,
    });
  }

  async #share(scope: Scope, id: SnapshotId): Promise<void> {
    const snapshot = this.#snapshots.get(id) as ModelSnapshot;
    const grantee = this.#pick(['all', ...this.#scopes.map(({ account }) => account)] as const);
    const isAdding = this.#random.below(3) > 0;
    const isBlocked = (this.#blocks.get(snapshot.owner) ?? 'unblocked') !== 'unblocked';
    const refusal = isAdding && grantee === 'all' && isBlocked ? 'not-permitted' : null;
    const expected = snapshot.owner === scope ? refusal : 'not-found';
    const request = isAdding ? { add: [grantee], remove: [] } : { add: [], remove: [grantee] };
    const done = await this.#expect('ModifySnapshotAttribute', expected, async () => {
      await shareSnapshot(this.#world.ports, scope, id, request);
      return true;
    });
    if (done === null) return;
    const left = snapshot.sharedWith.filter((one) => one !== grantee);
    snapshot.sharedWith = isAdding ? [...left, grantee] : left;
  }

  async #copy(scope: Scope, id: SnapshotId): Promise<void> {
    const source = this.#snapshots.get(id) as ModelSnapshot;
    const usable = source.state === 'completed' ? null : 'wrong-state';
    const expected = this.#mayUse(scope, source) ? usable : 'not-found';
    const copy = await this.#expect('CopySnapshot', expected, () =>
      copySnapshot(this.#world.ports, scope, {
        face: 'ec2',
        source: id,
        sourceRegion: source.owner.region,
        description: '',
        tags: [],
        completionDurationMinutes: null,
        token: null,
      }),
    );
    if (copy === null) return;
    const { sizeGib, content } = source;
    this.#snapshots.set(copy.id, {
      owner: scope,
      sizeGib,
      content,
      volume: null,
      state: 'pending',
      sharedWith: [],
      tags: {},
    });
  }

  async #changeVolume(scope: Scope, id: VolumeId): Promise<void> {
    const volume = this.#volumes.get(id) as ModelVolume;
    const { ports } = this.#world;
    switch (this.#random.below(3)) {
      case 0: {
        const sizeGib = volume.sizeGib + 1;
        const wish = { type: null, sizeGib, iops: null, throughputMibps: null, multiAttach: null };
        const expected = volume.owner === scope ? (volume.state === 'available' ? null : 'wrong-state') : 'not-found';
        const done = await this.#expect('ModifyVolume', expected, () => modifyVolume(ports, scope, id, wish));
        if (done !== null) volume.sizeGib = sizeGib;
        return;
      }
      case 1: {
        const made = await this.#expect('CopyVolumes', cutRefusal(scope, volume), () =>
          copyVolume(ports, scope, {
            source: id,
            sizeGib: null,
            type: null,
            iops: null,
            throughputMibps: null,
            multiAttach: null,
            tags: [],
            token: null,
          }),
        );
        if (made === null) return;
        volume.pendingCount += 1;
        const { sizeGib, content } = volume;
        this.#volumes.set(made.id, { owner: scope, sizeGib, state: 'creating', content, pendingCount: 0 });
        return;
      }
      default: {
        const expected = volume.owner === scope ? (volume.state === 'creating' ? 'wrong-state' : null) : 'not-found';
        const done = await this.#expect('DeleteVolume', expected, () => deleteVolume(ports, scope, id, DELETE));
        if (done !== null) this.#volumes.delete(id);
      }
    }
  }

  async #changeSnapshot(scope: Scope, id: SnapshotId): Promise<void> {
    const snapshot = this.#snapshots.get(id) as ModelSnapshot;
    const { ports } = this.#world;
    const expected = snapshot.owner === scope ? null : 'not-found';
    if (this.#random.below(2) === 0) {
      const tag = { key: 'k', value: String(this.#random.below(3)) };
      const done = await this.#expect('CreateTags', expected, () =>
        setTags(ports, scope, { face: 'ec2', resources: [id], tags: [tag], operation: null }),
      );
      if (done !== null) snapshot.tags = { k: tag.value };
      return;
    }
    const done = await this.#expect('DeleteSnapshot', expected, () => deleteSnapshot(ports, scope, id, DELETE));
    if (done === null) return;
    this.#snapshots.delete(id);
    const volume = snapshot.volume === null ? undefined : this.#volumes.get(snapshot.volume);
    if (snapshot.state === 'pending' && volume !== undefined) volume.pendingCount -= 1;
  }

  /** All that is on its way arrives. */
  async #settle(): Promise<void> {
    await this.#arrive();
    for (const volume of this.#volumes.values()) {
      volume.pendingCount = 0;
      // What it is made of may be deleted by now, and stays for it all the same.
      if (volume.state === 'creating') volume.state = 'available';
    }
    for (const snapshot of this.#snapshots.values()) {
      if (snapshot.state === 'pending') snapshot.state = 'completed';
    }
  }

  async #arrive(): Promise<void> {
    const { control } = this.#world;
    for (const task of ['upload-snapshots', 'finish-intents', 'finish-deletions', 'finish-deletions'] as const) {
      await control.run(task);
    }
  }

  async #compare(): Promise<void> {
    const { ports, host } = this.#world;
    const all = { ids: null, face: 'ec2', after: null, countMax: 1000 } as const;
    for (const scope of this.#scopes) {
      const { snapshots } = await listSnapshots(ports, scope, { ...all, shared: true });
      const expected = [...this.#snapshots].filter(
        ([, one]) => one.owner.region === scope.region && this.#mayUse(scope, one),
      );
      assert.deepEqual(
        snapshots.map(({ id, state, tags, volumeSizeGib }) => ({ id, state, tags, volumeSizeGib })),
        expected.map(([id, { state, tags, sizeGib, owner }]) => ({
          id,
          state,
          tags: owner === scope ? tags : {},
          volumeSizeGib: sizeGib,
        })),
      );
      const searches = [{ kind: 'tag', key: 'k', value: '1' }] as const;
      const tagged = await listSnapshots(ports, scope, { ...all, searches });
      const mine = expected.filter(([, one]) => one.owner === scope && one.tags['k'] === '1');
      assert.deepEqual(
        tagged.snapshots.map(({ id }) => id),
        mine.map(([id]) => id),
      );
      const { volumes } = await listVolumes(ports, scope, all);
      const own = [...this.#volumes].filter(([, { owner }]) => owner === scope);
      assert.deepEqual(
        volumes.map(({ id, state, sizeGib }) => ({ id, state, sizeGib })),
        own.map(([id, { state, sizeGib }]) => ({ id, state, sizeGib })),
      );
    }
    for (const [id, { state, content }] of this.#volumes) {
      if (state === 'available') assert.equal(host.read(id, 0)[0], content, `what is in ${id}`);
    }
  }

  #mayUse(scope: Scope, { owner, sharedWith }: ModelSnapshot): boolean {
    if (owner.account === scope.account || sharedWith.includes(scope.account)) return true;
    return sharedWith.includes('all') && this.#blocks.get(owner) !== 'block-all-sharing';
  }

  /** What a call answers; null when it is refused as it must be. */
  async #expect<R>(operation: string, refusal: string | null, call: () => Promise<R>): Promise<R | null> {
    const label = `${operation} ${refusal ?? 'done'}`;
    this.counts[label] = (this.counts[label] ?? 0) + 1;
    try {
      const result = await call();
      assert.equal(refusal, null, `${operation} was to be refused`);
      return result;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      assert.equal(error.failure.kind, refusal, operation);
      return null;
    }
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)] as T;
  }

  #pickKey<K, V>(map: ReadonlyMap<K, V>): K | null {
    return map.size === 0 ? null : this.#pick([...map.keys()]);
  }
}

/** Why no cut is made of a volume. */
function cutRefusal(scope: Scope, { owner, state, pendingCount }: ModelVolume): string | null {
  if (owner !== scope) return 'not-found';
  if (state !== 'available') return 'wrong-state';
  return pendingCount >= PENDING_MAX ? 'limit' : null;
}

test(
  `two accounts get what the rules say, and no more (FUZZ_SEED=${seed})`,
  { timeout: budgetMs * 10 + 60_000 },
  async (t) => {
    const startMs = performance.now();
    const counts: Record<string, number> = {};
    await using world = await World.make({
      modifyingMs: 0,
      optimizingMs: 0,
      modificationCountMax: 1000,
      pendingCopyCountMax: 1000,
    });
    let sequences = 0;
    for (let run = seed; performance.now() - startMs < budgetMs; run += 1) {
      const accounts = [await world.account(), await world.account()];
      const scopes = accounts.flatMap(({ account }) => REGIONS.map((region) => ({ account, region })));
      const sequence = new Sequence(world, new SeededRandom(run), scopes);
      try {
        await sequence.run();
      } catch (error) {
        throw new Error(`FUZZ_SEED=${run}`, { cause: error });
      }
      for (const [label, count] of Object.entries(sequence.counts)) counts[label] = (counts[label] ?? 0) + count;
      sequences += 1;
    }
    t.diagnostic(`${sequences} sequences ${JSON.stringify(counts)}`);
    assert.ok(sequences > 3);
  },
);
