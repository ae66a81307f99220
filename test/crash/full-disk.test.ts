import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { CrashApi, type SnapshotState } from './crash-api.ts';
import { NbdLoad, PYTHON } from './nbd-load.ts';
import { canMount, SmallDisk } from './small-disk.ts';

/*
 * A server on disks of a few MiB that run full or become read-only: what a client is told, that nothing is wrong afterwards,
 * and that it goes on by itself when there is space again. Where nothing can be mounted, the same tests run in a user
 * namespace of their own, where it can.
 */

const MIB = 1024 * 1024;
const ENOSPC = 28;
const WAIT_MS_MAX = 90_000;

async function mountable(t: TestContext): Promise<boolean> {
  if (!requireTools(t, [PYTHON, 'mount', 'umount'])) return false;
  const scratch = await mkdtemp(join(tmpdir(), 'varve-mount-'));
  try {
    if (await canMount(scratch)) return true;
  } finally {
    await rm(scratch, { recursive: true });
  }
  assert(process.env['VARVE_IN_NAMESPACE'] === undefined, 'a user namespace may mount');
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env; // With it a test runner in a test runs nothing.
  const pattern = `--test-name-pattern=${t.name.replaceAll(/[^a-zA-Z0-9 ]/g, '.')}`;
  const node = [process.execPath, '--test', '--test-reporter=tap', pattern, import.meta.filename];
  const { stdout } = await runOk('unshare', ['--user', '--map-root-user', '--mount', ...node], {
    env: { ...env, VARVE_IN_NAMESPACE: '1' } as Record<string, string>,
  });
  assert.match(stdout, /^# pass 1$/m, 'it ran there');
  return false;
}

/** A server, one volume and one connection, and what each chunk of the volume must hold. */
class Scene implements AsyncDisposable {
  readonly data: string;
  readonly load = new NbdLoad();
  /** Versions of the chunks that were acknowledged; −1: a write of it failed, so the old or the new. */
  readonly chunks: number[] = [];
  server: RunningServer;
  volume = '';
  #connection = '';
  #version = 0;

  private constructor(data: string, server: RunningServer) {
    this.data = data;
    this.server = server;
  }

  static async start(data: string): Promise<Scene> {
    const scene = new Scene(data, await RunningServer.start({ data }));
    const made = await scene.api((api) => api.createVolume(null));
    assert(made.kind === 'done', JSON.stringify(made));
    scene.volume = made.value;
    await scene.connect();
    return scene;
  }

  async api<R>(work: (api: CrashApi) => Promise<R>): Promise<R> {
    using api = new CrashApi(this.server);
    return await work(api);
  }

  /** Connects anew, as soon as the volume is served. */
  async connect(): Promise<void> {
    const deadline = systemClock.monotonicMs() + WAIT_MS_MAX;
    for (let number = 0; ; number += 1) {
      this.#connection = `connection ${this.#version} ${number}`;
      const errno = await this.api((api) => api.uri(this.volume))
        .then((uri) => this.load.open(this.#connection, uri))
        .catch((error: unknown) => String(error));
      if (errno === 0) return;
      assert(systemClock.monotonicMs() < deadline, `connect: ${errno}`);
      await systemClock.sleep(50);
    }
  }

  /** Writes a whole chunk; answers the errno. */
  async write(chunk: number): Promise<number> {
    this.#version += 1;
    const errno = await this.load.write(this.#connection, chunk * CHUNK_BYTES, CHUNK_BYTES, this.#version, false);
    this.chunks[chunk] = errno === 0 ? this.#version : -1;
    return errno;
  }

  /** Writes chunks that were never written until there is an error; answers it. */
  async writeUntilError(): Promise<number> {
    for (;;) {
      assert(this.chunks.length < 1000, 'the disk is small');
      const errno = await this.write(this.chunks.length);
      if (errno !== 0) return errno;
    }
  }

  async trim(chunk: number): Promise<number> {
    const errno = await this.load.trim(this.#connection, chunk * CHUNK_BYTES, CHUNK_BYTES, true);
    if (errno === 0) this.chunks[chunk] = 0;
    return errno;
  }

  flush(): Promise<number> {
    return this.load.flush(this.#connection);
  }

  /** Everything acknowledged is there. */
  async check(what: string): Promise<void> {
    await this.#check(this.#connection, this.chunks, what);
  }

  async #check(connection: string, chunks: readonly number[], what: string): Promise<void> {
    for (const [chunk, version] of chunks.entries()) {
      if (version < 0) continue;
      const found = await this.load.read(connection, chunk * CHUNK_BYTES, CHUNK_BYTES);
      assert(typeof found !== 'number', `${what}: chunk ${chunk}: errno ${String(found)}`);
      const wrong = found.findIndex((one) => one !== version);
      assert.equal(wrong, -1, `${what}: chunk ${chunk} holds ${found[wrong]}, not ${version}`);
    }
  }

  async snapshot(): Promise<string> {
    const made = await this.api((api) => api.createSnapshot(this.volume, 'one'));
    assert(made.kind === 'done', JSON.stringify(made));
    return made.value;
  }

  /** Waits until a snapshot is as wanted; fails when it is in error. */
  async until(snapshot: string, isAsWanted: (state: SnapshotState) => boolean): Promise<SnapshotState> {
    const deadline = systemClock.monotonicMs() + WAIT_MS_MAX;
    for (;;) {
      const state = (await this.api((api) => api.snapshots())).get(snapshot);
      assert(state !== undefined && state.state !== 'error', JSON.stringify(state));
      if (isAsWanted(state)) return state;
      assert(systemClock.monotonicMs() < deadline, JSON.stringify(state));
      await systemClock.sleep(100);
    }
  }

  async completed(snapshot: string, chunks: readonly number[]): Promise<void> {
    const { message } = await this.until(snapshot, ({ state }) => state === 'completed');
    assert.equal(message, '', 'a completed snapshot waits for nothing');
    const uri = await this.api((api) => api.uri(snapshot));
    assert.equal(await this.load.open(snapshot, uri), 0);
    await this.#check(snapshot, chunks, `snapshot ${snapshot}`);
    await this.load.close(snapshot);
  }

  async killHost(): Promise<void> {
    process.kill(await this.server.hostProcessId(), 'SIGKILL');
    await systemClock.sleep(50);
    await this.connect();
  }

  async killAll(): Promise<void> {
    await this.server.killAll();
    this.server = await RunningServer.start({ data: this.data });
    await this.connect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.load[Symbol.asyncDispose]();
    await this.server.killAll();
  }
}

async function withData(work: (data: string) => Promise<void>): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), 'varve-full-'));
  try {
    await work(data);
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

test('a full volume disk: ENOSPC, nothing lost, also by kill -9, and space that is trimmed or given is used', async (t) => {
  if (!(await mountable(t))) return;
  await withData(async (data) => {
    await using disk = await SmallDisk.mount(join(data, 'volumes'), 24);
    await using scene = await Scene.start(data);
    for (let chunk = 0; chunk < 8; chunk += 1) assert.equal(await scene.write(chunk), 0);
    assert.equal(await scene.flush(), 0);
    await disk.fill(2 * MIB);
    assert.equal(await scene.writeUntilError(), ENOSPC);
    assert.equal(await scene.write(3), 0, 'what has its place already can be written');
    assert.equal(await scene.flush(), 0, 'what was written can be made durable');
    await scene.check('full');
    await scene.killHost();
    await scene.check('after a kill of the host');
    await scene.killAll();
    await scene.check('after a kill of everything');
    assert.equal(await scene.writeUntilError(), ENOSPC);
    for (const chunk of [1, 2]) assert.equal(await scene.trim(chunk), 0);
    assert.equal(await scene.write(scene.chunks.length), 0, 'the space of what was trimmed is used again');
    await scene.check('after a trim');
    await disk.free();
    assert.equal(await scene.write(scene.chunks.length), 0, 'space that came back is used');
    const kept = [...scene.chunks];
    await scene.completed(await scene.snapshot(), kept);
    await scene.check('at the end');
  });
});

test('a full object store: snapshots wait and say why, volumes are undisturbed, and uploads end by themselves', async (t) => {
  if (!(await mountable(t))) return;
  await withData(async (data) => {
    await using disk = await SmallDisk.mount(join(data, 'objects'), 16);
    await using scene = await Scene.start(data);
    for (let chunk = 0; chunk < 6; chunk += 1) assert.equal(await scene.write(chunk), 0);
    await disk.fill(0);
    const kept = [...scene.chunks];
    const snapshot = await scene.snapshot();
    const waiting = await scene.until(snapshot, ({ message }) => message !== '');
    assert.match(waiting.message, /full/);
    assert.equal(waiting.state, 'pending');
    assert.equal(await scene.write(2), 0, 'a volume is written while the store is full');
    assert.equal(await scene.flush(), 0);
    const collected = await scene.api((api) => api.collect());
    assert(['done', 'unknown'].includes(collected.kind), JSON.stringify(collected));
    await scene.killHost();
    await scene.killAll();
    await scene.check('after kills');
    await scene.until(snapshot, ({ state }) => state === 'pending');
    await disk.free();
    await scene.completed(snapshot, kept);
    await scene.check('at the end');
  });
});

test('a read-only object store: what is stored is read, what is not waits, and deletions follow later', async (t) => {
  if (!(await mountable(t))) return;
  await withData(async (data) => {
    await using disk = await SmallDisk.mount(join(data, 'objects'), 32);
    await using scene = await Scene.start(data);
    for (let chunk = 0; chunk < 4; chunk += 1) assert.equal(await scene.write(chunk), 0);
    const first = [...scene.chunks];
    const stored = await scene.snapshot();
    await scene.completed(stored, first);
    const doomed = await scene.snapshot();
    await scene.completed(doomed, first);
    await disk.remount('ro');
    assert.equal(await scene.write(1), 0);
    const second = [...scene.chunks];
    const snapshot = await scene.snapshot();
    const waiting = await scene.until(snapshot, ({ message }) => message !== '');
    assert.match(waiting.message, /EROFS|read-only/);
    await scene.completed(stored, first);
    await scene.api((api) => api.deleteSnapshot(doomed));
    assert(!(await scene.api((api) => api.snapshots())).has(doomed), 'a deletion is recorded');
    await scene.check('while the store is read-only');
    await disk.remount('rw');
    await scene.completed(snapshot, second);
    await scene.completed(stored, first);
  });
});

test('one full disk for everything: clear errors, no process dies, and all goes on when there is space', async (t) => {
  if (!(await mountable(t))) return;
  const data = await mkdtemp(join(tmpdir(), 'varve-full-'));
  try {
    await using disk = await SmallDisk.mount(data, 40);
    await mkdir(join(data, 'volumes'));
    await using scene = await Scene.start(data);
    for (let chunk = 0; chunk < 6; chunk += 1) assert.equal(await scene.write(chunk), 0);
    assert.equal(await scene.flush(), 0);
    const pids = [scene.server.processId, await scene.server.hostProcessId()];
    await disk.fill(0);
    assert.equal(await scene.writeUntilError(), ENOSPC);
    const made = await scene.api((api) => api.createVolume(null));
    assert(made.kind === 'failed' && made.code === 'InsufficientCapacity', JSON.stringify(made));
    const cut = await scene.api((api) => api.createSnapshot(scene.volume, 'full'));
    assert(cut.kind === 'failed' && cut.code === 'InsufficientCapacity', JSON.stringify(cut));
    await scene.check('full');
    assert.deepEqual([scene.server.processId, await scene.server.hostProcessId()], pids, 'no process has died');
    await disk.free();
    assert.equal(await scene.write(scene.chunks.length), 0);
    const kept = [...scene.chunks];
    await scene.completed(await scene.snapshot(), kept);
    const volumes = await scene.api((api) => api.volumes());
    assert.deepEqual([...volumes.keys()], [scene.volume], 'what failed left nothing');
    await scene.killAll();
    await scene.check('at the end');
  } finally {
    await rm(data, { recursive: true, force: true });
  }
});

test('files that may not grow (RLIMIT_FSIZE), without mounting anything: ENOSPC, and on when they may', async (t) => {
  if (!requireTools(t, [PYTHON, 'prlimit'])) return;
  await withData(async (data) => {
    await using scene = await Scene.start(data);
    for (let chunk = 0; chunk < 4; chunk += 1) assert.equal(await scene.write(chunk), 0);
    await limitFiles(scene, String(8 * MIB));
    assert.equal(await scene.writeUntilError(), ENOSPC);
    assert.equal(await scene.write(2), 0, 'what has its place already can be written');
    assert.equal(await scene.flush(), 0);
    await scene.check('limited');
    await limitFiles(scene, 'unlimited');
    for (let count = 0; count < 20; count += 1) assert.equal(await scene.write(scene.chunks.length), 0);
    await scene.check('unlimited');
    const kept = [...scene.chunks];
    const snapshot = await scene.snapshot();
    await scene.killAll();
    await scene.completed(snapshot, kept);
    await scene.check('at the end');
  });
});

/** Of the volume host's files, in bytes; only the soft limit, so that it can be taken back. */
async function limitFiles({ server }: Scene, bytes: string): Promise<void> {
  await runOk('prlimit', [`--pid=${await server.hostProcessId()}`, `--fsize=${bytes}:`]);
}
