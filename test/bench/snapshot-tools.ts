import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import { openVolume, snapshotOf } from '#volume/host-under-test.suite.ts';
import type { LocalVolumeHost } from '#volume/local-host.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { composeHost } from '#src/compose-host.ts';
import { runOk } from '../run.ts';
import { readFirstBlock } from './nbd-first-block.ts';
import { treeBytes, type Change } from './snapshot-image.ts';

/** A tool that backs up one image into a repository of its own. */
export interface Backup extends AsyncDisposable {
  readonly name: string;
  /** What the tool needs to know of changes beside the image itself; not measured. */
  change(changes: readonly Change[]): Promise<void>;
  backUp(): Promise<void>;
  /** Reads all of the last backup. */
  restore(): Promise<void>;
  /** Removes what `restore` left; not measured. */
  tidyUp(): Promise<void>;
  repositoryBytes(): Promise<number>;
}

abstract class CommandBackup implements Backup {
  abstract readonly name: string;
  protected readonly image: string;
  protected readonly directory: string;

  constructor(directory: string, image: string) {
    this.directory = directory;
    this.image = image;
  }

  abstract backUp(): Promise<void>;
  abstract restore(): Promise<void>;

  async change(): Promise<void> {}

  /** What is read goes nowhere. */
  async tidyUp(): Promise<void> {}

  repositoryBytes(): Promise<number> {
    return treeBytes(join(this.directory, 'repository'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true });
  }

  protected environment(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.directory,
      RESTIC_REPOSITORY: join(this.directory, 'repository'),
      RESTIC_PASSWORD: 'x',
      RESTIC_CACHE_DIR: join(this.directory, 'cache'),
      BORG_REPO: join(this.directory, 'repository'),
      BORG_PASSPHRASE: 'x',
    };
  }

  protected async run(program: string, args: readonly string[]): Promise<void> {
    await runOk(program, args, { env: this.environment() });
  }

  /** Runs a program whose output is the image, and reads that as fast as it comes. */
  protected async drain(program: string, args: readonly string[]): Promise<void> {
    const child = spawn(program, [...args], { stdio: ['ignore', 'pipe', 'inherit'], env: this.environment() });
    child.stdout.resume();
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${String(code)}`);
  }
}

/** As it comes: encrypted, compressed at its default level. */
export class ResticBackup extends CommandBackup {
  readonly name = 'restic';

  static async open(parent: string, image: string): Promise<ResticBackup> {
    const backup = new ResticBackup(await mkdtemp(join(parent, 'restic-')), image);
    await backup.run('restic', ['init', '-q']);
    return backup;
  }

  backUp(): Promise<void> {
    return this.run('restic', ['backup', '-q', this.image]);
  }

  restore(): Promise<void> {
    return this.drain('restic', ['dump', '-q', 'latest', this.image]);
  }
}

/** Encrypted, zstd level 1. */
export class BorgBackup extends CommandBackup {
  readonly name = 'borg';
  #count = 0;

  static async open(parent: string, image: string): Promise<BorgBackup> {
    const backup = new BorgBackup(await mkdtemp(join(parent, 'borg-')), image);
    await backup.run('borg', ['init', '--encryption', 'repokey-blake2']);
    return backup;
  }

  backUp(): Promise<void> {
    this.#count += 1;
    return this.run('borg', ['create', '-C', 'zstd,1', `::${this.#count}`, this.image]);
  }

  restore(): Promise<void> {
    return this.drain('borg', ['extract', '--stdout', `::${this.#count}`]);
  }
}

interface Taken {
  readonly snapshot: SnapshotId;
  readonly epoch: number;
}

/** A volume host of its own, with a volume that holds the image. */
export class VarveBackup implements Backup {
  readonly name = 'varve';
  readonly host: LocalVolumeHost;
  readonly #directory: string;
  readonly #scope: AsyncDisposableStack;
  readonly #sizeBytes: number;
  readonly #volume: { readonly volume: VolumeId; readonly socketPath: string };
  #last: Taken | null = null;
  #restoredVolume: VolumeId | null = null;

  private constructor(options: {
    readonly host: LocalVolumeHost;
    readonly directory: string;
    readonly scope: AsyncDisposableStack;
    readonly sizeBytes: number;
    readonly volume: { readonly volume: VolumeId; readonly socketPath: string };
  }) {
    this.host = options.host;
    this.#directory = options.directory;
    this.#scope = options.scope;
    this.#sizeBytes = options.sizeBytes;
    this.#volume = options.volume;
  }

