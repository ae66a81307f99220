import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import type { Clock } from '#base/clock.ts';

import { PROBE_MARKER, probeDisk } from './accelerator-probe.ts';
import { parseObject } from './json-lines.ts';
import { bootId } from './qemu-process.ts';

export interface Verdict {
  readonly accelerator: 'kvm' | 'tcg';
  /** Why it is not `kvm`; null. */
  readonly note: string | null;
}

export interface ProbeOptions {
  /** By default /dev/kvm. */
  readonly kvmDevice?: string;
  /** The path of QEMU. */
  readonly program: string;
  /** What it answers to `--version`: another one is asked again. */
  readonly version: string;
  /** Keeps the verdict. */
  readonly cachePath: string;
  readonly clock: Clock;
}

/** A processor needs a quarter of a second for the program; who emulates it instruction by instruction, minutes. */
const PROBE_MS_MAX = 10_000;

/**
 * Whether the processor runs machines (KVM) or they are emulated (TCG). That /dev/kvm opens says little: under software
 * nested virtualisation it does, and guests die or crawl. So a program is booted, and only one that comes to its end
 * convinces. The verdict holds for this run of the computer and version of QEMU.
 */
export async function probeAccelerator(options: ProbeOptions): Promise<Verdict> {
  const key = `${await bootId()} ${options.version}`;
  const known = await keptVerdict(options.cachePath, key);
  if (known !== null) return known;
  const note = await whyNoKvm(options);
  const verdict: Verdict = note === null ? { accelerator: 'kvm', note } : { accelerator: 'tcg', note };
  await keepVerdict(options.cachePath, key, verdict);
  return verdict;
}

/** A machine died of its accelerator in spite of the probe: the verdict is corrected. */
export async function condemnKvm(options: ProbeOptions, note: string): Promise<Verdict> {
  const verdict: Verdict = { accelerator: 'tcg', note };
  await keepVerdict(options.cachePath, `${await bootId()} ${options.version}`, verdict);
  return verdict;
}

async function keptVerdict(path: string, key: string): Promise<Verdict | null> {
  const kept = parseObject(await readFile(path, 'utf8').catch(() => ''));
  if (kept?.['key'] !== key) return null;
  if (kept['accelerator'] === 'kvm') return { accelerator: 'kvm', note: null };
  return { accelerator: 'tcg', note: String(kept['note']) };
}

async function keepVerdict(path: string, key: string, verdict: Verdict): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify({ key, ...verdict })}\n`);
}

/** Null: it runs. */
async function whyNoKvm(options: ProbeOptions): Promise<string | null> {
  try {
    await access(options.kvmDevice ?? '/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/kvm is not there or not for this user: machines are emulated';
  }
  const directory = await mkdtemp(join(tmpdir(), 'varve-kvm-'));
  try {
    const disk = join(directory, 'probe.img');
    await writeFile(disk, probeDisk());
    return await bootProbe(options, disk);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function bootProbe({ program, clock }: ProbeOptions, disk: string): Promise<string | null> {
  const child = spawn(program, probeArguments('kvm', disk), { stdio: ['ignore', 'pipe', 'pipe'] });
  const verdict = Promise.withResolvers<string | null>();
  let written = '';
  let complaint = '';
  child.stdout.on('data', (bytes: Buffer) => {
    written = `${written}${bytes.toString('latin1')}`.slice(-4096);
    if (written.includes(PROBE_MARKER)) verdict.resolve(null);
  });
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = `${complaint}${bytes.toString('latin1')}`.slice(0, 4096);
    if (complaint.includes('KVM internal error')) {
      verdict.resolve('KVM does not run a whole processor here (internal error): machines are emulated');
    }
  });
  child.on('error', (error) => verdict.resolve(`QEMU cannot be started with KVM: ${error.message}`));
  const gone = Promise.withResolvers<void>();
  child.on('close', () => {
    gone.resolve();
    const [line = 'it ended'] = complaint.split('\n');
    verdict.resolve(`QEMU does not run with KVM here (${line.slice(0, 200)}): machines are emulated`);
  });
  const done = new AbortController();
  void clock.sleep(PROBE_MS_MAX, done.signal).then(
    () => verdict.resolve(`KVM is too slow here, as if it were emulated itself: machines are emulated`),
    () => {}, // There was a verdict.
  );
  const note = await verdict.promise;
  done.abort();
  child.kill('SIGKILL');
  await gone.promise;
  return note;
}

/** The program's serial port is standard output. */
export function probeArguments(accelerator: 'kvm' | 'tcg', disk: string): readonly string[] {
  const file = { driver: 'file', filename: disk, 'read-only': true };
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-m', 'size=64M'],
    ...['-machine', 'q35,smbus=off,sata=off,usb=off,vmport=off,hpet=off'],
    ...['-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host' : 'max'],
    ...['-blockdev', JSON.stringify({ driver: 'raw', 'node-name': 'disk', 'read-only': true, file })],
    ...['-device', JSON.stringify({ driver: 'virtio-blk-pci', drive: 'disk', bootindex: 0 })],
    ...[
      '-chardev',
      'stdio,id=console,signal=off',
      '-device',
      JSON.stringify({ driver: 'isa-serial', chardev: 'console' }),
    ],
  ];
}
