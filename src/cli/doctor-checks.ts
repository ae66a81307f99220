import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

import { computerMemory } from '#base/computer-memory.ts';
import { SOCKET_PATH_BYTES_MAX } from '#base/run-directory.ts';
import { PACKAGE_OF, toolPath } from '#blueprint/tool.ts';

import { formatBytes } from './image-progress.ts';
import { plainError } from './plain-errors.ts';

/** `wrong`: the server does not run so, or not safely. `absent`: what needs it does not work; all else does. */
export type Verdict = 'ok' | 'absent' | 'wrong';

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was found; for all but `ok` also what it is for, and how to mend it. */
  readonly detail: string;
}

const NODE_MAJOR_MIN = 24;
/** Below this the background leaves the disk to those who write, and soon nobody can. */
const FREE_BYTES_MIN = 1024 ** 3;
/** A socket of each volume and client, and files of volumes; Debian's default is 1,024 soft, 1,048,576 hard. */
const FILES_MIN = 1024;

const FOR_CLIENTS = 'for using disks on this machine';

interface Tool {
  readonly name: string;
  readonly versionArgs: readonly string[];
  readonly purpose: string;
  readonly packageName: string;
}

const TOOLS: readonly Tool[] = [
  { name: 'aws', versionArgs: ['--version'], purpose: 'the AWS command line', packageName: 'awscli' },
  {
    name: 'qemu-img',
    versionArgs: ['--version'],
    purpose: 'for images that are not raw (import, export, rescue)',
    packageName: 'qemu-utils',
  },
  {
    name: 'qemu-system-x86_64',
    versionArgs: ['--version'],
    purpose: 'to run instances; disks and snapshots work without it',
    packageName: 'qemu-system-x86',
  },
  { name: 'ssh', versionArgs: ['-V'], purpose: 'for "varve ssh"', packageName: 'openssh-client' },
  { name: 'nbdinfo', versionArgs: ['--version'], purpose: FOR_CLIENTS, packageName: 'libnbd-bin' },
  { name: 'nbdcopy', versionArgs: ['--version'], purpose: FOR_CLIENTS, packageName: 'libnbd-bin' },
  {
    name: 'nbdfuse',
    versionArgs: ['--version'],
    purpose: 'to mount a disk without the kernel module nbd',
    packageName: 'nbdfuse (or libnbd-bin)',
  },
];

/** Looks at this machine and at a data directory; starts nothing but the tools with `--version`, and changes nothing. */
export function examine(dataDirectory: string): readonly Check[] {
  return [
    nodeCheck(),
    ...TOOLS.map(toolCheck),
    fuseCheck(),
    nbdModuleCheck(),
    kvmCheck(dataDirectory),
    memoryCheck(),
    buildToolsCheck(),
    filesCheck(),
    ...directoryChecks(dataDirectory),
  ];
}

function nodeCheck(): Check {
  const { node } = process.versions;
  if (Number(node.split('.')[0]) >= NODE_MAJOR_MIN) return ok('node', node);
  return wrong('node', `${node}; ${NODE_MAJOR_MIN} or newer is needed (npm ci brings one)`);
}

function toolCheck({ name, versionArgs, purpose, packageName }: Tool): Check {
  const { error, stdout, stderr } = spawnSync(name, [...versionArgs], { encoding: 'utf8', timeout: 20_000 });
  if (error !== undefined) return absent(name, `not found; ${purpose}. Debian's package: ${packageName}`);
  return ok(name, `${stdout}${stderr}`.trim().split('\n')[0] ?? '');
}

function fuseCheck(): Check {
  return deviceCheck('fuse', '/dev/fuse', 'nbdfuse needs it: modprobe fuse, or run as a user who may');
}

function nbdModuleCheck(): Check {
  if (existsSync('/sys/module/nbd')) return ok('nbd module', 'loaded: nbd-client can make a block device of a disk');
  return absent('nbd module', 'not loaded (modprobe nbd); without it nbdfuse, QEMU and the libnbd tools use disks');
}

function memoryCheck(): Check {
  const memory = computerMemory();
  if (memory === null) return absent('memory', 'not known here; instances are not refused for want of it');
  const { totalMib, availableMib } = memory;
  return ok('memory', `${availableMib} MiB of ${totalMib} MiB available; instances that need more are refused`);
}

/** That the device opens says little: what the server found when it booted something on it is asked for, too. */
export function kvmCheck(dataDirectory: string, device = '/dev/kvm'): Check {
  const name = 'kvm';
  const opens = deviceCheck(name, device, 'instances are emulated without it, slowly');
  if (opens.verdict !== 'ok') return opens;
  const tried = triedAccelerator(dataDirectory);
  if (tried === null)
    return ok(name, `${device} opens; whether instances run on it the first one shows, by a trial boot`);
  if (tried.accelerator === 'kvm') return ok(name, `the server booted a machine on ${device}`);
  return absent(name, `${device} opens, and the server's trial boot failed, so instances are emulated: ${tried.note}`);
}

