import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import { CrashApi } from './crash-api.ts';
import { NbdLoad, PYTHON } from './nbd-load.ts';
import { VolumeModel } from './sector-model.ts';
import {
  noCounts,
  REGION_BYTES,
  REGION_OFFSET,
  REGION_SECTORS,
  requestCount,
  Versions,
  VolumeLoad,
} from './volume-load.ts';

const RESTARTS = Number(process.env['VARVE_CONTROL_RESTARTS'] ?? 20);
const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const CONNECTIONS = 3;
const DEPTH = 3;
/** A disk under load may take as long for a flush; a request that waits for control would take a restart and fail the count. */
const SLOWEST_MS_MAX = 10_000;

test(`no request fails while control is killed and started ${RESTARTS} times (VARVE_SEED=${SEED})`, async (t) => {
  if (!requireTools(t, [PYTHON])) return;
  const data = await mkdtemp(join(tmpdir(), 'varve-restarts-'));
  await using load = new NbdLoad();
  let server = await RunningServer.start({ data });
  try {
    const volume = await madeVolume(server);
    const uri = await uriOf(server, volume);
    const names = Array.from({ length: CONNECTIONS }, (_, number) => `connection ${number}`);
    for (const name of names) assert.equal(await load.open(name, uri), 0);
    const host = await server.hostProcessId();
    const counts = noCounts();
    const random = new SeededRandom(SEED);
    const model = new VolumeModel(REGION_SECTORS);
    const io = new VolumeLoad({ load, random, model, volume, versions: new Versions(), counts });
    io.start(names, DEPTH);
    let deadMs = 0;
    for (let restart = 0; restart < RESTARTS; restart += 1) {
      await systemClock.sleep(random.below(100));
      const diedMs = systemClock.monotonicMs();
      server.signal('SIGKILL');
      await server.stop();
      const before = requestCount(counts);
      server = await RunningServer.start({ data });
      deadMs += systemClock.monotonicMs() - diedMs;
      assert(requestCount(counts) > before, 'requests are answered while there is no control process');
      assert.deepEqual(io.errnos, [], `restart ${restart}`);
    }
    await io.stop();
    assert.deepEqual(io.errnos, []);
    assert.equal(await server.hostProcessId(), host, 'one volume host served all the time');
    const found = await load.read(names[0] ?? '', REGION_OFFSET, REGION_BYTES);
    assert(typeof found !== 'number');
    model.check(found, 'the volume');
    assert.equal(await uriOf(server, volume), uri);
    t.diagnostic(
      `${requestCount(counts)} requests, 0 failed, ${RESTARTS} restarts, control away for ${Math.round(deadMs)} ms in all; ` +
        `slowest request ${Math.round(io.slowestMs)} ms; ${JSON.stringify(counts)}`,
    );
    assert(io.slowestMs < SLOWEST_MS_MAX, `the slowest request took ${io.slowestMs} ms`);
  } finally {
    await server.killAll();
    await rm(data, { recursive: true, force: true });
  }
});

async function madeVolume(server: RunningServer): Promise<string> {
  using api = new CrashApi(server);
  const made = await api.createVolume(null);
  assert(made.kind === 'done', JSON.stringify(made));
  return made.value;
}

async function uriOf(server: RunningServer, volume: string): Promise<string> {
  using api = new CrashApi(server);
  return await api.uri(volume);
}
