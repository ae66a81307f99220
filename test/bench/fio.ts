import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { runOk } from '../run.ts';

export interface FioLoad {
  readonly mode: 'randread' | 'randwrite' | 'read' | 'write';
  readonly blockBytes: number;
  /** Requests in flight on each connection. */
  readonly depth: number;
  /** Connections, each of a process of its own; one unless given. */
  readonly connections?: number;
}

/** What all connections did together. */
export interface FioResult {
  readonly bytesPerSecond: number;
  /** From the submission of a request to its answer; 99 of 100 were not slower. */
  readonly p99Ms: number;
}

interface FioDirection {
  readonly bw_bytes: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}

/** A load that goes on until it is stopped. */
export interface FioRunning {
  stop(): Promise<FioResult>;
}

/** Runs a load to its end. `extra`: further arguments, such as how long it is. */
export async function runFio(uri: string, load: FioLoad, extra: readonly string[]): Promise<FioResult> {
  const { stdout } = await runOk('fio', [...argumentsOf(uri, load), ...extra]);
  return resultOf(stdout, load);
}

/** Starts a load that ends when it is told to. */
export function startFio(uri: string, load: FioLoad, extra: readonly string[]): FioRunning {
  const args = [...argumentsOf(uri, load), ...extra, '--time_based', '--runtime=100000'];
  const child = spawn('fio', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => output.push(piece));
  child.stderr.on('data', (piece: Buffer) => errors.push(piece));
  const closed = once(child, 'close');
  return {
    stop: async () => {
      child.kill('SIGINT'); // It reports what it did until then.
      await closed;
      const text = Buffer.concat(output).toString();
      if (!text.includes('{')) throw new Error(`fio: ${Buffer.concat(errors).toString()}`);
      return resultOf(text, load);
    },
  };
}

/** Writes every block once, with bytes that do not compress, which fills the page cache as well, and reads it once. */
export async function fill(uri: string, sizeGib: number): Promise<void> {
  for (const mode of ['write', 'read'] as const) {
    await runFio(uri, { mode, blockBytes: 1024 * 1024, depth: 4 }, [`--size=${sizeGib}G`, '--refill_buffers']);
  }
}

/**
 * Reads all of it. Needed again before each round: a kernel may give up pages that were not used for a while though memory
 * is free, and then a run measures the disk of whoever was unlucky.
 */
export async function warm(uri: string): Promise<void> {
  await runOk('nbdcopy', [uri, 'null:']);
}

/** The middle one, or between the two middle ones; NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? at(sorted, middle) : (at(sorted, middle - 1) + at(sorted, middle)) / 2;
}

function at(numbers: readonly number[], index: number): number {
  return numbers[index] ?? Number.NaN;
}

function argumentsOf(uri: string, { mode, blockBytes, depth, connections = 1 }: FioLoad): readonly string[] {
  return [
    ...['--name=load', '--ioengine=nbd', `--uri=${uri}`, `--rw=${mode}`, `--bs=${blockBytes}`, `--iodepth=${depth}`],
    ...[`--numjobs=${connections}`, '--group_reporting', '--randrepeat=0', '--output-format=json'],
  ];
}

function resultOf(stdout: string, { mode }: FioLoad): FioResult {
  // fio's nbd engine announces itself before the report.
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    readonly jobs: readonly Readonly<Record<'read' | 'write', FioDirection>>[];
  };
  const done = jobs[0]?.[mode.endsWith('read') ? 'read' : 'write'];
  if (done === undefined || done.bw_bytes <= 0) throw new Error('fio did nothing');
  return { bytesPerSecond: done.bw_bytes, p99Ms: (done.clat_ns.percentile?.['99.000000'] ?? Number.NaN) / 1e6 };
}
