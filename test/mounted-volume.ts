import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { run, runOk } from './run.ts';

/**
 * A volume as a real kernel sees it: nbdfuse shows the export as a file, and a loop device mounts it. The page cache, the
 * journal and the barriers are the kernel's own; a sync of the mount arrives as NBD flushes. Needs root.
 */
export class MountedVolume {
  /** The export as a file. */
  readonly devicePath: string;
  /** Where it is mounted. */
  readonly path: string;
  readonly #fuseDirectory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, child: ChildProcess) {
    this.#fuseDirectory = join(directory, 'device');
    this.devicePath = join(this.#fuseDirectory, 'volume');
    this.path = join(directory, 'files');
    this.#process = child;
  }

  static async attach(uri: string, directory: string): Promise<MountedVolume> {
    await mkdir(join(directory, 'device'), { recursive: true });
    await mkdir(join(directory, 'files'), { recursive: true });
    const child = spawn('nbdfuse', [join(directory, 'device', 'volume'), uri], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const volume = new MountedVolume(directory, child);
    for (let tries = 0; !existsSync(volume.devicePath); tries += 1) {
      if (child.exitCode !== null || tries > 500) throw new Error(`nbdfuse ${uri}: ${errors}`);
      await systemClock.sleep(20);
    }
    return volume;
  }

  async makeFileSystem(): Promise<void> {
    await runOk('mkfs.ext4', ['-q', '-F', this.devicePath]);
  }

  async mount(): Promise<void> {
    await runOk('mount', ['-o', 'loop', this.devicePath, this.path]);
  }

  async sync(): Promise<void> {
    await runOk('sync', ['-f', this.path]);
  }

  async unmount(): Promise<void> {
    await runOk('umount', [this.path]);
  }

  async detach(): Promise<void> {
    await run('umount', [this.path]);
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    await runOk('umount', [this.#fuseDirectory]);
    await exited;
  }
}