/** What the server's probe found since this computer was started (docs/formats/machines.md); null: it has not run. */
function triedAccelerator(dataDirectory: string): { readonly accelerator: string; readonly note: string } | null {
  for (const path of ['run/accelerator.json', 'run/sockets/accelerator.json']) {
    try {
      const kept = JSON.parse(readFileSync(join(dataDirectory, path), 'utf8')) as Readonly<Record<string, unknown>>;
      const { key, accelerator, note } = kept;
      if (typeof key !== 'string' || !key.startsWith(`${bootId()} `)) continue;
      if (typeof accelerator === 'string') return { accelerator, note: typeof note === 'string' ? note : '' };
    } catch {
      // It is not there, or no JSON: the server tries again.
    }
  }
  return null;
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** What `varve blueprint build` runs. */
export function buildToolsCheck(path = toolPath()): Check {
  const name = 'blueprint build';
  const isThere = (program: string): boolean =>
    path.split(delimiter).some((directory) => directory !== '' && existsSync(join(directory, program)));
  const isRoot = process.getuid?.() === 0;
  const missing = Object.keys(PACKAGE_OF).filter((program) => !isThere(program) && !(isRoot && program === 'fakeroot'));
  if (missing.length === 0) return ok(name, 'all programs are there');
  const packages = [...new Set(missing.map((program) => PACKAGE_OF[program] ?? program))];
  return absent(
    name,
    `${missing.join(', ')} not found; images of tiny and debian cannot be built, others are imported. Debian's packages: ${packages.join(' ')}`,
  );
}

function deviceCheck(name: string, path: string, otherwise: string): Check {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return ok(name, `${path} can be used`);
  } catch (error) {
    return absent(name, `${plainError(error)}; ${otherwise}`);
  }
}

function filesCheck(): Check {
  const name = 'open files';
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return absent(name, 'this system does not say how many files may be open');
  }
  const most = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? '';
  // Node raises its own soft limit to the hard one.
  if (most === 'unlimited' || Number(most) >= FILES_MIN) return ok(name, `${most} at most`);
  return wrong(name, `${most} at most; each disk and client takes some: ulimit -Hn ${FILES_MIN} or more`);
}

function directoryChecks(dataDirectory: string): readonly Check[] {
  const there = existsSync(dataDirectory);
  const base = there ? dataDirectory : nearestExisting(dataDirectory);
  const checks = [writableCheck(dataDirectory, base, there), spaceCheck(base)];
  const socketPath = join(dataDirectory, 'run', 'snap-00000000000000000.sock');
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) {
    checks.push(ok('sockets', 'the path is too long for sockets; they are in a short directory elsewhere'));
  }
  if (there) checks.push(...secretChecks(dataDirectory));
  return checks;
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}

function writableCheck(dataDirectory: string, base: string, there: boolean): Check {
  const name = 'data directory';
  try {
    if (!statSync(base).isDirectory()) return wrong(name, `${base} is no directory`);
    accessSync(base, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    return wrong(name, `it cannot be written: ${plainError(error)}`);
  }
  return ok(name, there ? dataDirectory : `${dataDirectory} (not made yet; the first start does)`);
}

function spaceCheck(base: string): Check {
  const name = 'disk space';
  try {
    const { bavail, blocks, bsize } = statfsSync(base);
    const text = `${formatBytes(bavail * bsize)} of ${formatBytes(blocks * bsize)} free in ${base}`;
    if (bavail * bsize >= FREE_BYTES_MIN) return ok(name, text);
    return wrong(name, `${text}; writes will fail when it is full, and restored disks are not filled any more`);
  } catch (error) {
    return wrong(name, plainError(error));
  }
}

/** Nobody else may read what opens everything. */
function secretChecks(dataDirectory: string): readonly Check[] {
  return ['master.key', 'credentials'].flatMap((name): readonly Check[] => {
    const path = join(dataDirectory, name);
    if (!existsSync(path)) return [];
    const { mode, uid } = statSync(path);
    const own = process.getuid?.() ?? uid;
    if ((mode & 0o077) !== 0) return [wrong(name, `others can read ${path}: chmod 600 '${path}'`)];
    if (uid !== own) return [wrong(name, `${path} belongs to user ${uid}, and this is user ${own}`)];
    return [ok(name, 'for its owner only')];
  });
}

function ok(name: string, detail: string): Check {
  return { name, verdict: 'ok', detail };
}

function absent(name: string, detail: string): Check {
  return { name, verdict: 'absent', detail };
}

function wrong(name: string, detail: string): Check {
  return { name, verdict: 'wrong', detail };
}