  static async open(parent: string, image: string, sizeBytes: number): Promise<VarveBackup> {
    const directory = await mkdtemp(join(parent, 'varve-'));
    const dataDirectory = join(directory, 'data');
    await mkdir(dataDirectory);
    const { socketDirectory } = openRunDirectory(dataDirectory);
    const scope = new AsyncDisposableStack();
    const tools = { clock: systemClock, random: systemRandom, log: silentLog };
    const host = await composeHost({ dataDirectory, socketDirectory, nbdTcp: null, s3: null, ...tools }, scope);
    const volume = await openVolume(host, { sizeBytes });
    await runOk('nbdcopy', ['--destination-is-zero', '--flush', image, nbdUri('', volume.socketPath)]);
    return new VarveBackup({ host, directory, scope, sizeBytes, volume });
  }

  /** Writes them into the volume, as whoever uses it does. */
  async change(changes: readonly Change[]): Promise<void> {
    const path = join(this.#directory, 'changes');
    await writeFile(
      path,
      Buffer.concat(changes.map(({ offset, bytes }) => Buffer.concat([offsetBytes(offset), bytes]))),
    );
    const script = [
      'import struct',
      `data = open(${JSON.stringify(path)}, 'rb').read()`,
      'for at in range(0, len(data), 4104):',
      "    h.pwrite(data[at + 8:at + 4104], struct.unpack('<Q', data[at:at + 8])[0])",
      'h.flush()',
    ].join('\n');
    await runOk('/usr/bin/python3', ['-m', 'nbd', '-u', nbdUri('', this.#volume.socketPath), '-c', script]);
  }

  async backUp(): Promise<void> {
    const base = this.#last === null ? {} : { base: this.#last };
    this.#last = await snapshotOf(this.host, this.#volume.volume, { sizeBytes: this.#sizeBytes, ...base });
  }

  /** All of a volume restored from the last snapshot, through NBD. */
  async restore(): Promise<void> {
    const { volume, socketPath } = await this.#restored();
    this.#restoredVolume = volume;
    await runOk('nbdcopy', [nbdUri('', socketPath), 'null:']);
  }

  async tidyUp(): Promise<void> {
    if (this.#restoredVolume !== null) await this.#drop(this.#restoredVolume);
    this.#restoredVolume = null;
  }

  /** SHA-256 of the restored volume, read through NBD. */
  async restoredHash(): Promise<string> {
    const { volume, socketPath } = await this.#restored();
    const child = spawn('nbdcopy', [nbdUri('', socketPath), '-'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const hash = createHash('sha256');
    for await (const piece of child.stdout) hash.update(piece as Buffer);
    await this.#drop(volume);
    return hash.digest('hex');
  }

  /** From the request for a volume of the last snapshot to the first 4 KiB of it, read through NBD. */
  async firstByteMs(): Promise<number> {
    const startedMs = systemClock.monotonicMs();
    const { volume, socketPath } = await this.#restored();
    await readFirstBlock(socketPath);
    const elapsedMs = systemClock.monotonicMs() - startedMs;
    await this.#drop(volume);
    return elapsedMs;
  }

  repositoryBytes(): Promise<number> {
    return treeBytes(join(this.#directory, 'data', 'objects'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope.disposeAsync();
    await rm(this.#directory, { recursive: true });
  }

  async #restored(): Promise<{ readonly volume: VolumeId; readonly socketPath: string }> {
    if (this.#last === null) throw new Error('there is a snapshot to restore');
    return await openVolume(this.host, { origin: this.#last.snapshot, sizeBytes: this.#sizeBytes });
  }

  async #drop(volume: VolumeId): Promise<void> {
    await this.host.close(volume, 1);
    await this.host.destroy(volume);
  }
}

function offsetBytes(offset: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(offset));
  return bytes;
}

/** `ListChangedBlocks` between two snapshots of 16 TiB that differ in ten chunks: milliseconds, the nodes not cached by an earlier call. */
export async function listChangedMs(host: LocalVolumeHost): Promise<number> {
  const sizeBytes = 16 * 1024 ** 4;
  const chunkCount = sizeBytes / CHUNK_BYTES;
  const { volume } = await openVolume(host, { sizeBytes });
  const bytes = systemRandom.bytes(CHUNK_BYTES);
  // Data in leaves all over the tree, so that there is something to skip.
  for (let at = 0; at < 200; at += 1) {
    bytes.writeUInt32LE(at);
    await host.writeBlock(volume, 1, Math.floor((at * chunkCount) / 200), bytes);
  }
  const first = await snapshotOf(host, volume, { sizeBytes });
  for (let at = 0; at < 10; at += 1) {
    bytes.writeUInt32LE(1000 + at);
    await host.writeBlock(volume, 1, Math.floor((at * chunkCount) / 10), bytes);
  }
  const base = { snapshot: first.snapshot, epoch: first.epoch };
  const second = await snapshotOf(host, volume, { sizeBytes, base });
  const startedMs = systemClock.monotonicMs();
  const { blocks } = await host.changedBlocks(first.snapshot, second.snapshot, 0, 1000);
  const elapsedMs = systemClock.monotonicMs() - startedMs;
  if (blocks.length !== 10) throw new Error(`${blocks.length} chunks are listed as changed`);
  return elapsedMs;
}
