import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { StoreError } from '#chunk/errors.ts';
import { FsStore } from '#chunk/fs-store.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import { openS3Store } from '#chunk/s3-open.ts';
import { parseSnapshotId, parseVolumeId, type SnapshotId } from '#domain/ids.ts';
import { ThreadPackChecker } from '#snapshot/verify-pool.ts';
import type { VerifyReport } from '#snapshot/verify-report.ts';
import type { NamedRoot } from '#snapshot/verify-trees.ts';
import { verify } from '#snapshot/verify.ts';
import { type Config, ConfigError, readConfig } from '#src/config.ts';
import type { OutpostSettings } from '#src/outpost-settings.ts';
import { decodeVolumeRecord } from '#volume/volume-file.ts';

import { CommandError } from './command-error.ts';
import { Interrupt } from './image-interrupt.ts';
import { readExpected } from './verify-expected.ts';
import { readMasterKey } from './master-key.ts';
import { plainError } from './plain-errors.ts';
import { VerifyMeter } from './verify-meter.ts';
import { reportLines } from './verify-words.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const VERIFY_USAGE = `usage: varve verify [SNAPSHOT] [--data DIR] [--json]

Reads everything that is stored, or all that one snapshot needs, and checks every byte: packs with their headers,
footers and checksums, the authentication tag of each record, the address of each chunk, trees, manifests and the
key check. What is damaged is told with the snapshots, the volumes and the byte ranges that it affects.

  --json   the report as JSON
  --store s3://BUCKET/PREFIX, --s3-endpoint URL, --s3-region NAME
           where the objects are, as given to "serve" (or VARVE_STORE, …); without it in objects/ of the data directory
  --master-key-file FILE, --master-key-command COMMAND
           as given to "serve" (or VARVE_MASTER_KEY, …)
  --outposts FILE
           as given to "serve" (or VARVE_OUTPOSTS): the store of each Outpost is read, too

