import { systemClock } from '#base/clock.ts';
import { describeError } from '#base/log.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import type { ConfigOptions } from '#src/config.ts';

import { askServer, otherVersion } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { addressOf } from './export.ts';
import { Interrupt } from './image-interrupt.ts';
import { NbdClient } from './image-nbd-client.ts';
import { formatBytes } from './image-progress.ts';
import { firstZone, ServerApi, textAt } from './server-api.ts';
import { type Column, tableLines } from './table.ts';
import { Words } from './words.ts';

export const BENCH_USAGE = `usage: varve bench [--size-mib N] [--seconds N] [--region NAME] [--json] [--data DIR]

Measures the running server on this machine with a disk of its own, which it removes: reads and writes over one NBD
connection, the call and the storing of a snapshot, and how soon the first byte of a restored disk is there. Data is random,
so nothing of it is deduplicated or compressed.

  --size-mib N   of what is written and read (default 1024)
  --seconds N    of each measurement of reads and writes (default 2)
  --region NAME  default: the server's

What it shows is this machine, now, by a client in Node: compare runs on one machine. Against other systems:
docs/benchmarks.md.
`;

const GIB_BYTES = 1024 ** 3;
const MIB_BYTES = 1024 ** 2;
const POLL_MS = 20;
const REMOVE_MS = 10_000;

interface Load {
  readonly name: string;
  readonly kind: 'read' | 'write';
  readonly bytes: number;
  readonly depth: number;
  readonly isSequential: boolean;
}

const LOADS: readonly Load[] = [
  { name: 'write 1 MiB, sequential, depth 4', kind: 'write', bytes: MIB_BYTES, depth: 4, isSequential: true },
  { name: 'read 1 MiB, sequential, depth 4', kind: 'read', bytes: MIB_BYTES, depth: 4, isSequential: true },
  { name: 'write 4 KiB, random, depth 1', kind: 'write', bytes: 4096, depth: 1, isSequential: false },
  { name: 'read 4 KiB, random, depth 1', kind: 'read', bytes: 4096, depth: 1, isSequential: false },
  { name: 'write 4 KiB, random, depth 16', kind: 'write', bytes: 4096, depth: 16, isSequential: false },
  { name: 'read 4 KiB, random, depth 16', kind: 'read', bytes: 4096, depth: 16, isSequential: false },
];

interface Figure {
  readonly name: string;
  /** Null: it is one time. */
  readonly perSecond: number | null;
  readonly bytesPerSecond: number | null;
  readonly medianMs: number;
  readonly p99Ms: number | null;
}

const COLUMNS: readonly Column<Figure>[] = [
  { heading: 'MEASURED', cell: ({ name }) => name },
  { heading: 'A SECOND', isNumber: true, cell: ({ perSecond }) => (perSecond === null ? '-' : perSecond.toFixed(0)) },
  {
    heading: 'RATE',
    isNumber: true,
    cell: ({ bytesPerSecond }) => (bytesPerSecond === null ? '-' : `${formatBytes(bytesPerSecond)}/s`),
  },
  { heading: 'MEDIAN', isNumber: true, cell: ({ medianMs }) => `${medianMs.toFixed(2)} ms` },
  { heading: 'P99', isNumber: true, cell: ({ p99Ms }) => (p99Ms === null ? '-' : `${p99Ms.toFixed(2)} ms`) },
];

/** `varve bench`. Throws ConfigError for a wrong command line, CommandError when no server runs. */
export async function benchCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('bench', rest, {
    data: { type: 'string' },
    json: { type: 'boolean' },
    region: { type: 'string' },
    'size-mib': { type: 'string' },
    seconds: { type: 'string' },
  });
  words.take();
  const sizeMib = numberOf(words, 'size-mib', { otherwise: 1024, min: 8, max: 1024 * 1024 });
  const seconds = numberOf(words, 'seconds', { otherwise: 2, min: 0.1, max: 600 });
  const options = { data: words.text('data') };
  const figures = await measured(options, {
    sizeBytes: sizeMib * MIB_BYTES,
    seconds,
    region: words.text('region'),
  });
  if (words.flag('json')) process.stdout.write(`${JSON.stringify({ sizeMib, seconds, figures }, null, 2)}\n`);
  else for (const line of tableLines(COLUMNS, figures)) process.stdout.write(`${line}\n`);
}

function numberOf(
  words: Words,
  name: string,
  { otherwise, min, max }: { readonly otherwise: number; readonly min: number; readonly max: number },
): number {
  const text = words.text(name);
  const value = text === undefined ? otherwise : Number(text);
  if (value >= min && value <= max && (Number.isInteger(value) || value < 1)) return value;
  throw words.wrong(`--${name}: "${text ?? ''}" is no number from ${min} to ${max}`);
}

