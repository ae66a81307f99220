import { request } from 'node:http';

import type { ConfigOptions } from '#src/config.ts';

import { CommandError } from './command-error.ts';
import { readServerFile } from './server-file.ts';
import { servedDirectory } from './served-directory.ts';

const TIMEOUT_MS = 30_000;

/** The server on this data directory does not answer. */
export class ServerAwayError extends CommandError {}

export function noServer(dataDirectory: string): ServerAwayError {
  return new ServerAwayError(
    `no server runs on ${dataDirectory}; start one with "varve serve --data ${dataDirectory}"`,
  );
}

/** What an error of the operator's socket means. */
export function socketError(error: Error, dataDirectory: string): Error {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return noServer(dataDirectory);
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return new ServerAwayError(`the server on ${dataDirectory} ended before it had answered; see its log`);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new CommandError(`the server on ${dataDirectory} is of another user: do this as that user, or with sudo`);
  }
  return error;
}

/**
 * Asks the running server over the operator's socket. Throws ServerAwayError when none runs, CommandError with the server's
 * words when it refuses, and the signal's reason once it is aborted.
 */
export async function askServer(
  options: ConfigOptions,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  how: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<unknown> {
  const dataDirectory = servedDirectory(options);
  const { timeoutMs = TIMEOUT_MS, signal } = how;
  const server = await readServerFile(dataDirectory);
  if (server === null) throw noServer(dataDirectory);
  signal?.throwIfAborted();
  const reply = await new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const sent = request({ socketPath: server.adminSocket, method, path, timeout: timeoutMs }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') }),
      );
      response.on('error', (error) => reject(socketError(error, dataDirectory)));
    });
    const stop = (): void => void sent.destroy(signal?.reason as Error);
    signal?.addEventListener('abort', stop, { once: true });
    sent.on('close', () => signal?.removeEventListener('abort', stop));
    sent.on('timeout', () =>
      sent.destroy(
        new CommandError(
          `the server on ${dataDirectory} did not answer in ${timeoutMs / 1000} s: it is busy, or hangs; see its log`,
        ),
      ),
    );
    sent.on('error', (error) => reject(socketError(error, dataDirectory)));
    sent.end();
  });
  const value = replyIn(reply.text);
  if (reply.status === 200 && value !== undefined) return value;
  if (reply.status === 404 || value === undefined) throw otherVersion();
  const message =
    typeof value === 'object' && value !== null && 'message' in value ? String(value.message) : reply.text;
  throw new CommandError(message);
}

/** Undefined for what is no JSON. */
function replyIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The server does not know what it is asked, or answers what is not known here. */
export function otherVersion(): CommandError {
  return new CommandError(
    'the server does not answer as expected: it is of another version than this command; start it again with this one',
  );
}
