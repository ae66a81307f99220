import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { assert } from '#base/assert.ts';

import { encodeSettings, type HostSettings } from './host-settings.ts';

/**
 * Threads for what cannot be done synchronously: fdatasync, origin fetches, reads and writes of packs. Node's four are
 * busy as soon as four volumes flush; see docs/decisions/volume-host-process.md for what more of them cost.
 */
export const HOST_THREADS = 16;
/**
 * glibc raises these two by itself as large buffers come and go, and then keeps what an upload freed: 200 to 230 MB stayed
 * resident after one, and 113 to 129 MB with the thresholds held where they start, at no cost in speed that could be seen.
 */
const ALLOCATOR = { MALLOC_MMAP_THRESHOLD_: '131072', MALLOC_TRIM_THRESHOLD_: '131072' };
/** The log is set aside once, at a start, when it has grown beyond this. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;
/** The descriptor on which the child says that it is ready, or why it is not. */
export const READY_FD = 3;
const READY_BYTES_MAX = 64 * 1024;

export const READY_LINE = 'ready';

export interface HostProcessOptions {
  readonly dataDirectory: string;
  readonly settings: HostSettings;
  readonly build: string;
}

/** A volume host that this process started. It is in its own session: it lives on when this process dies. */
export interface HostProcess {
  readonly pid: number;
  /** Resolves when it serves; rejects with its reason when it ends before. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended, with its code or signal. */
  readonly exited: Promise<string>;
}

export const HOST_LOG_NAME = 'volume-host.log';

export function spawnHost(options: HostProcessOptions): HostProcess {
  const logPath = join(options.dataDirectory, HOST_LOG_NAME);
  if ((statSync(logPath, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES_MAX) renameSync(logPath, `${logPath}.1`);
  const log = openSync(logPath, 'a', 0o600);
  try {
    const child = spawn(
      process.execPath,
      [
        // node:sqlite says so at every start; the log is for what its reader can act on.
        '--disable-warning=ExperimentalWarning',
        // What lives for a moment fits into little: four megabytes less at rest, and more of it in the processor's cache.
        '--max-semi-space-size=2',
        fileURLToPath(new URL('../volume-host.ts', import.meta.url)),
        '--data',
        options.dataDirectory,
        '--settings',
        encodeSettings(options.settings),
        '--build',
        options.build,
        '--announce',
      ],
      {
        detached: true,
        stdio: ['ignore', log, log, 'pipe'],
        env: { ...process.env, UV_THREADPOOL_SIZE: String(HOST_THREADS), ...ALLOCATOR },
      },
    );
    return watch(child, logPath);
  } finally {
    closeSync(log);
  }
}

function watch(child: ChildProcess, logPath: string): HostProcess {
  const ended = Promise.withResolvers<string>();
  child.on('exit', (code, signal) => ended.resolve(signal ?? `code ${code ?? 0}`));
  child.on('error', (error) => ended.resolve(error.message)); // It could not be started.

  const pipe = child.stdio[READY_FD];
  assert(pipe !== null && pipe !== undefined && 'read' in pipe, 'the ready pipe can be read');
  const ready = readLine(pipe).then(async (line) => {
    if (line === READY_LINE) return;
    const reason = line === '' ? `it ended with ${await ended.promise}, see ${logPath}` : line;
    throw new Error(`the volume host did not start: ${reason}`);
  });
  // Until then it keeps this process alive, so that a host that ends without a word is still told of. Whoever waits for
  // `ready` hears of an error; nobody has to wait.
  void ready.then(
    () => child.unref(),
    () => child.unref(),
  );
  return { pid: child.pid ?? 0, ready, exited: ended.promise };
}

/** All that comes before the end of the stream or of the line, bounded. */
async function readLine(stream: Readable): Promise<string> {
  let text = '';
  try {
    for await (const piece of stream) {
      text += String(piece);
      if (text.includes('\n') || text.length > READY_BYTES_MAX) break;
    }
  } catch {
    return text.trim(); // A pipe that broke has said what it has said.
  }
  return text.trim();
}
