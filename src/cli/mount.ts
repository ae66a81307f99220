import { existsSync, readdirSync, statSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';

import { makeDirectory } from '#base/make-directory.ts';
import { ExtFileSystem } from '#files/ext-file-system.ts';
import { FileSystemError } from '#files/file-system-error.ts';
import { windowOf } from '#files/byte-reader.ts';
import { choosePart, type DiskPart, partInWords, partsOf } from '#files/open-disk.ts';

import { CommandError } from './command-error.ts';
import { addressOf } from './export.ts';
import { openDiskOf, partitionOf } from './files-source.ts';
import { Interrupt } from './image-interrupt.ts';
import { NbdClient } from './image-nbd-client.ts';
import { type MountRecord, MountRecords, MOUNT_WAYS, type MountWay } from './mount-record.ts';
import { isInstalled, isMounted, requireProgram, runTool, startServing, waitFor } from './mount-tools.ts';
import { undoMount } from './mount-undo.ts';
import { askAll } from './pages.ts';
import { printable } from './table.ts';
import { Words } from './words.ts';

export const MOUNT_USAGE = `Shows the files of a snapshot, disk or volume in a directory, until "varve umount DIRECTORY".

usage: varve mount NAME|ID DIRECTORY [options]

  --read-only        nothing is written (snapshots are never written)
  --partition N      of a disk with several file systems: which
  --mkfs             make an ext4 file system first: of a disk on which nothing was ever written
  --file             only the disk, as the file DIRECTORY/disk, for tools that read images
  --way WAY          how: file, nbd, loop or fuse2fs (default: the first that works here)
  --force            although a client is connected to the disk
  --data DIR         the server's data directory

  nbd       the kernel's own client, where it has one: root, package nbd-client
  loop      nbdfuse shows the disk as a file, the kernel mounts that: root, package libnbd-bin
  fuse2fs   the same without root, for ext2, ext3 and ext4: packages libnbd-bin, fuse2fs
`;

/** Of a disk, what one question to the server is about. */
const RUNS_BYTES = 1024 ** 3;

/** What is to be mounted, and what is known of it. */
interface Wanted {
  readonly data: string | undefined;
  readonly name: string;
  readonly uri: string;
  readonly directory: string;
  readonly readOnly: boolean;
  /** Null: all of the disk, as a file. */
  readonly part: DiskPart | null;
  /** Its journal must be replayed before it can be read. */
  readonly isDirty: boolean;
  /** A file system is to be made first. */
  readonly isToBeMade: boolean;
  readonly signal: AbortSignal;
}

/** `varve mount …`. Throws ConfigError for a wrong command line. */
export async function mountCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('mount', rest, {
    'read-only': { type: 'boolean' },
    partition: { type: 'string' },
    mkfs: { type: 'boolean' },
    file: { type: 'boolean' },
    way: { type: 'string' },
    force: { type: 'boolean' },
    data: { type: 'string' },
  });
  const [name, path] = words.take('which disk, volume or snapshot? Give a name or an id', 'where? Give a directory');
  const chosen = words.flag('file') ? 'file' : words.choice('way', MOUNT_WAYS);
  const partition = partitionOf(words);
  if (chosen === 'file' && partition !== null)
    throw words.wrong('a file is of all the disk: --partition does not go with it');
  const isToBeMade = words.flag('mkfs');
  if (isToBeMade && (chosen === 'file' || partition !== null || words.flag('read-only')))
    throw words.wrong('--mkfs goes with a whole disk that is written: not with --file, --partition or --read-only');
  const data = words.text('data');
  using interrupt = new Interrupt();
  const records = await MountRecords.open(data);
  const directory = await emptyDirectory(path);
  if (isMounted(directory)) throw new CommandError(`something is mounted at ${directory} already`);
  // What is left of a mount that a crash or a reboot ended.
  const stale = await records.find(directory);
  if (stale !== null) await undoMount(records, stale);

  const address = await addressOf(data, name);
  const readOnly = address.readOnly || words.flag('read-only');
  if (!readOnly && !words.flag('force')) await refuseInUse(data, name, address.uri);
  if (isToBeMade && readOnly) throw new CommandError(`${name} is a snapshot: nothing is written on it`);
  if (isToBeMade) await refuseWritten(name, address.uri);
  const isWhole = chosen === 'file' || isToBeMade;
  const found = isWhole ? { part: null, isDirty: false } : await look(data, name, partition);
  const way = chosen ?? wayFor(found.part);
  const { signal } = interrupt;
  const wanted: Wanted = { data, name, uri: address.uri, directory, readOnly, ...found, isToBeMade, signal };
  await mountBy(records, way, wanted);
  process.stderr.write(`varve: ${doneWords(way, wanted)}\n`);
}

