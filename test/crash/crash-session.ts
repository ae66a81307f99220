import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { RunningServer } from '../running-server.ts';
import { CrashApi, type Outcome, type SnapshotState } from './crash-api.ts';
import { NbdLoad, type Versions as FoundVersions } from './nbd-load.ts';
import { type CutRecorder, VolumeModel } from './sector-model.ts';
import { unneededSpace } from './space.ts';
import { settingOf, Testbed } from './testbed.ts';
import {
  type LoadCounts,
  noCounts,
  REGION_BYTES,
  REGION_OFFSET,
  REGION_SECTORS,
  requestCount,
  Versions,
  VolumeLoad,
} from './volume-load.ts';

/*
 * A life of one data directory: rounds of random I/O and API calls, each ended by kill -9 of control, of the volume host, or
 * of both at one instant. A round:
 *
 *   1. what was answered before is there: volumes and snapshots by name, and the content of some of them;
 *   2. I/O on some volumes over several connections, and API calls beside it (cuts, restores, deletions, collections);
 *   3. the kill; what was in flight ends; the server starts again, now and then to be killed in the middle of its start.
 *
 * Every so many rounds it rests: every pending snapshot completes, everything is read, nothing is stored without need.
 */

const VOLUMES_MAX = 4;
const SNAPSHOTS_MAX = 9;
const ROUNDS_BETWEEN_RESTS = 10;
const REST_MS_MAX = 60_000;
const CONNECT_MS_MAX = 20_000;

interface LivingVolume {
  readonly id: string;
  readonly model: VolumeModel;
  /** A deletion of it was asked for and not answered. */
  isDoubtful: boolean;
}

interface LivingSnapshot {
  readonly id: string;
  readonly cut: CutRecorder;
  isDoubtful: boolean;
}

export interface SessionCounts extends LoadCounts {
  rounds: number;
  kills: { all: number; control: number; host: number; duringStart: number };
  cuts: number;
  restores: number;
  deletions: number;
  collections: number;
  volumesRead: number;
  snapshotsRead: number;
  rests: number;
  /** Rounds on encrypted volumes, and with the snapshots in a bucket. */
  encryptedRounds: number;
  bucketRounds: number;
  lostIndexes: number;
}

export function noSessionCounts(): SessionCounts {
  return {
    ...noCounts(),
    rounds: 0,
    kills: { all: 0, control: 0, host: 0, duringStart: 0 },
    cuts: 0,
    restores: 0,
    deletions: 0,
    collections: 0,
    volumesRead: 0,
    snapshotsRead: 0,
    rests: 0,
    encryptedRounds: 0,
    bucketRounds: 0,
    lostIndexes: 0,
  };
}

/** Runs `rounds` rounds with this seed, in its setting; adds to `counts`. Throws at the first thing that is not as it must be. */
export async function runCrashSession(seed: number, rounds: number, counts: SessionCounts): Promise<void> {
  await using testbed = await Testbed.make(settingOf(seed));
  await using load = new NbdLoad();
  const session = new CrashSession(testbed, load, new SeededRandom(seed), counts);
  try {
    await session.run(rounds);
  } catch (error) {
    throw new Error(`seed ${seed}, round ${session.round} of ${rounds}: ${(error as Error).message}`, { cause: error });
  } finally {
    await session.end();
  }
}

class CrashSession {
  readonly #testbed: Testbed;
  readonly #load: NbdLoad;
  readonly #random: SeededRandom;
  readonly #counts: SessionCounts;
  readonly #versions = new Versions();
  readonly #volumes = new Map<string, LivingVolume>();
  readonly #snapshots = new Map<string, LivingSnapshot>();
  /** Cuts that were asked for and not answered, by their descriptions. */
  readonly #unanswered = new Map<string, CutRecorder>();
  /** Whose deletion was answered. */
  readonly #gone = new Set<string>();
  #server: RunningServer | null = null;
  #hostKills = 0;
  #names = 0;
  round = 0;