It only reads, and may run beside the server. It believes no index and no metadata: objects/ and master.key are enough.
Where a server runs, or its metadata is there, a snapshot that this knows and the store has not is told as damage, too.
Exit codes: 0 all is whole, 1 something is damaged or could not be read, 2 the command line is wrong.
`;

/** Packs are decrypted in threads of their own, which take some 100 MB each. */
const THREADS_MAX = 4;

/** `varve verify`. Throws ConfigError for a wrong command line, CommandError when something is damaged. */
export async function verifyCommand(words: readonly string[]): Promise<void> {
  const { config, snapshotText, json } = parseWords(words);
  const { dataDirectory } = config;
  const snapshot = snapshotText === null ? null : parseSnapshotId(snapshotText);
  if (snapshotText !== null && snapshot === null)
    throw new ConfigError(`verify: "${snapshotText}" is no snapshot id; "varve snapshots" shows them`);
  const masterKey = await readMasterKey(config.masterKey, dataDirectory);

  using interrupt = new Interrupt();
  const places = await placesOf(config, snapshot);
  const threadCount = Math.min(availableParallelism(), THREADS_MAX);
  await using checker = new ThreadPackChecker({ masterKey, threadCount });
  const reports: PlaceReport[] = [];
  for (const place of places) {
    await using objects = await openObjects(config, place);
    const startedMs = systemClock.monotonicMs();
    const report = await (async (): Promise<VerifyReport> => {
      using meter = new VerifyMeter({ clock: systemClock, stream: process.stderr });
      return await verify({
        objects,
        masterKey,
        checker,
        snapshot,
        origins: () => readOrigins(join(dataDirectory, 'volumes'), place),
        expected: () => readExpected(dataDirectory, place?.id ?? null),
        indexId: readIndexId(
          join(place === null ? dataDirectory : join(dataDirectory, 'outposts', place.id), 'index.db'),
        ),
        onProgress: (progress) => meter.at(progress),
        signal: interrupt.signal,
      });
    })().catch((error: unknown) => {
      if (error instanceof StoreError && error.kind === 'aborted') throw new CommandError('interrupted');
      if (error instanceof StoreError) throw new CommandError(error.message, { cause: error.cause });
      throw error;
    });
    reports.push({ place, report, durationMs: systemClock.monotonicMs() - startedMs });
  }
  if (json) process.stdout.write(`${JSON.stringify(allAsJson(reports, snapshotText), null, 2)}\n`);
  else for (const line of allLines(reports)) process.stdout.write(`${line}\n`);
  const damageCount = reports.reduce((sum, { report }) => sum + report.damageCount, 0);
  if (damageCount > 0) throw new CommandError(damageCount === 1 ? 'damage found' : `${damageCount} damages found`);
}

/** A store that was read; `place` null: the region's. */
interface PlaceReport {
  readonly place: OutpostSettings | null;
  readonly report: VerifyReport;
  readonly durationMs: number;
}

/** The region's store and those of all Outposts, or the one that has the snapshot. */
async function placesOf(
  { dataDirectory, outposts }: Config,
  snapshot: SnapshotId | null,
): Promise<readonly (OutpostSettings | null)[]> {
  const used = await readdir(join(dataDirectory, 'outposts')).catch(() => []);
  for (const id of used.filter((name) => outposts.every((one) => one.id !== name))) {
    process.stderr.write(`varve: what is on the Outpost ${id} is not looked at: --outposts does not name it\n`);
  }
  if (snapshot === null) return [null, ...outposts];
  for (const outpost of outposts) {
    if ((await readExpected(dataDirectory, outpost.id)).has(snapshot)) return [outpost];
  }
  return [null];
}

function* allLines(reports: readonly PlaceReport[]): Generator<string> {
  for (const { place, report, durationMs } of reports) {
    if (place !== null) yield `Outpost ${place.name} (${place.id}):`;
    yield* reportLines(report, durationMs);
  }
}

/** The first store's report; those of Outposts after it, each with its name, where there are any. */
function allAsJson(
  [first, ...rest]: readonly PlaceReport[],
  snapshot: string | null,
): Readonly<Record<string, unknown>> {
  const { report, durationMs } = present(first, 'at least one store is read');
  const outposts = rest.map((one) => ({
    name: one.place?.name ?? null,
    id: one.place?.id ?? null,
    ...asJson(one.report, snapshot, one.durationMs),
  }));
  return { ...asJson(report, snapshot, durationMs), ...(rest.length === 0 ? {} : { outposts }) };
}

function parseWords(rest: readonly string[]): {
  readonly config: Config;
  readonly snapshotText: string | null;
  readonly json: boolean;
} {
  const words = new Words('verify', rest, {
    data: { type: 'string' },
    json: { type: 'boolean' },
    store: { type: 'string' },
    's3-endpoint': { type: 'string' },
    's3-region': { type: 'string' },
    'master-key-file': { type: 'string' },
    'master-key-command': { type: 'string' },
    outposts: { type: 'string' },
  });
  const [snapshotText = null, ...more] = words.positionals;
  if (more.length > 0) throw words.wrong(`unexpected "${more.join(' ')}"`);
  const [data, store] = [servedDirectory({ data: words.text('data') }), words.text('store')];
  const [s3Endpoint, s3Region] = [words.text('s3-endpoint'), words.text('s3-region')];
  const [masterKeyFile, masterKeyCommand] = [words.text('master-key-file'), words.text('master-key-command')];
  const places = { data, store, s3Endpoint, s3Region, masterKeyFile, masterKeyCommand };
  const config = readConfig({ ...places, outposts: words.text('outposts') }, process.env);
  return { config, snapshotText, json: words.flag('json') };
}

/** To be read only. */
async function openObjects(config: Config, place: OutpostSettings | null): Promise<ObjectStore> {
  const s3 = place === null ? config.s3 : place.s3;
  if (s3 !== null) {
    const common = { environment: process.env, clock: systemClock, random: systemRandom, log: silentLog };
    return await openS3Store({ ...common, location: s3, readOnly: true });
  }
  const directory = place?.directory ?? join(config.dataDirectory, 'objects');
  if (!(await isDirectory(directory))) {
    throw new CommandError(`there is no store in ${place === null ? config.dataDirectory : directory}`);
  }
  return await FsStore.openReadOnly(directory);
}

function asJson(report: VerifyReport, snapshot: string | null, durationMs: number): Readonly<Record<string, unknown>> {
  const bytesPerSecond = durationMs > 0 ? Math.round((report.bytes * 1000) / durationMs) : 0;
  return {
    snapshot,
    clean: report.damageCount === 0,
    counts: report.counts,
    bytes: report.bytes,
    durationMs: Math.round(durationMs),
    bytesPerSecond,
    damageCount: report.damageCount,
    damages: report.damages,
    strangers: report.strangers,
  };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** What volumes read through to in this store, as their directories say. One that is being made or removed just now has nothing to say. */
async function readOrigins(volumesDirectory: string, place: OutpostSettings | null): Promise<readonly NamedRoot[]> {
  const roots: NamedRoot[] = [];
  if (!(await isDirectory(volumesDirectory))) return roots;
  for (const name of await readdir(volumesDirectory)) {
    if (parseVolumeId(name) === null) continue;
    const bytes = await readFile(join(volumesDirectory, name, 'volume.json')).catch(() => null);
    if (bytes === null) continue;
    try {
      const { volume, account, origin, detached } = decodeVolumeRecord(bytes);
      if (origin !== null && !detached && origin.root.outpost === place?.id)
        roots.push({ name: { kind: 'volume', id: volume }, account, root: origin.root });
    } catch (error) {
      process.stderr.write(`varve: volume ${name} is left out: ${plainError(error)}\n`);
    }
  }
  return roots;
}

/** The id of the chunk index; null where there is none to compare with, or it is being made. */
function readIndexId(path: string): number | null {
  try {
    // Where no server has it open, even reading would make files beside it.
    const isInUse = existsSync(`${path}-wal`);
    const place = isInUse ? path : new URL(`${pathToFileURL(path).href}?immutable=1`);
    const database = new DatabaseSync(place, { readOnly: true });
    try {
      const row = database.prepare("SELECT value FROM meta WHERE name = 'id'").get();
      const id = row?.['value'];
      return typeof id === 'number' && id > 0 ? id : null;
    } finally {
      database.close();
    }
  } catch {
    return null; // It is derived: the store says everything without it.
  }
}
