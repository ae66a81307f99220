import { spawn } from 'node:child_process';

/** An image could not be built; the message is a sentence for whoever runs the command. */
export class BlueprintError extends Error {
  override readonly name = 'BlueprintError';
}

/** Debian packages of the programs that images are built with. */
export const PACKAGE_OF: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
  fakeroot: 'fakeroot',
  mcopy: 'mtools',
  'mkfs.fat': 'dosfstools',
  mke2fs: 'e2fsprogs',
  mmd: 'mtools',
  mmdebstrap: 'mmdebstrap',
  'qemu-img': 'qemu-utils',
  sgdisk: 'gdisk',
  syslinux: 'syslinux',
  tar: 'tar',
};

/** Debian keeps sgdisk, mke2fs and their like where only root looks by itself. */
export function toolPath(): string {
  return `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;
}

/** Of what a program prints when it fails, the end is shown. */
const SHOWN_CHARACTERS_MAX = 2000;

export interface ToolOptions {
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  /** Of its own when it is given, and read to its end. */
  readonly input?: string;
}

/** What is run with the rights of root over files: as root the program itself, else under fakeroot. */
export function asRoot(program: string, args: readonly string[]): readonly [string, ...string[]] {
  return process.getuid?.() === 0 ? [program, ...args] : ['fakeroot', '--', program, ...args];
}

/** Runs a program to its end and answers what it printed. Throws BlueprintError with what it said when it fails, and with the package to install when it is not there. */
export async function runTool(program: string, args: readonly string[], options: ToolOptions = {}): Promise<string> {
  const ended = Promise.withResolvers<{ readonly code: number | null; readonly signal: string | null }>();
  const child = spawn(program, [...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', PATH: toolPath(), ...options.env },
    ...(options.signal === undefined ? {} : { signal: options.signal, killSignal: 'SIGKILL' }),
  });
  const out: Buffer[] = [];
  const said: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => out.push(piece));
  child.stderr.on('data', (piece: Buffer) => said.push(piece));
  child.stdin.on('error', () => {}); // A program that does not read its input closes it.
  child.stdin.end(options.input ?? '');
  child.on('error', ended.reject);
  child.on('close', (code, signal) => ended.resolve({ code, signal }));
  const { code, signal } = await ended.promise.catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw missing(program);
    throw error;
  });
  if (code === 0) return Buffer.concat(out).toString();
  const words = `${Buffer.concat(out).toString()}\n${Buffer.concat(said).toString()}`.trim();
  const end = words.slice(-SHOWN_CHARACTERS_MAX);
  throw new BlueprintError(`${program} ${args[0] ?? ''} failed (${signal ?? `exit ${code}`}): ${end}`);
}

function missing(program: string): BlueprintError {
  const name = PACKAGE_OF[program] ?? program;
  return new BlueprintError(`${program} is not installed. On Debian: apt-get install --no-install-recommends ${name}`);
}
