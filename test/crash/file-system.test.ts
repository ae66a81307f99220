import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { CrashApi } from './crash-api.ts';

/*
 * File systems in a volume that is killed: e2fsprogs makes and changes an ext4 image, nbdcopy brings what is flushed into the
 * volume, a snapshot is taken, the next state is on its way when everything is killed. Then e2fsck finds the snapshot clean
 * and with its files, and so it finds the volume once the next state was copied to its end. No kernel mount is needed.
 */

const ROUNDS = Number(process.env['VARVE_FS_ROUNDS'] ?? 4);
const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const IMAGE_MIB = 24;
const TOOLS = ['mke2fs', 'e2fsck', 'debugfs', 'nbdcopy'];

class Image {
  readonly path: string;
  readonly #directory: string;
  readonly #random: SeededRandom;
  readonly #files = new Map<string, string>();
  #names = 0;

  constructor(directory: string, random: SeededRandom) {
    this.#directory = directory;
    this.path = join(directory, 'image');
    this.#random = random;
  }

  async make(): Promise<void> {
    await runOk('mke2fs', ['-q', '-t', 'ext4', '-b', '4096', this.path, `${IMAGE_MIB}M`]);
  }

  /** Adds some files and removes some. */
  async change(): Promise<void> {
    const commands: string[] = [];
    for (let count = 2 + this.#random.below(6); count > 0; count -= 1) {
      this.#names += 1;
      const name = `file-${this.#names}`;
      const path = join(this.#directory, name);
      await writeFile(path, this.#random.bytes(1 + this.#random.below(400_000)));
      this.#files.set(name, path);
      commands.push(`write ${path} ${name}`);
    }
    const [oldest] = this.#files.keys();
    if (this.#files.size > 12 && oldest !== undefined) {
      this.#files.delete(oldest);
      commands.push(`rm ${oldest}`);
    }
    await runOk('debugfs', ['-w', '-f', '-', this.path], { input: `${commands.join('\n')}\n` });
  }

  /** What the file system of `image` must be now. */
  expectation(): ReadonlyMap<string, string> {
    return new Map(this.#files);
  }
}

/** e2fsck finds nothing, and every file is what it was. */
async function checkImage(image: string, files: ReadonlyMap<string, string>, what: string): Promise<void> {
  const checked = await run('e2fsck', ['-fn', image]);
  assert.equal(checked.code, 0, `${what}: ${checked.stdout}${checked.stderr}`);
  const copies = `${image}.files`;
  await rm(copies, { recursive: true, force: true });
  await mkdir(copies);
  await runOk('debugfs', ['-R', `rdump / ${copies}`, image]);
  for (const [name, path] of files) {
    assert((await readFile(path)).equals(await readFile(join(copies, name))), `${what}: ${name} is what was written`);
  }
}

async function fetched(uri: string, path: string): Promise<string> {
  await rm(path, { force: true });
  await runOk('nbdcopy', [uri, path]);
  const file = await open(path, 'r+');
  await file.truncate(IMAGE_MIB * 1024 * 1024);
  await file.close();
  return path;
}

test(`e2fsck finds what was flushed clean after ${ROUNDS} kills (VARVE_SEED=${SEED})`, async (t) => {
  if (!requireTools(t, TOOLS)) return;
  const directory = await mkdtemp(join(tmpdir(), 'varve-fs-'));
  const data = join(directory, 'data');
  await mkdir(data);
  const random = new SeededRandom(SEED);
  const image = new Image(directory, random);
  await image.make();
  let server = await RunningServer.start({ data });
  try {
    const volume = await withApi(server, async (api) => {
      const made = await api.createVolume(null);
      assert(made.kind === 'done', JSON.stringify(made));
      return made.value;
    });
    let killedCopies = 0;
    for (let round = 1; round <= ROUNDS; round += 1) {
      await image.change();
      const files = image.expectation();
      await runOk('nbdcopy', ['--flush', image.path, await uriOf(server, volume)]);
      const snapshot = await withApi(server, async (api) => {
        const made = await api.createSnapshot(volume, `round ${round}`);
        assert(made.kind === 'done', JSON.stringify(made));
        return made.value;
      });
      // The next state is on its way.
      await image.change();
      const copying = run('nbdcopy', ['--flush', image.path, await uriOf(server, volume)]);
      await systemClock.sleep(random.below(60));
      await server.killAll();
      if ((await copying).code !== 0) killedCopies += 1;
      server = await RunningServer.start({ data });
      await completed(server, snapshot);
      const found = await fetched(await uriOf(server, snapshot), join(directory, 'found'));
      await checkImage(found, files, `round ${round}, the snapshot`);
      await runOk('nbdcopy', ['--flush', image.path, await uriOf(server, volume)]);
      await server.killAll();
      server = await RunningServer.start({ data });
      const whole = await fetched(await uriOf(server, volume), join(directory, 'found'));
      await checkImage(whole, image.expectation(), `round ${round}, the volume`);
    }
    t.diagnostic(
      `${ROUNDS * 2} file systems clean, ${ROUNDS * 2} kills, ${killedCopies} of them in the middle of a copy`,
    );
  } finally {
    await server.killAll();
    await rm(directory, { recursive: true, force: true });
  }
});

async function withApi<R>(server: RunningServer, work: (api: CrashApi) => Promise<R>): Promise<R> {
  using api = new CrashApi(server);
  return await work(api);
}

/** As soon as it is served. */
async function uriOf(server: RunningServer, id: string): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await withApi(server, (api) => api.uri(id));
    } catch (error) {
      if (tries > 200) throw error;
      await systemClock.sleep(50);
    }
  }
}

async function completed(server: RunningServer, snapshot: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const state = (await withApi(server, (api) => api.snapshots())).get(snapshot);
    if (state?.state === 'completed') return;
    assert(tries < 600 && state?.state === 'pending', JSON.stringify(state));
    await systemClock.sleep(50);
  }
}