async function emptyDirectory(path: string): Promise<string> {
  let directory: string;
  try {
    directory = await realpath(path);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const next = isMissing
      ? `make it with "mkdir ${path}"`
      : `if a mount was left there, "varve umount ${path}" takes it away`;
    throw new CommandError(`nothing can be mounted at ${path}; ${next}`, { cause: error });
  }
  if (!statSync(directory).isDirectory()) throw new CommandError(`${path} is not a directory`);
  if (!isMounted(directory) && readdirSync(directory).length > 0) throw new CommandError(`${path} is not empty`);
  return directory;
}

/** Two that write to one file system destroy it. */
async function refuseInUse(data: string | undefined, name: string, uri: string): Promise<void> {
  const id = decodeURIComponent(new URL(uri).pathname.slice(1));
  const isListed = (value: unknown): value is { readonly id: string; readonly clientCount: number | null } =>
    typeof value === 'object' && value !== null && 'id' in value && 'clientCount' in value;
  const found = (await askAll({ data }, { name: 'volumes', isListed })).find((one) => one.id === id);
  if (found === undefined || found.clientCount === null || found.clientCount === 0) return;
  throw new CommandError(
    `${name} is in use: an NBD client is connected to it, and two that write to one file system destroy it. ` +
      'Mount a snapshot of it; or --read-only; or --force, when that client does not write',
  );
}

/** A file system is made only where nothing is lost by it. */
async function refuseWritten(name: string, uri: string): Promise<void> {
  await using client = await NbdClient.connect(uri);
  for (let offset = 0; offset < client.sizeBytes;) {
    for (const { length, zero } of await client.runs(offset, Math.min(RUNS_BYTES, client.sizeBytes - offset))) {
      if (!zero) throw new CommandError(`something is written on ${name}: --mkfs is for a disk on which nothing is`);
      offset += length;
    }
  }
}

async function look(
  data: string | undefined,
  name: string,
  partition: number | null,
): Promise<{ readonly part: DiskPart; readonly isDirty: boolean }> {
  await using opened = await openDiskOf(data, name);
  try {
    const parts = await partsOf(opened.disk);
    // What only the kernel can read is mounted too, if it is said which.
    const part = choosePart(parts, partition);
    if (part.found.kind === 'empty') {
      throw new CommandError(`there is no file system on ${name}: --mkfs makes one, --file shows the disk as a file`);
    }
    if (part.found.kind !== 'ext') return { part, isDirty: false };
    const { notes } = await ExtFileSystem.open(windowOf(opened.disk, part.offset, part.length));
    return { part, isDirty: notes.length > 0 };
  } catch (error) {
    if (error instanceof FileSystemError) throw new CommandError(`${name}: ${error.message}`);
    throw error;
  }
}

/** The first way that works on this machine. Throws CommandError that says what to install. */
function wayFor(part: DiskPart | null): MountWay {
  const isRoot = process.getuid?.() === 0;
  if (isRoot && existsSync('/sys/block/nbd0') && isInstalled('nbd-client')) return 'nbd';
  if (!existsSync('/dev/fuse')) {
    throw new CommandError('this kernel has no FUSE (no /dev/fuse), and no nbd; varve ls, cp and export need neither');
  }
  requireProgram('nbdfuse', 'the disk is mounted through it');
  requireProgram('fusermount3', 'the disk is unmounted with it');
  if (isRoot && existsSync('/dev/loop-control')) return 'loop';
  if (part !== null && part.found.kind !== 'ext') {
    throw new CommandError(
      `without root only ext2, ext3 and ext4 can be mounted, and it is ${partInWords(part)}; see --file`,
    );
  }
  requireProgram('fuse2fs', 'without root the file system is mounted with it');
  return 'fuse2fs';
}