/** Of a disk that is made for it, and removed whatever happens. */
async function measured(
  options: ConfigOptions,
  how: { readonly sizeBytes: number; readonly seconds: number; readonly region: string | undefined },
): Promise<readonly Figure[]> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const { sizeBytes, seconds } = how;
  const api = await ServerApi.find(options);
  const region = how.region ?? api.region;
  const ec2 = async (operation: string, input: Parameters<ServerApi['call']>[1]) =>
    await api.call({ service: 'ec2', operation, region }, input);
  const place = { AvailabilityZone: firstZone(region), VolumeType: 'gp3' };
  const made: (readonly [operation: string, name: string, id: string])[] = [];
  try {
    const volume = textAt(await ec2('CreateVolume', { ...place, Size: Math.ceil(sizeBytes / GIB_BYTES) }), 'VolumeId');
    made.push(['DeleteVolume', 'VolumeId', volume]);
    const figures: Figure[] = [];
    {
      await using client = await NbdClient.connect((await addressOf(options.data, volume)).uri);
      await fill(client, sizeBytes, signal);
      for (const load of LOADS) figures.push(await loadFigure(client, load, { sizeBytes, seconds, signal }));
      figures.push(await once('flush after that', () => client.flush()));
    }
    const snapshot = { id: '' };
    figures.push(
      await once('create-snapshot, the call', async () => {
        snapshot.id = textAt(await ec2('CreateSnapshot', { VolumeId: volume }), 'SnapshotId');
        made.push(['DeleteSnapshot', 'SnapshotId', snapshot.id]);
      }),
    );
    const stored = await once('… until it is stored', () => untilStored(options, snapshot.id, signal));
    figures.push({ ...stored, bytesPerSecond: (sizeBytes * 1000) / stored.medianMs });
    figures.push(
      await once('a disk of it, to its first byte', async () => {
        const restored = textAt(await ec2('CreateVolume', { ...place, SnapshotId: snapshot.id }), 'VolumeId');
        made.push(['DeleteVolume', 'VolumeId', restored]);
        await using client = await NbdClient.connect((await addressOf(options.data, restored)).uri);
        await client.read(0, 4096);
      }),
    );
    return figures;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CommandError('not measured to the end; what was made for it is removed');
  } finally {
    for (const [operation, name, id] of made.toReversed()) {
      await removed(() => ec2(operation, { [name]: id })).catch((error: unknown) => {
        process.stderr.write(`${id} stays: ${describeError(error)}\n`);
      });
    }
  }
}

/** The server sees a moment later that a client is gone; until then its disk is in use. */
async function removed(remove: () => Promise<unknown>): Promise<void> {
  const untilMs = systemClock.monotonicMs() + REMOVE_MS;
  for (;;) {
    try {
      await remove();
      return;
    } catch (error) {
      if (systemClock.monotonicMs() > untilMs || !describeError(error).includes('VolumeInUse')) throw error;
    }
    await systemClock.sleep(POLL_MS);
  }
}

/** Random bytes all over, so that what is read is there. */
async function fill(client: NbdClient, sizeBytes: number, signal: AbortSignal): Promise<void> {
  for (let offset = 0; offset < sizeBytes; offset += 8 * MIB_BYTES) {
    signal.throwIfAborted();
    await client.write(offset, systemRandom.bytes(Math.min(8 * MIB_BYTES, sizeBytes - offset)));
  }
  await client.flush();
}

async function loadFigure(
  client: NbdClient,
  load: Load,
  how: { readonly sizeBytes: number; readonly seconds: number; readonly signal: AbortSignal },
): Promise<Figure> {
  const { bytes, depth } = load;
  const blockCount = Math.floor(how.sizeBytes / bytes);
  const source = systemRandom.bytes(bytes);
  const places = new SeededRandom(systemRandom.bytes(4).readUInt32LE());
  const times: number[] = [];
  const startMs = systemClock.monotonicMs();
  let next = 0;
  await Promise.all(
    Array.from({ length: depth }, async () => {
      for (;;) {
        const fromMs = systemClock.monotonicMs();
        if (fromMs - startMs >= how.seconds * 1000) return;
        how.signal.throwIfAborted();
        const offset = (load.isSequential ? next++ % blockCount : places.below(blockCount)) * bytes;
        if (load.kind === 'read') await client.read(offset, bytes);
        else await client.write(offset, source);
        times.push(systemClock.monotonicMs() - fromMs);
      }
    }),
  );
  const perSecond = (times.length * 1000) / (systemClock.monotonicMs() - startMs);
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0;
  return { name: load.name, perSecond, bytesPerSecond: perSecond * bytes, medianMs: at(0.5), p99Ms: at(0.99) };
}

async function once(name: string, body: () => Promise<void>): Promise<Figure> {
  const startMs = systemClock.monotonicMs();
  await body();
  return { name, perSecond: null, bytesPerSecond: null, medianMs: systemClock.monotonicMs() - startMs, p99Ms: null };
}

async function untilStored(options: ConfigOptions, id: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const reply = await askServer(options, 'GET', `/uploads?${new URLSearchParams({ id }).toString()}`);
    const uploads: unknown = typeof reply === 'object' && reply !== null && 'uploads' in reply ? reply.uploads : null;
    const [one] = Array.isArray(uploads) ? (uploads as readonly { readonly state?: unknown }[]) : [];
    if (one === undefined) throw otherVersion();
    if (one.state !== 'pending') return;
    await systemClock.sleep(POLL_MS, signal);
  }
}
