/**
 * `npm run bench:cli`: from the start of a command to the first byte that it prints, of calls that describe something, by
 * `varve` as its user starts it and by the real `aws`, against the same server; in pairs, whose first alternates.
 * `--pairs N` (default 9).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findPython } from '../python.ts';
import { RunningServer } from '../running-server.ts';

const VARVE = join(import.meta.dirname, '..', '..', 'bin', 'varve.mjs');

const CALLS: readonly (readonly string[])[] = [
  ['ec2', 'describe-volumes'],
  ['lightsail', 'get-disks', '--output', 'table'],
  ['ec2', 'describe-snapshots', '--owner-ids', 'self', '--query', 'Snapshots[].SnapshotId', '--output', 'text'],
  ['sts', 'get-caller-identity', '--query', 'Account'],
];

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Milliseconds to the first byte on standard output. Throws when there is none. */
async function firstByteMs(program: string, words: readonly string[], env: Record<string, string>): Promise<number> {
  const startedMs = performance.now();
  const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let firstMs: number | null = null;
  let errors = '';
  child.stdout.on('data', () => (firstMs ??= performance.now() - startedMs));
  child.stderr.on('data', (piece: Buffer) => (errors += piece.toString()));
  await once(child, 'close');
  if (firstMs === null) throw new Error(`${program} ${words.join(' ')} printed nothing: ${errors}`);
  return firstMs;
}

const { values } = parseArgs({ options: { pairs: { type: 'string', default: '9' } } });
const pairs = Number(values.pairs);
await using server = await RunningServer.start();
await server.awsJson(['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1']);
await server.awsJson([
  ...['lightsail', 'create-disk', '--disk-name', 'disk-1', '--availability-zone', 'us-east-1a', '--size-in-gb', '8'],
]);
const { VolumeId } = await server.awsJson<{ VolumeId: string }>([
  ...['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1'],
]);
await server.awsJson(['ec2', 'create-snapshot', '--volume-id', VolumeId]);
// A shim that looks for the right Python would count for aws.
const python = findPython('awscli');
const [program, ...before] = python === null ? ['aws'] : [python, '-m', 'awscli'];
const env = { ...server.environment(), AWS_ENDPOINT_URL: server.endpoint };
const ratios: number[] = [];
for (const call of CALLS) {
  const words = ['--endpoint-url', server.endpoint, ...call];
  const sides = {
    varve: async () => await firstByteMs(process.env['VARVE_NODE'] ?? 'node', [VARVE, ...words], env),
    aws: async () => await firstByteMs(program ?? 'aws', [...before, ...words], env),
  };
  const [ours, theirs]: [number[], number[]] = [[], []];
  await sides.varve(); // Fills the cache of what Node compiles.
  for (let pair = 0; pair < pairs; pair += 1) {
    if (pair % 2 === 0) ours.push(await sides.varve());
    theirs.push(await sides.aws());
    if (pair % 2 === 1) ours.push(await sides.varve());
  }
  const ratio = median(ours.map((ms, at) => ms / (theirs[at] ?? Number.NaN)));
  ratios.push(ratio);
  process.stdout.write(
    `${call.slice(0, 2).join(' ')}: varve ${Math.round(median(ours))} ms, aws ${Math.round(median(theirs))} ms; ratio ${ratio.toFixed(2)}\n`,
  );
}
process.stdout.write(`${JSON.stringify({ pairs, ratios: ratios.map((ratio) => Math.round(ratio * 100) / 100) })}\n`);
