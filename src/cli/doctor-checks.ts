import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { SOCKET_PATH_BYTES_MAX } from '#base/run-directory.ts';

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
    kvmCheck(),
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

function kvmCheck(): Check {
  return deviceCheck(
    'kvm',
    '/dev/kvm',
    'instances are emulated without it, slowly; the server tries it by booting before it relies on it',
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
