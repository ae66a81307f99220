import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import type { Audit, AuditEntry } from './audit.ts';

export interface AuditLogOptions {
  /** `<data>/audit.log`; older ones are `audit.log.1` (the newest of them), `.2`, … */
  readonly path: string;
  /** A file is not written to once it has so many bytes. */
  readonly fileBytesMax?: number;
  /** All files, the one that is written included. */
  readonly filesMax?: number;
  readonly clock: Clock;
  readonly log: Log;
}

const FILE_BYTES_MAX = 64 * 1024 * 1024;
const FILES_MAX = 10;
/** Of lines that the disk has not taken yet; more are counted and left out, so that a disk that hangs does not fill the memory. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024;

/**
 * One JSON object a line for every call, appended in the order of the answers. Lines are written as fast as the disk takes them,
 * beside the calls: what is recorded while a write is on its way goes out with the next. A kill may lose the lines of the
 * last moments; a stop writes everything. Readable by the owner only.
 */
export class AuditLog implements Audit, AsyncDisposable {
  readonly #options: AuditLogOptions;
  #file: FileHandle;
  #fileBytes: number;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #writing: Promise<void> | null = null;
  #isFailing = false;

  private constructor(options: AuditLogOptions, file: FileHandle, fileBytes: number) {
    this.#options = options;
    this.#file = file;
    this.#fileBytes = fileBytes;
  }

  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const file = await open(options.path, 'a', 0o600);
    return new AuditLog(options, file, (await file.stat()).size);
  }

  record(entry: AuditEntry): void {
    this.#add({ time: this.#now(), ...entry });
    this.#writing ??= this.#write();
  }

  /** When everything recorded so far is with the kernel. */
  async flushed(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flushed();
    await this.#file.sync().catch(() => {}); // A file system without it, at worst.
    await this.#file.close();
  }

  #add(entry: object): void {
    const line = `${JSON.stringify(entry)}\n`;
    if (this.#waitingBytes + line.length > WAITING_BYTES_MAX) {
      this.#lost += 1;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
  }

  async #write(): Promise<void> {
    await Promise.resolve(); // What is recorded in the same turn goes out with one write.
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      if (this.#lost > 0) {
        lines.push(`${JSON.stringify({ time: this.#now(), lost: this.#lost })}\n`);
        this.#lost = 0;
      }
      try {
        // What a full disk took of the last line stays; it must not run into the next one.
        await this.#append(Buffer.from(`${this.#isFailing ? '\n' : ''}${lines.join('')}`));
        this.#isFailing = false;
      } catch (error) {
        this.#lost += lines.length;
        if (!this.#isFailing)
          this.#options.log.error('the audit log cannot be written', { reason: describeError(error) });
        this.#isFailing = true;
      }
    }
    this.#writing = null; // In the same turn as the look at what waits: nothing is left behind.
  }

  async #append(bytes: Buffer): Promise<void> {
    const { fileBytesMax = FILE_BYTES_MAX } = this.#options;
    if (this.#fileBytes > 0 && this.#fileBytes + bytes.length > fileBytesMax) await this.#rotate();
    await this.#file.appendFile(bytes);
    this.#fileBytes += bytes.length;
  }

  async #rotate(): Promise<void> {
    const { path, filesMax = FILES_MAX } = this.#options;
    await this.#file.close();
    try {
      await rm(`${path}.${filesMax - 1}`, { force: true });
      for (let number = filesMax - 2; number >= 1; number -= 1) {
        await renameIfThere(`${path}.${number}`, `${path}.${number + 1}`);
      }
      await renameIfThere(path, `${path}.1`);
    } finally {
      this.#file = await open(path, 'a', 0o600);
      this.#fileBytes = (await this.#file.stat()).size;
    }
  }

  #now(): string {
    return new Date(this.#options.clock.nowMs()).toISOString();
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
}