  constructor(testbed: Testbed, load: NbdLoad, random: SeededRandom, counts: SessionCounts) {
    this.#testbed = testbed;
    this.#load = load;
    this.#random = random;
    this.#counts = counts;
  }

  async run(rounds: number): Promise<void> {
    this.#server = await this.#testbed.start();
    for (this.round = 1; this.round <= rounds; this.round += 1) {
      await this.#lookAround();
      await this.#liveAndDie();
      this.#counts.rounds += 1;
      if (this.#testbed.setting.isEncrypted) this.#counts.encryptedRounds += 1;
      if (this.#testbed.setting.isInBucket) this.#counts.bucketRounds += 1;
      if (this.round % ROUNDS_BETWEEN_RESTS === 0 || this.round === rounds) await this.#rest();
    }
    await this.#deleteAll();
  }

  async end(): Promise<void> {
    await this.#server?.killAll();
  }

  get #running(): RunningServer {
    return present(this.#server, 'a session begins with a server');
  }

  /** What was answered is there, and what nobody was told of is told apart from it. */
  async #lookAround(): Promise<void> {
    using api = new CrashApi(this.#running);
    this.#reconcileVolumes(await api.volumes(), api);
    const states = await api.snapshots();
    this.#reconcileSnapshots(states);
    const completed = [...this.#snapshots.values()].filter(({ id }) => states.get(id)?.state === 'completed');
    const snapshot = this.#pick(completed.filter(({ cut }) => cut.content === null)) ?? this.#pick(completed);
    if (snapshot !== null) await this.#readSnapshot(api, snapshot);
    for (const volume of this.#volumes.values()) {
      // Not all each time: one that is not read keeps its fetches from the snapshot to come.
      if (this.#random.below(3) > 0) await this.#readVolume(api, volume);
    }
    while (this.#volumes.size < 2) {
      const made = await api.createVolume(null);
      assert(made.kind === 'done', `a volume is made: ${JSON.stringify(made)}`);
      this.#addVolume(made.value, null);
    }
  }

  #reconcileVolumes(found: ReadonlyMap<string, string>, api: CrashApi): void {
    for (const [id, volume] of this.#volumes) {
      const isThere = found.has(id);
      assert(isThere || volume.isDoubtful, `volume ${id} was answered and is gone`);
      assert(found.get(id) !== 'error', `volume ${id} is in state error`);
      volume.isDoubtful = false;
      if (!isThere) this.#volumes.delete(id);
    }
    for (const [id, state] of found) {
      assert(!this.#gone.has(id), `volume ${id} was deleted and is there`);
      // Made, and its client was killed with the answer.
      if (!this.#volumes.has(id) && state === 'available') void api.deleteVolume(id);
    }
  }

  #reconcileSnapshots(found: ReadonlyMap<string, SnapshotState>): void {
    for (const [id, snapshot] of this.#snapshots) {
      const isThere = found.has(id);
      assert(isThere || snapshot.isDoubtful, `snapshot ${id} was answered and is gone`);
      snapshot.isDoubtful = false;
      if (!isThere) this.#snapshots.delete(id);
    }
    for (const [id, { state, message, description }] of found) {
      assert(!this.#gone.has(id), `snapshot ${id} was deleted and is there`);
      assert(state !== 'error', `snapshot ${id} failed: ${message}`);
      if (this.#snapshots.has(id)) continue;
      const cut = present(this.#unanswered.get(description), `snapshot ${id} was asked for`);
      this.#snapshots.set(id, { id, cut, isDoubtful: false });
      this.#counts.cuts += 1;
    }
    this.#unanswered.clear(); // What is not there by now was given up.
  }

  async #liveAndDie(): Promise<void> {
    using api = new CrashApi(this.#running);
    const volumes = shuffled([...this.#volumes.values()], this.#random).slice(0, 1 + this.#random.below(3));
    const loads = await Promise.all(volumes.map((volume) => this.#startLoad(api, volume)));
    const acting = new AbortController();
    const active = new Set(volumes.map(({ id }) => id));
    const actions = Promise.all([this.#act(api, active, acting.signal), this.#act(api, active, acting.signal)]);
    actions.catch(() => {}); // Thrown below, when what is in flight has ended.
    await systemClock.sleep(20 + this.#random.below(220));
    const victim = this.#victim();
    await this.#kill(victim);
    acting.abort();
    if (victim === 'control') {
      // The data plane goes on without the control plane, and through its start.
      const before = requestCount(this.#counts);
      await this.#restart(false);
      assert(requestCount(this.#counts) > before, 'requests are answered while the control process is dead');
    }
    await Promise.all(loads.map(({ load }) => load.stop()));
    await actions;
    for (const { load, connections } of loads) {
      assert(victim !== 'control' || load.errnos.length === 0, `errors of a live volume host: ${load.errnos.join()}`);
      for (const name of connections) await this.#load.close(name);
    }
    if (victim === 'all') await this.#restart(true);
    if (victim === 'host') await this.#hostIsBack();
  }

  async #startLoad(
    api: CrashApi,
    { id, model }: LivingVolume,
  ): Promise<{ readonly load: VolumeLoad; readonly connections: readonly string[] }> {
    const connections: string[] = [];
    for (let count = 1 + this.#random.below(3); count > 0; count -= 1) connections.push(await this.#connect(api, id));
    const load = new VolumeLoad({
      load: this.#load,
      random: new SeededRandom(this.#random.below(2 ** 31)),
      model,
      volume: id,
      versions: this.#versions,
      counts: this.#counts,
    });
    load.start(connections, 1 + this.#random.below(6));
    return { load, connections };
  }

  async #connect(api: CrashApi, id: string): Promise<string> {
    this.#names += 1;
    const name = `${id}/${this.#names}`;
    const deadline = systemClock.monotonicMs() + CONNECT_MS_MAX;
    for (;;) {
      try {
        const errno = await this.#load.open(name, await api.uri(id));
        if (errno === 0) return name;
        throw new Error(`errno ${errno}`);
      } catch (error) {
        // A host that was killed is being started again, and has not opened its volumes yet.
        if (systemClock.monotonicMs() > deadline) throw new Error(`connect to ${id}`, { cause: error });
      }
      await systemClock.sleep(25);
    }
  }

  async #readRegion(api: CrashApi, id: string): Promise<FoundVersions> {
    const name = await this.#connect(api, id);
    const found = await this.#load.read(name, REGION_OFFSET, REGION_BYTES);
    await this.#load.close(name);
    assert(typeof found !== 'number', `read ${id}: errno ${String(found)}`);
    return found;
  }

  async #readVolume(api: CrashApi, { id, model }: LivingVolume): Promise<void> {
    model.check(await this.#readRegion(api, id), `volume ${id}`);
    this.#counts.volumesRead += 1;
  }

  async #readSnapshot(api: CrashApi, { id, cut }: LivingSnapshot): Promise<void> {
    cut.check(await this.#readRegion(api, id), `snapshot ${id}`);
    this.#counts.snapshotsRead += 1;
  }

  #addVolume(id: string, content: FoundVersions | null): void {
    this.#volumes.set(id, { id, model: new VolumeModel(REGION_SECTORS, content), isDoubtful: false });
  }

  /** API calls one after another, until the kill; another such row of calls runs beside. */
  async #act(api: CrashApi, active: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    for (let count = this.#random.below(6); count > 0 && !signal.aborted; count -= 1) {
      await systemClock.sleep(this.#random.below(25));
      const choice = this.#random.below(100);
      if (choice < 45) await this.#cut(api);
      else if (choice < 65) await this.#restore(api);
      else if (choice < 78) await this.#deleteSnapshot(api);
      else if (choice < 87) await this.#deleteVolume(api, active);
      else if ((await api.collect()).kind === 'done') this.#counts.collections += 1;
    }
  }

  async #cut(api: CrashApi): Promise<void> {
    const volume = this.#pick([...this.#volumes.values()].filter(({ isDoubtful }) => !isDoubtful));
    if (volume === null) return;
    if (this.#snapshots.size >= SNAPSHOTS_MAX) await this.#deleteSnapshot(api); // There is always room for a cut.
    this.#names += 1;
    const description = `cut ${this.#names}`;
    const cut = volume.model.beginCut();
    const made = await api.createSnapshot(volume.id, description);
    volume.model.endCut(cut);
    if (made.kind === 'unknown' || made.kind === 'failed') this.#unanswered.set(description, cut);
    if (made.kind !== 'done') return;
    this.#snapshots.set(made.value, { id: made.value, cut, isDoubtful: false });
    this.#counts.cuts += 1;
  }

  async #restore(api: CrashApi): Promise<void> {
    if (this.#volumes.size >= VOLUMES_MAX) return;
    // One that was read: what a volume made from it holds is known.
    const snapshot = this.#pick([...this.#snapshots.values()].filter(({ cut }) => cut.content !== null));
    if (snapshot === null) return;
    const made = await api.createVolume(snapshot.id);
    if (made.kind !== 'done') return;
    this.#addVolume(made.value, snapshot.cut.content);
    this.#counts.restores += 1;
  }

  async #deleteSnapshot(api: CrashApi): Promise<void> {
    const snapshot = this.#pick([...this.#snapshots.values()].filter(({ isDoubtful }) => !isDoubtful));
    if (snapshot === null || (this.#snapshots.size < 3 && this.#random.below(3) > 0)) return;
    snapshot.isDoubtful = true;
    const deleted = await api.deleteSnapshot(snapshot.id);
    assert(deleted.kind !== 'refused', `delete ${snapshot.id}: ${JSON.stringify(deleted)}`);
    if (deleted.kind !== 'done') return;
    this.#snapshots.delete(snapshot.id);
    this.#gone.add(snapshot.id);
    this.#counts.deletions += 1;
  }

  /** One that nobody is connected to. */
  async #deleteVolume(api: CrashApi, active: ReadonlySet<string>): Promise<void> {
    const idle = [...this.#volumes.values()].filter(({ id, isDoubtful }) => !active.has(id) && !isDoubtful);
    const volume = this.#pick(idle);
    if (volume === null) return;
    volume.isDoubtful = true;
    const deleted = await api.deleteVolume(volume.id);
    if (deleted.kind === 'refused') {
      // Made in this round and just connected to; or the connection of a check is still being closed.
      assert(deleted.code === 'VolumeInUse', `delete ${volume.id}: ${JSON.stringify(deleted)}`);
      volume.isDoubtful = false;
    }
    if (deleted.kind !== 'done') return;
    this.#volumes.delete(volume.id);
    this.#gone.add(volume.id);
    this.#counts.deletions += 1;
  }

  #pick<T>(items: readonly T[]): T | null {
    return items[this.#random.below(Math.max(1, items.length))] ?? null;
  }

  #victim(): 'all' | 'control' | 'host' {
    const choice = this.#random.below(10);
    // The supervisor waits longer from death to death of a host; a new one begins anew.
    if (choice < 3 && this.#hostKills < 2) return 'host';
    return choice < 6 ? 'control' : 'all';
  }

  async #kill(victim: 'all' | 'control' | 'host'): Promise<void> {
    this.#counts.kills[victim] += 1;
    if (victim === 'all') await this.#running.killAll();
    else if (victim === 'control') {
      this.#running.signal('SIGKILL');
      await this.#running.stop();
    } else {
      this.#hostKills += 1;
      process.kill(await this.#running.hostProcessId(), 'SIGKILL');
    }
  }

  async #restart(host: boolean): Promise<void> {
    this.#hostKills = 0;
    if (this.#random.below(5) === 0) {
      await this.#testbed.startAndKill({ afterMs: this.#random.below(600), host });
      this.#counts.kills.duringStart += 1;
    }
    this.#server = await this.#testbed.start();
  }

  /** The supervisor has seen that the host died, and started another. */
  async #hostIsBack(): Promise<void> {
    using api = new CrashApi(this.#running);
    for (const { id } of this.#volumes.values()) await this.#load.close(await this.#connect(api, id));
  }

  /** Nothing is in flight: everything is read, and nothing takes space without need. */
  async #rest(): Promise<void> {
    await this.#lookAround();
    using api = new CrashApi(this.#running);
    await this.#allCompleted(api);
    for (const snapshot of this.#snapshots.values()) await this.#readSnapshot(api, snapshot);
    for (const volume of this.#volumes.values()) await this.#readVolume(api, volume);
    await this.#collected(api);
    this.#counts.rests += 1;
    if (this.#random.below(2) === 0) await this.#stopAndStart();
  }

  /** An ordinary stop, the files looked at while nobody has them open, and an ordinary start. */
  async #stopAndStart(): Promise<void> {
    await this.#checkSpace(false);
    // The chunk index is derived from the packs, and may be lost.
    if (this.#random.below(4) === 0) {
      for (const suffix of ['', '-wal', '-shm'])
        await rm(join(this.#testbed.data, `index.db${suffix}`), { force: true });
      this.#counts.lostIndexes += 1;
    }
    await this.#restart(true);
  }

  /** Cuts are released in the background, so that one more start may be needed. */
  async #checkSpace(isEmpty: boolean): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const code = await this.#running.stop();
      assert(code === 0, `an ordinary stop ends with ${code}`);
      const found = await unneededSpace(this.#testbed, { chunksPerVolumeMax: REGION_BYTES / CHUNK_BYTES, isEmpty });
      if (found.length === 0) return;
      assert(tries < 3, `files are not as they should be: ${found.join('; ')}`);
      this.#server = await this.#testbed.start();
      await systemClock.sleep(500);
      using api = new CrashApi(this.#running);
      await this.#collected(api);
    }
  }

  async #allCompleted(api: CrashApi): Promise<void> {
    const deadline = systemClock.monotonicMs() + REST_MS_MAX;
    for (;;) {
      const found = await api.snapshots();
      this.#reconcileSnapshots(found);
      const pending = [...found.values()].filter(({ state }) => state !== 'completed');
      if (pending.length === 0) return;
      assert(systemClock.monotonicMs() < deadline, `still pending: ${JSON.stringify(pending)}`);
      await systemClock.sleep(50);
    }
  }

  async #collected(api: CrashApi): Promise<void> {
    const collected = await api.collect();
    assert(collected.kind === 'done', `a collection at rest is done: ${JSON.stringify(collected)}`);
    this.#counts.collections += 1;
  }

  /** Everything goes, in any order, and its space with it. */
  async #deleteAll(): Promise<void> {
    using api = new CrashApi(this.#running);
    for (const id of shuffled([...(await api.volumes()).keys(), ...this.#snapshots.keys()], this.#random)) {
      await deleteSoon(() => (this.#snapshots.has(id) ? api.deleteSnapshot(id) : api.deleteVolume(id)), id);
    }
    await this.#collected(api);
    await this.#checkSpace(true);
  }
}

/** A client that has just disconnected may still be counted. */
async function deleteSoon(work: () => Promise<Outcome<void>>, id: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const deleted = await work();
    if (deleted.kind === 'done') return;
    assert(
      deleted.kind === 'refused' && deleted.code === 'VolumeInUse' && tries < 100,
      `delete ${id}: ${JSON.stringify(deleted)}`,
    );
    await systemClock.sleep(20);
  }
}

function shuffled<T>(items: T[], random: SeededRandom): T[] {
  for (let at = items.length - 1; at > 0; at -= 1) {
    const other = random.below(at + 1);
    [items[at], items[other]] = [items[other] as T, items[at] as T];
  }
  return items;
}