/** Mounts, or takes away again what was begun. */
async function mountBy(records: MountRecords, way: MountWay, wanted: Wanted): Promise<void> {
  const { directory, name } = wanted;
  const step = new MountSteps(records, wanted, {
    directory,
    name,
    way,
    fuseDirectory: null,
    nbdDevice: null,
    overlay: null,
    disk: null,
    files: null,
  });
  try {
    await step.run();
    wanted.signal.throwIfAborted();
  } catch (error) {
    try {
      await undoMount(records, step.record);
    } catch (undone) {
      const words = undone instanceof Error ? undone.message : String(undone);
      throw new CommandError(`${words}; what was begun at ${directory} is still there: varve umount ${directory}`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** The steps of one mount. The record tells at each moment what there is to be taken away. */
class MountSteps {
  record: MountRecord;
  readonly #records: MountRecords;
  readonly #wanted: Wanted;
  readonly #work: string;

  constructor(records: MountRecords, wanted: Wanted, record: MountRecord) {
    this.#records = records;
    this.#wanted = wanted;
    this.record = record;
    this.#work = records.workDirectoryOf(wanted.directory);
  }

  async run(): Promise<void> {
    const { way } = this.record;
    await this.#note({});
    await makeDirectory(this.#work);
    if (way === 'nbd') {
      const device = await this.#connectKernel();
      if (this.#wanted.isToBeMade) await makeFileSystem(device);
      await this.#mount(device);
      return;
    }
    const { directory, readOnly, isDirty, uri } = this.#wanted;
    const needsOverlay = readOnly && isDirty && way !== 'file' && isReplayed(way, this.#wanted);
    const served = needsOverlay ? await this.#overlay(uri) : uri;
    const at = way === 'file' ? directory : join(this.#work, 'device');
    await makeDirectory(at);
    await this.#note({ fuseDirectory: at });
    const disk = join(at, 'disk');
    const flags = readOnly && !needsOverlay ? ['-r'] : [];
    await this.#serve('disk', 'nbdfuse', [...flags, disk, served], () => isMounted(at) && existsSync(disk));
    if (this.#wanted.isToBeMade) await makeFileSystem(disk);
    if (way === 'loop') await this.#mount(disk);
    if (way === 'fuse2fs') await this.#mountFuse(disk);
  }

  async #note(change: Partial<MountRecord>): Promise<void> {
    this.record = { ...this.record, ...change };
    await this.#records.put(this.record);
  }

  async #serve(
    part: 'overlay' | 'disk' | 'files',
    program: string,
    args: readonly string[],
    isThere: () => boolean,
  ): Promise<void> {
    requireProgram(program, 'it is needed for this mount');
    const logPath = join(this.#work, `${program}.log`);
    const process = await startServing(program, args, logPath);
    await this.#note({ [part]: process });
    await waitFor(isThere, { program, process, logPath, signal: this.#wanted.signal });
  }

  /** A disk that can be written and is not: what is written goes to a file that nobody keeps. */
  async #overlay(uri: string): Promise<string> {
    const socket = join(this.#records.socketDirectory, `o-${this.#records.idOf(this.record.directory)}.sock`);
    const args = ['--snapshot', '--persistent', '--shared=4', '--format=raw', `--socket=${socket}`, uri];
    await this.#serve('overlay', 'qemu-nbd', args, () => existsSync(socket));
    return `nbd+unix:///?socket=${socket}`;
  }

  async #mount(disk: string): Promise<void> {
    const { readOnly, isDirty, part, directory } = this.#wanted;
    requireProgram('mount', 'root mounts with it');
    const options = [...(readOnly ? ['ro'] : []), 'nodev', 'nosuid'];
    const isWhole = part === null || part.partition === null;
    const place = isWhole ? [] : [`offset=${part.offset}`, `sizelimit=${part.length}`];
    if (this.record.overlay !== null) {
      await this.#mountOverlay(disk, options, place);
      return;
    }
    if (readOnly && isDirty) options.push('noload');
    if (!isWhole || this.record.way !== 'nbd') options.push('loop', ...place);
    const { code, errors } = await runTool('mount', ['-o', options.join(','), disk, directory]);
    if (code !== 0) throw new CommandError(errors);
  }

  /** A journal is replayed where the device can be written, though the file system is only read; mount's own loop cannot. */
  async #mountOverlay(disk: string, options: readonly string[], place: readonly string[]): Promise<void> {
    const made = await runTool('losetup', ['--find', '--show', ...place.map((one) => `--${one}`), disk]);
    if (made.code !== 0) throw new CommandError(made.errors);
    const { code, errors } = await runTool('mount', ['-o', options.join(','), made.output, this.#wanted.directory]);
    // Where it is mounted, it goes when that is unmounted.
    await runTool('losetup', ['--detach', made.output]);
    if (code !== 0) throw new CommandError(errors);
  }

  async #mountFuse(disk: string): Promise<void> {
    const { readOnly, isDirty, part, directory } = this.#wanted;
    const offset = part?.offset ?? 0;
    const options = ['fakeroot', `offset=${offset}`];
    if (isDirty && !readOnly && offset > 0) {
      throw new CommandError(
        'its journal must be replayed, which without root works on whole disks only; see --read-only',
      );
    }
    if (isDirty && isReplayed(this.record.way, this.#wanted)) {
      // fuse2fs of e2fsprogs 1.47 dies of a journal that is to be replayed. 1: repaired, which is what was asked for.
      requireProgram('e2fsck', 'the journal is replayed with it');
      const { code, errors } = await runTool('e2fsck', ['-p', '-E', 'journal_only', disk]);
      if (code === null || code > 1) throw new CommandError(`the journal cannot be replayed: ${errors}`);
    } else if (isDirty) options.push('norecovery');
    if (readOnly) options.push('ro');
    await this.#serve('files', 'fuse2fs', ['-f', '-o', options.join(','), disk, directory], () => isMounted(directory));
  }

  /** The kernel's own client on the first device that is free. */
  async #connectKernel(): Promise<string> {
    requireProgram('nbd-client', 'the kernel is connected with it');
    const url = new URL(this.#wanted.uri);
    const socket = url.searchParams.get('socket') ?? '';
    const free = readdirSync('/sys/block').find(
      (name) => /^nbd\d+$/.test(name) && !existsSync(`/sys/block/${name}/pid`),
    );
    if (free === undefined) throw new CommandError('all nbd devices of the kernel are in use');
    const device = `/dev/${free}`;
    const flags = this.#wanted.readOnly ? ['-readonly'] : [];
    const name = decodeURIComponent(url.pathname.slice(1));
    const { code, errors } = await runTool('nbd-client', ['-unix', socket, device, '-name', name, ...flags]);
    if (code !== 0) throw new CommandError(`nbd-client: ${errors}`);
    await this.#note({ nbdDevice: device });
    return device;
  }
}

/** Its root directory belongs to whoever mounts it. */
async function makeFileSystem(disk: string): Promise<void> {
  const owner = `root_owner=${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
  const { code, errors } = await runTool('mkfs.ext4', ['-q', '-F', '-E', owner, disk]);
  if (code !== 0) throw new CommandError(`mkfs.ext4: ${errors}`);
}

/**
 * Whether the journal of a file system that was in use is replayed. That is done by writing: where the disk is not to be
 * written, to an overlay that is thrown away.
 */
function isReplayed(way: MountWay, { readOnly, part }: Wanted): boolean {
  // e2fsck loses a partition on the way when it replays a journal.
  if (way === 'fuse2fs' && (part?.offset ?? 0) > 0) return false;
  return !readOnly || (way !== 'nbd' && isInstalled('qemu-nbd'));
}

function doneWords(way: MountWay, wanted: Wanted): string {
  const { name, directory, readOnly, part, isDirty } = wanted;
  const access = readOnly ? 'to be read' : 'to be read and written';
  if (way === 'file') return `${name} is the file ${directory}/disk, ${access}`;
  const hows = {
    nbd: "by the kernel's nbd",
    loop: 'by nbdfuse and a loop device',
    fuse2fs: 'by nbdfuse and fuse2fs',
  } as const;
  const what = part === null || part.partition === null ? name : `partition ${part.partition.number} of ${name}`;
  const journal = !(readOnly && isDirty)
    ? ''
    : isReplayed(way, wanted)
      ? '. It was in use: its journal is replayed above it, in a file that is thrown away'
      : '. It was in use, and its journal is not replayed: the latest changes may be missing; varve ls and cp show them';
  return printable(`${what} is mounted at ${directory}, ${access}, ${hows[way]}${journal}`);
}
